// Package probes checks whether the things that an app needs are ready, and runs hooks.
// Both are written as targets:
//
//	[option=value ...] TARGET
//
//	tcp://db:5432   unix:///run/app.sock   http://auth/healthz
//	grpc://auth:50051   dns://db.prod.svc   file:///data/ready   postgres://db
//	redis-cli -h cache ping
//
// A probe is a target that is tried again and again until it is ready. A hook is a target
// that is run once. The grammar is the same for both; the [Use] passed to [Parse] decides
// which of them the target is.
//
// # Functions
//
//   - [Parse] parses a target. It reports all errors of the text at once.
//   - [Wait] probes any number of targets at the same time until all are ready.
//   - [Ask] probes each target once.
//   - [RunHook] runs a hook, and retries it as often as its retries= allow.
//   - [Hint] returns the usual cause of an error, or what to try.
//
// To wait for something else, make a [Target] with a [Probe] of your own. For commands,
// provide a [Runner]: the package starts no process itself, because in an init one loop
// reaps all processes.
//
// # Guarantees
//
//   - An attempt never hangs. Its timeout starts when an address is known and covers
//     everything after that. At most 64 KiB of headers and 10 KiB of a body are read.
//     Every address of a name is tried, at most 8 at a time.
//   - A file system that does not respond does not hang an attempt either. One thread makes
//     the system calls for file targets, unix sockets and the files of options, one after
//     the other. When a call hangs, a second thread takes over and leaves out the mount on
//     which the first one hangs. When the second thread hangs on another mount, the other
//     calls wait.
//   - The method, headers, user, body and client certificate of a target are sent only to
//     the scheme, host and port of its URL, and after a redirect from http to https if both
//     use their default ports. After a redirect to another scheme or port of the host, the
//     request is a GET or HEAD without them.
//   - Lookups run in goroutines of their own. A name is looked up at most once a second,
//     however many targets use it. An address or localhost is not looked up.
//   - The delays between attempts start at 10 ms and grow with the time of the wait, with
//     jitter. In waits of up to six seconds, a port that refused connections is detected as
//     open 30 ms late on average, and a server that returned errors is detected as ready
//     90 ms late. A new kind of error restarts the delays. Ten thousand clients that wait
//     for the same server do not probe it together.
//   - No descriptor and no goroutine is left after an attempt, except for a name lookup
//     (the next attempt uses its result) and a system call that hangs on a mount.
//   - No error and no name contains the user, query or fragment of a URL, the value of a
//     header, the body or the send= of a target, or the path of a hook's URL.
//   - HTTP_PROXY is ignored, because it is meant for the app.
//   - Nothing is printed: [Wait] passes every attempt to a function, as an [Update]. (For
//     grpc://, golang.org/x/net prints frames through package log if GODEBUG has
//     http2debug=2.)
package probes
