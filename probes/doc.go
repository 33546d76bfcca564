// Package probes asks whether what an app needs is there, and does the hooks
// of its life. One text names a target of either sort:
//
//	[option=value ...] TARGET
//
//	tcp://db:5432   unix:///run/app.sock   http://auth/healthz
//	grpc://auth:50051   dns://db.prod.svc   file:///data/ready   postgres://db
//	redis-cli -h cache ping
//
// A probe is a target that is asked again and again until it says yes. A hook
// is a target that is done once. Which of the two a text is for is said by a
// [Use]; the words are the same.
//
// # Which call you want
//
//   - [Parse] turns a text into a [Target], or reports everything that is wrong
//     with the text at once.
//   - [Wait] asks any number of targets, all at the same time, until each
//     has said yes.
//   - [Ask] asks each of them a single time.
//   - [Do] does a hook once, or as often as its retries= allow.
//   - [Hint] says what to look at first about a no whose cause is a usual one.
//
// A program that has something else to wait for makes a [Target] of a [Probe] of
// its own. One that has commands among its targets brings a [Runner].
//
// # What it promises
//
//   - One attempt never hangs. Its timeout begins when an address is known and
//     covers all that follows; at most 64 KiB of headers and 10 KiB of a body
//     are read; every address of a name is tried, at most 8 at a time.
//   - A file system that does not answer does not hang an attempt either. The
//     system calls for file targets, unix sockets and the files that options
//     name are made by one thread, one after the other; when one of them hangs,
//     another thread goes on, and leaves out the mount on which it hangs. There are
//     at most four such threads: one for each mount that does not answer.
//   - The method, headers, user, body and client certificate of a target are sent
//     to the scheme, host and port of its URL only, and from http to https on their
//     default ports. A redirect to another scheme or port of the host is followed
//     with a plain GET or HEAD.
//   - A name is looked up beside the attempts, at most once a second however
//     many targets use it, and not at all for an address or for localhost.
//   - The pauses between attempts start at 10 ms and grow with the time already
//     waited, each a little shorter or longer by chance. Over waits of up to six
//     seconds a port that refuses is found open 30 ms late on average, and who
//     answers no is found ready 90 ms late; one that is not there for long is
//     left in peace. Another kind of answer than before starts them anew:
//     readiness is near. Ten thousand that wait for the same do not ask together.
//   - No descriptor and no goroutine outlives an attempt, except for a name lookup
//     (the next attempt uses its result) and a system call that hangs on a mount.
//   - No text of this package, neither an error nor a name, holds the user, the
//     query, the fragment, a header's value, the body or the send= of a target,
//     nor the path of a hook's URL.
//   - HTTP_PROXY is for the app: it is never looked at here.
//
// # What it is not
//
// It starts no process. In an init one loop owns every wait4, and a command
// target is handed to the [Runner] that the caller brings along. It prints
// nothing: who wants to see an attempt gets an [Update].
package probes
