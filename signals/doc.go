// Package signals receives signals on Linux, for an init that forwards them to an app. It
// converts between signal names and numbers, delivers received signals on channels, and
// replaces or drops signals by rules.
//
// # What to call
//
//   - [Parse] and [Name] turn text into signal numbers and back: TERM, SIGTERM, 15,
//     RTMIN+3. Numbers and names are those of glibc, where SIGRTMIN is 34.
//   - [Open] starts to receive signals and returns an [Inbox]. Call it before
//     anything else, because until then TERM, HUP, INT and QUIT end a Go program, even
//     if it is PID 1.
//   - [CheckReceivable] returns an error with the reason if a signal can never be
//     received.
//   - [Rewrite] replaces or drops a signal that is forwarded; [ParseRewrite] parses
//     one rule FROM:TO.
//   - [WithInheritedSignals] starts a program with the signal mask and the ignored
//     signals that this process was started with.
//
// The package sends no signals and imports no other package of this module.
//
// # Which signals are received
//
// All signals are received except SIGKILL and SIGSTOP, which no process can catch
// (signal(7)). Do not forward SIGCHLD to the app: it means that a child of this process has
// exited.
//
// The kernel and the Go runtime also send signals to this process because of its own
// actions. This package does not receive those. A signal with the same number is received
// if another process sends it, by kill(2), tgkill(2) or sigqueue(3).
//
//	SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGSTKFLT
//	                   from the kernel for a fault: a Go panic, as usual
//	SIGPIPE            from the kernel for a write to a closed pipe or socket
//	SIGXFSZ, SIGXCPU   from the kernel for exceeding RLIMIT_FSIZE or RLIMIT_CPU
//	SIGURG             from the Go runtime to its own threads, to preempt goroutines
//
// The kernel queues real-time signals, so each of them arrives as often as it was sent.
// A standard signal that is sent again while it is pending is merged with the pending one
// (signal(7)). This package loses no signal when many arrive at once.
//
// # How
//
// Package os/signal cannot do this. It merges signals that arrive fast, never delivers
// signals 27 and 32 to 34, and does not report the sender. It receives nothing in the
// first millisecond of a program, and a SIGTERM in that time ends the program with status
// 2, even if it is PID 1. So on amd64 and arm64 every signal has a handler of this
// package; handlers.go explains it.
//
// A program that is linked by
//
//	go build -ldflags '-E github.com/usher-init/usher/signals.entry'
//
// starts at entry in this package. Signals that are sent between its first instruction
// and [Open] are received too, except HUP, INT, QUIT and TERM. These end the program with
// status 128+n, because there is nothing to shut down yet. There is one exception: the
// start of the Go runtime takes a fraction of a millisecond, and a QUIT that arrives in that
// time ends the program with a stack trace and status 2.
//
// The program also saves the mask, the ignored signals and the closed descriptors that it
// was started with. A program that is linked without that flag receives signals only from
// Open on, and [InheritedClosedFDs] returns false for all descriptors.
//
// # Other processors
//
// On other processors, and with the build tag purego, [Inbox] uses os/signal:
//
//   - SIGURG, SIGPIPE, SIGXFSZ, SIGPROF (27), 32, 33 and 34 (SIGRTMIN) are not
//     received, and [CheckReceivable] returns an error for them.
//   - Identical signals that arrive faster than they are read may be merged. Signals of
//     [Inbox.Other] may be lost while 4,096 are unread.
//   - A fault signal, such as SIGSEGV, is treated as a fault if it is sent by sigqueue(3).
//   - [WithInheritedSignals] has no effect.
//
// On all processors a signal that was ignored when the process was started is received
// after [Open]. For example, a shell starts "cmd &" with INT and QUIT ignored.
package signals
