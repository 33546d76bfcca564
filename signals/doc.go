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
//     received, and for SIGCHLD, which is received but must not be forwarded.
//   - [Rewrite] replaces or drops a signal that is forwarded; [ParseRewrite] parses
//     one rule FROM:TO.
//   - [WithInheritedSignals] calls a function with the signal mask and the ignored signals
//     that this process was started with. A program that the function starts inherits them.
//
// The package sends no signals and imports no other package of this module.
//
// # Which signals are received
//
// On amd64 and arm64 all signals are received except SIGKILL and SIGSTOP, which no process
// can catch (signal(7)). SIGCHLD arrives on [Inbox.Child]. Do not forward it to the app: it
// reports that a child of this process has exited, stopped or continued.
//
// The kernel and the Go runtime also send signals to this process because of its own
// actions. The following signals do not arrive in the inbox if they were sent for the reason
// in the table. They do arrive if another process sends them, by kill(2), tgkill(2) or
// sigqueue(3).
//
//	SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGSTKFLT
//	                   from the kernel for a fault: the Go runtime panics or aborts, as usual
//	SIGPIPE            from the kernel for a write to a pipe or socket without a reader
//	SIGXFSZ, SIGXCPU   from the kernel for exceeding RLIMIT_FSIZE or RLIMIT_CPU
//	SIGURG             from the Go runtime to its own threads, to preempt goroutines
//
// The kernel queues real-time signals, so each of them arrives as often as it was sent.
// A standard signal that is sent again while it is pending is merged with the pending one
// (signal(7)). If many signals arrive at once, this package loses none of them, but it may
// merge equal standard signals too.
//
// # How
//
// Package os/signal is not sufficient for an init. It merges signals that arrive fast, never
// delivers signals 27 (SIGPROF) and 32 to 34, and does not report the sender. It receives
// nothing in the first millisecond of a program. A SIGTERM in that time ends the program; if
// the program is PID 1, it exits with status 2, or the SIGTERM is lost. So on amd64 and arm64
// every signal has a handler of this package; handlers.go explains it.
//
// A program that is linked by
//
//	go build -ldflags '-E github.com/usher-init/usher/signals.entry'
//
// starts at the function entry of this package (handlers_*.s), which blocks all signals and
// then jumps to the Go runtime. Signals that are sent between the first instruction and
// [Open] are received by the inbox too, except those that the Go runtime unblocks:
//
//   - HUP, INT, QUIT and TERM end the program with status 128+n, because there is nothing
//     to shut down yet. One exception is a QUIT that arrives after the Go runtime has set
//     its own handlers: it ends the program with a stack trace and status 2.
//   - The fault signals, such as SIGSEGV, and ABRT, CHLD, PROF and 32 to 34 have the effect
//     that they have in any Go program.
//
// entry also saves the signal mask, the ignored signals, and which of the descriptors 0, 1
// and 2 were closed, as they were when the program was started. A program that is linked
// without that flag receives only signals that are sent after Open, and
// [InheritedClosedFDs] returns false for all descriptors.
//
// # Other processors
//
// On processors other than amd64 and arm64, and with the build tag purego, [Inbox] uses
// os/signal:
//
//   - SIGURG, SIGPIPE, SIGXFSZ, SIGPROF (27), 32, 33 and 34 (SIGRTMIN) are not
//     received, and [CheckReceivable] returns an error for them.
//   - Identical signals that arrive faster than they are read may be merged. Signals of
//     [Inbox.Other] may be lost while 4,096 are unread.
//   - A fault signal, such as SIGSEGV, is treated as a fault if it is sent by sigqueue(3).
//   - SIGXCPU is received even if the kernel sends it for exceeding RLIMIT_CPU.
//   - [WithInheritedSignals] only calls its function.
//
// On all processors a signal that was ignored when the process was started is received
// after [Open]. For example, a shell starts "cmd &" with INT and QUIT ignored.
package signals
