// Package signals names the signals of Linux and hands them to an init: which
// of them belong to the app, which the app should get instead, and the channels
// on which they arrive.
//
// # What to call
//
//   - [Parse] and [Name] turn words into numbers and back: TERM, SIGTERM, 15,
//     RTMIN+3. Numbers and names are those of glibc, where SIGRTMIN is 34.
//   - [Open] starts the listening and returns an [Inbox]. Call it before
//     anything else: a Go program that listens to nothing ends with code 2 on
//     the first TERM, HUP or QUIT, even as PID 1.
//   - [Forwardable] says whether a signal is passed on to the app, and
//     [Receivable] says, in words for the user, why one can never be heard.
//   - [Rewrite] changes what is passed on; [ParseRewrite] reads one FROM:TO.
//
// The package sends nothing, knows no process and imports nothing of ours.
//
// # What is passed on
//
// Every signal is the app's, except these five:
//
//	SIGKILL, SIGSTOP  the kernel lets nobody catch them
//	SIGCHLD           it is usher's own: a child of usher has ended
//	SIGURG            the Go runtime sends it to its own threads, many a second
//	                  in a busy program, to preempt goroutines; os/signal cannot
//	                  say whose it was
//	SIGPIPE           the kernel sends it when usher itself writes to a closed
//	                  stderr or socket; os/signal cannot say whose it was
//
// SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS and SIGSTKFLT are passed on
// when somebody sends them with kill(2). A fault of usher's own is never taken
// for one of those: Go looks at the sender (si_code) and turns a real fault into
// a panic. The price is that one sent by sigqueue(3), which has another si_code,
// ends usher like a fault. SIGABRT is passed on however it was sent.
//
// # What os/signal cannot do
//
// The [Inbox] stands on the standard library's os/signal, and shares its limits
// (measured with Go 1.26; a test of this package would notice a change):
//
//   - Identical signals that come faster than they are handed on may be merged
//     into one. The kernel does the same with standard signals; with real-time
//     signals, which the kernel queues, it is a loss. The last of a burst is
//     never the one that is lost, unless thousands wait unread.
//   - The order between different signals that are pending at the same moment is
//     not kept.
//   - SIGPROF (27) is swallowed by the runtime's profiler.
//   - 32, 33 and 34 (SIGRTMIN) are left to the C library: never delivered.
//     33 vanishes; 32 and 34 keep the action they were inherited with. That is
//     "ignore" for 32 below a posix_spawn of glibc (make), else the
//     default, which ends a process unless it is PID 1 of its namespace.
//   - The sender is unknown.
//
// An inherited "ignore", as a shell sets for INT and QUIT of what it starts with
// "&", ends with [Open]: the signals arrive.
package signals
