// Package signals has what an init needs to receive and forward the signals of Linux:
// their names, the channels on which they arrive, and the rules for which of them
// belong to the app and what the app gets instead.
//
// # What to call
//
//   - [Parse] and [Name] turn text into signal numbers and back: TERM, SIGTERM, 15,
//     RTMIN+3. Numbers and names are those of glibc, where SIGRTMIN is 34.
//   - [Open] starts to receive signals and returns an [Inbox]. Call it before
//     anything else: a Go program that receives no signals exits with status 2 on the
//     first TERM, HUP or QUIT, even as PID 1.
//   - [CheckReceivable] returns, as an error for the user, why a signal can never be
//     received.
//   - [Rewrite] changes what is forwarded; [ParseRewrite] parses one FROM:TO.
//   - [WithInheritedSignals] starts a program with the signal mask and the ignored
//     signals that this process was started with.
//
// The package sends no signals and imports no other package of this module.
//
// # Which signals are received
//
// All of them except SIGKILL and SIGSTOP, which no process can catch (signal(7)).
// SIGCHLD is not for the app: it means that a child of this process has exited.
//
// The kernel and the Go runtime send some signals to this process for reasons of their
// own. Those are not received, but the same ones sent by other processes are, in
// whatever way: kill(2), tgkill(2) or sigqueue(3).
//
//	SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGSTKFLT
//	                   from the kernel for a fault: still a Go panic
//	SIGPIPE            from the kernel for a write to a closed pipe or socket
//	SIGXFSZ, SIGXCPU   from the kernel for exceeding RLIMIT_FSIZE or RLIMIT_CPU
//	SIGURG             from the Go runtime to its own threads, to preempt goroutines
//
// The kernel queues real-time signals, so each of these arrives as often as it was sent;
// of a standard signal it keeps at most one pending (signal(7)). No signal is lost here
// when many arrive at once.
//
// # How
//
// Package os/signal cannot do this: it merges bursts, never delivers 27 and 32 to 34,
// does not report the sender, and does not receive anything in the first millisecond
// of the program, in which SIGTERM ends it with status 2, as PID 1 too. So on amd64
// and arm64 every signal has a handler of this package; handlers.go explains it.
//
// A program whose first instruction is entry, by
//
//	go build -ldflags '-E github.com/usher-init/usher/signals.entry'
//
// receives the signals that are sent between its first instruction and [Open] too, and
// saves the mask, the ignored signals and the closed descriptors that it was started
// with. Until Open, HUP, INT, QUIT and TERM end it with status 128+n, because there is
// nothing to shut down yet. A program without that flag has all of this from Open on.
//
// # On other processors
//
// There, and with the build tag purego, [Inbox] uses os/signal:
//
//   - SIGURG, SIGPIPE, SIGXFSZ, SIGPROF (27), 32, 33 and 34 (SIGRTMIN) are not
//     received, and [CheckReceivable] says so.
//   - Identical signals that arrive faster than they are read may be merged; other
//     signals than those of [Inbox.Control] may be lost while more than 4,096 are unread.
//   - A signal of the list of faults that is sent by sigqueue(3) is treated as a fault.
//   - [WithInheritedSignals] has no effect.
//
// Everywhere a signal that was ignored when the process was started, as a shell ignores
// INT and QUIT for a command that it starts with "&", is received after [Open].
package signals
