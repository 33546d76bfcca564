// Package probes checks whether the services and files that an app depends on are ready,
// and runs hooks. Probes and hooks are written as targets:
//
//	[option=value ...] TARGET
//
//	tcp://db:5432   unix:///run/app.sock   http://auth/healthz
//	grpc://auth:50051   dns://db.prod.svc   file:///data/ready   postgres://db
//	redis-cli -h cache ping
//
// A probe is a target that is tried until it is ready. A hook is a target that is run once.
// Both have the same grammar; the [Use] passed to [Parse] decides whether the target is a
// probe or a hook.
//
// # Functions
//
//   - [Parse] parses a target and reports all errors of the text at once. A [Parser] also
//     accepts env:NAME, which takes the target from an environment variable.
//   - [Wait] probes any number of targets at the same time until all are ready.
//   - [Ask] probes each target once.
//   - [RunHook] runs a hook. If the hook fails, RunHook runs it again, up to retries=
//     times.
//   - [Hint] returns the usual cause of an error, or a possible fix.
//
// To wait for something else, make a [Target] with a [Probe] of your own. To run commands,
// provide a [Runner]. The package itself starts no process, because in an init a single
// loop must reap all child processes.
//
// # Guarantees
//
//   - An attempt never hangs, unless its timeout is 0. The timeout starts when an address of
//     the host is known, and covers everything after that. For dns:// it covers the lookup
//     too, and for a hook all tries with their lookups. At most 64 KiB of headers and 10 KiB
//     of a body are read, or 64 KiB on a connection to a database or broker. The addresses of
//     a name are tried in order, at most 8 at a time, until one accepts a connection. If the
//     URL of a database or broker has several hosts, at most 4 of them are probed at a time,
//     until one is ready.
//   - An attempt does not hang on a file system that does not respond. One thread makes the
//     system calls for file targets, unix sockets and the files of options, one after the
//     other. When a call hangs, a second thread makes the other calls, except for those on
//     the mount on which the first thread hangs. When the second thread hangs on another
//     mount, all other calls wait.
//   - The method, headers, user, body and client certificate of a target are sent only to
//     the scheme, host and port of its URL. One redirect keeps them: from http to https on the
//     same host, if both use their default ports. After any other redirect to another scheme
//     or port of that host, a plain GET or HEAD is sent.
//   - No password is sent to a database or broker. Over TLS the server's certificate is
//     verified, unless the URL or insecure= says otherwise, or the target is for NATS and
//     has no option for TLS. For MySQL, a bad certificate is reported only after a failed
//     login, because MySQL blocks a host after too many connections that end before a login.
//   - Lookups run in goroutines of their own. A name is looked up at most once a second,
//     however many targets use it. Targets with gone= share lookups of their own, which
//     fail if any query of the lookup fails. An address or localhost is not looked up.
//   - The delays between attempts start at 10 ms and grow with the time already waited, with
//     jitter. In waits of 0.5 to 6 s, a port that refused connections is detected as open 31
//     ms late on average, and a server that returned errors is detected as ready 92 ms
//     late. A new kind of error restarts the delays. If ten thousand clients wait for
//     the same server, the jitter spreads their attempts over time; herd.md shows how.
//   - An attempt leaves no descriptor and no goroutine behind, except for a name lookup
//     (the next attempt uses its result) and a system call that hangs on a mount.
//   - No error and no name contains the user, query or fragment of a URL, the value of a
//     header, the body or the send= of a target, or the path of a hook's URL.
//   - HTTP_PROXY is ignored, because it is meant for the app.
//   - Nothing is printed: [Wait] passes every attempt to a function, as an [Update]. (For
//     grpc://, golang.org/x/net prints frames through package log if GODEBUG has
//     http2debug=2.)
package probes
