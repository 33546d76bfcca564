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
//   - [Receivable] says, in words for the user, why a signal can never be heard.
//   - [Rewrite] changes what is passed on; [ParseRewrite] reads one FROM:TO.
//   - [AsInherited] starts a program with the signal mask and the ignored signals
//     that this process was started with.
//
// The package sends nothing, knows no process and imports nothing of ours.
//
// # What is passed on
//
// Every signal is the app's but three: SIGKILL and SIGSTOP, which the kernel
// lets nobody catch, and SIGCHLD, which says that a child of usher's own has
// ended. Three that are sent to every Go program for its own doings are told
// apart from the same ones sent by somebody:
//
//	SIGURG             the runtime sends it to its threads, to preempt goroutines
//	SIGPIPE            the kernel sends it for a write to a closed pipe or socket
//	SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGSTKFLT
//	                   the kernel sends them for a fault, which stays a panic
//
// A signal that the kernel queues, a real-time one, arrives as often as it was
// sent, as long as no more than some 6,000 of them are unread; of a standard one the
// kernel itself keeps a single one pending.
//
// # How
//
// os/signal cannot do this: it merges bursts, never delivers 27 and 32 to 34,
// knows no sender, and there is a millisecond before any of it, in which SIGTERM
// ends the process with status 2, as PID 1 too. So on amd64 and arm64 every
// signal has a handler of the package's own; exact.go explains it. Compared with
// os/signal it starts an app a millisecond earlier.
//
// The beginning belongs to it: a program whose first instruction is entry, by
//
//	go build -ldflags '-E github.com/usher-init/usher/signals.entry'
//
// keeps what is sent from there on until [Open], and knows what it was started
// with. HUP, INT, QUIT and TERM end it meanwhile, as nothing has begun yet, with
// status 128+n. Without the flag all of this begins with [Open].
//
// # On other processors
//
// There, and with the build tag purego, [Inbox] stands on os/signal:
//
//   - SIGURG, SIGPIPE, SIGPROF (27), 32, 33 and 34 (SIGRTMIN) do not arrive, and
//     [Receivable] says so.
//   - Identical signals that come faster than they are handed on may be merged.
//     The last of a burst is never the one that is lost.
//   - One of the faults above that is sent by sigqueue(3) ends usher like a fault.
//   - [AsInherited] has nothing to give.
//
// Everywhere an inherited "ignore", as a shell sets for INT and QUIT of what it
// starts with "&", ends with [Open]: the signals arrive.
package signals
