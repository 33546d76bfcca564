//go:build (amd64 || arm64) && !purego

package signals

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Each signal that a process can catch gets one of this package's handlers, a few
// instructions in handlers_*.s, instead of the runtime's handler. The handler writes the
// beginning of the siginfo_t to a pipe, and a goroutine reads the pipe. If the pipe is full,
// the handler counts the signal in the array missed, and the goroutine delivers the counted
// signals too, so that no signal of a flood is lost. A handler runs once for each signal that
// the kernel has queued. So signals that fit into the pipe are merged only if the kernel
// merges them (deliverMissed handles the others). A handler works on any thread and at any
// time, also during a fork, so a fork loses no signal.
//
// usher's binary starts at entry in handlers_*.s, and not at the first instruction of
// the Go runtime. entry blocks all signals, so that a signal that arrives before Open
// stays pending until then. It also saves state that the Go runtime changes before any
// Go code runs: see [WithInheritedSignals], [InheritedClosedFDs] and [InjectedEnvVars].
//
// The runtime unblocks some signals in every thread that it makes (blockableSig in
// runtime/signal_unix.go). Among them are HUP, INT, QUIT and TERM, which need a handler
// before Open, because platforms send them. Until the runtime has set its own handlers, the
// four would have the default action, which the kernel does not apply to PID 1, so a signal
// would be lost. After that, the runtime's handlers would make PID 1 exit with status 2. So
// entry gives the four signals the handler exitOnSignal, which exits with status 128+n. The
// runtime's handlers call exitOnSignal instead of exiting with status 2, except for QUIT.

// The state that entry has saved. In a program that does not start at entry, such as a
// test, all of these are 0, and the variable inherited is set from the kernel's mask and
// actions instead.
var (
	entered       uint32        // 1: entry has run
	enteredMask   uint64        // the signal mask; signal n is bit n-1
	enteredClosed uint32        // bit n: descriptor n was closed
	enteredAction [rtMax]action // the action of signal n is at n-1
)

// action is the kernel's struct sigaction (rt_sigaction(2)), which is the same on amd64
// and arm64.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// Variables that the handlers read and write.
//
//nolint:unused // pipes, runtimeHandler, self: read in handlers_*.s
var (
	pipes          [rtMax + 1]int32  // by signal: the descriptor to write to; 0: the signal is not received
	missed         [rtMax + 1]uint32 // by signal: the number of signals that did not fit into the pipe
	runtimeHandler uintptr           // the Go runtime's own handler
	self           int32             // the pid of this process
)

// handlers returns the addresses of forward, forwardUnlessFault, forwardUnlessPreemption and
// forwardUnlessOwn in handlers_*.s.
func handlers() (every, unlessFault, unlessPreemption, unlessOwn uintptr)

// Go code does not call the following functions, but vet checks the assembly against
// these declarations.
//
//nolint:unused // see above
func entry()

//nolint:unused // see above
func exitOnSignal()

//nolint:unused // see above
func forward()

//nolint:unused // see above
func forwardUnlessFault()

//nolint:unused // see above
func forwardUnlessPreemption()

//nolint:unused // see above
func forwardUnlessOwn()

// record is the data that a handler writes to a pipe: the beginning of the siginfo_t
// (sigaction(2)). A record of zeros holds no signal. It wakes the reader, which then looks
// for signals in the array missed.
type record struct {
	sig int32
	_   [5]int32 // si_errno, si_code, padding, si_pid, si_uid
}

const recordSize = int(unsafe.Sizeof(record{}))

// The sizes of the pipes. They are small, because all pipes of a user on the whole
// machine share the limit pipe-user-pages-soft (pipe(7)). 4 KiB hold 170 records.
const (
	childPipeSize = 4 << 10 // one page is enough, because one unread SIGCHLD makes the receiver reap all children: see Inbox.Child
	ctrlPipeSize  = 16 << 10
	otherPipeSize = 64 << 10
)

// Signals that the kernel sends to this process because of the process's own actions.
// Other processes can send them too. The siginfo_t shows the sender: if the kernel has
// sent the signal, si_code is greater than 0 or, for a failed write, si_pid is the pid of
// this process.
var (
	// The kernel sends these for a fault of this process. If the kernel has sent the
	// signal, the handler calls the runtime's handler, which panics or aborts the program.
	faults = []syscall.Signal{syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL,
		syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGSTKFLT}
	// The kernel sends these if this process writes to a pipe without readers (write(2)),
	// writes beyond RLIMIT_FSIZE, or exceeds RLIMIT_CPU (setrlimit(2)). The handler drops
	// the signal if the kernel has sent it.
	own = []syscall.Signal{syscall.SIGPIPE, syscall.SIGXFSZ, syscall.SIGXCPU}
)

// notDelivered returns nil for every signal, because the handlers receive every signal that can
// be caught. The variant in ossignal.go returns an error for those that cannot be received by
// os/signal.
func notDelivered(syscall.Signal) error { return nil }

func open(isControl func(syscall.Signal) bool) (*Inbox, error) {
	var opened []pipe
	closeAll := func() {
		for _, p := range opened {
			p.out.Close()
		}
	}
	for _, size := range []int{childPipeSize, ctrlPipeSize, otherPipeSize} {
		p, err := newPipe(size)
		if err != nil {
			closeAll()
			return nil, fmt.Errorf("cannot make a pipe for signals: %w", err)
		}
		opened = append(opened, p)
	}
	childPipe, ctrlPipe, otherPipe := opened[0], opened[1], opened[2]

	child := make(chan os.Signal, childBuffer)
	ctrl := make(chan os.Signal, controlBuffer)
	other := make(chan os.Signal, otherBuffer)
	done := make(chan struct{})
	fill := func(to chan<- os.Signal) func(os.Signal) {
		return func(sig os.Signal) {
			select {
			case to <- sig:
			case <-done:
			}
		}
	}
	self = int32(os.Getpid())
	pipes[syscall.SIGCHLD] = childPipe.in
	var control, others []syscall.Signal
	for sig := syscall.Signal(1); sig <= rtMax; sig++ {
		switch {
		case CheckReceivable(sig) != nil:
		case isControl(sig):
			pipes[sig] = ctrlPipe.in
			control = append(control, sig)
		default:
			pipes[sig] = otherPipe.in
			others = append(others, sig)
		}
	}
	go childPipe.receive([]syscall.Signal{syscall.SIGCHLD}, func(sig os.Signal) {
		select {
		case child <- sig:
		default:
		}
	})
	go ctrlPipe.receive(control, fill(ctrl))
	go otherPipe.receive(others, fill(other))
	before := install()
	go keepUnblockedThread(done)
	return &Inbox{Child: child, Control: ctrl, Other: other, stop: func() {
		for sig, a := range before {
			signal.Reset(sig)
			setAction(sig, &a)
		}
		close(done)
		closeAll()
	}}, nil
}

// pipe is a pipe that handlers write to. The writing end (in) is never closed, because a
// handler may still be running on another thread. After a close, another file could get the
// same descriptor, and the handler would write to that file.
type pipe struct {
	in  int32
	out *os.File
}

func newPipe(size int) (pipe, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return pipe{}, err
	}
	_, _ = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, size)
	out := os.NewFile(uintptr(p[0]), "signals")
	// If epoll_ctl(2) fails, NewFile returns a file that the runtime does not poll. A Read of
	// an empty pipe would then fail with EAGAIN instead of waiting. SetReadDeadline fails for
	// such a file.
	if err := out.SetReadDeadline(time.Time{}); err != nil {
		out.Close()
		syscall.Close(p[1])
		return pipe{}, errNoPoll
	}
	return pipe{int32(p[1]), out}, nil
}

// errNoPoll names the likely cause, because package os does not return the error of
// epoll_ctl(2).
var errNoPoll = errors.New("epoll_ctl(2) fails (the limit of /proc/sys/fs/epoll/max_user_watches may be used up)")

// receive calls deliver for each signal in this pipe, and for those for which the pipe had no
// room (see deliverMissed), until the pipe is closed. signals lists the signals that use this
// pipe. Each read returns whole records, because writes of up to PIPE_BUF bytes are atomic
// (pipe(7)).
func (p pipe) receive(signals []syscall.Signal, deliver func(os.Signal)) {
	var records [64]record
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&records)), len(records)*recordSize)
	for {
		n, err := p.out.Read(buf)
		if err != nil {
			return
		}
		for _, r := range records[:n/recordSize] {
			if r.sig != 0 {
				deliver(syscall.Signal(r.sig))
			}
		}
		deliverMissed(signals, deliver)
	}
}

// deliverMissed delivers the signals for which the pipe had no room. It delivers a
// real-time signal as often as it was received. It delivers a standard signal only once,
// because the kernel also merges standard signals that are pending (signal(7)).
//
// receive calls deliverMissed after every read. After the handler has counted a signal
// there is always another read, because the handler then writes a record of zeros. If the
// pipe has no room for that record, it still holds other records to read.
func deliverMissed(signals []syscall.Signal, deliver func(os.Signal)) {
	for _, sig := range signals {
		n := atomic.SwapUint32(&missed[sig], 0)
		if sig < firstRealTime {
			n = min(n, 1)
		}
		for range n {
			deliver(sig)
		}
	}
}

// firstRealTime is the kernel's SIGRTMIN. The SIGRTMIN of glibc is 34, because glibc uses
// the first two real-time signals for its threads.
const firstRealTime = 32

// install sets the handlers and returns the actions that they replace.
func install() map[syscall.Signal]action {
	// signal.Ignore is called because the Go runtime then does not change the action of the
	// signal any more. Otherwise the runtime would reset a signal that was inherited as ignored
	// to the default action in every child. And after a write to a stdout or stderr without a
	// reader, os.File would raise SIGPIPE, which would end the process. The loop below replaces
	// the action that signal.Ignore sets.
	before := map[syscall.Signal]action{}
	for _, sig := range append(inherited.ignored, syscall.SIGPIPE) {
		before[sig] = setAction(sig, nil)
		signal.Ignore(sig)
	}
	// Flags and mask are copied from the runtime's action. So a handler runs on the
	// thread's signal stack (SA_ONSTACK) with all signals blocked, and interrupted system
	// calls are restarted (SA_RESTART).
	model := setAction(syscall.SIGSEGV, nil)
	runtimeHandler = model.handler
	every, unlessFault, unlessPreemption, unlessOwn := handlers()
	for sig, fd := range pipes {
		sig := syscall.Signal(sig)
		if fd == 0 {
			continue
		}
		a := model
		switch {
		case slices.Contains(faults, sig):
			a.handler = unlessFault
		case sig == syscall.SIGURG:
			a.handler = unlessPreemption
		case slices.Contains(own, sig):
			a.handler = unlessOwn
		default:
			a.handler = every
		}
		was := setAction(sig, &a)
		if _, known := before[sig]; !known {
			before[sig] = was
		}
	}
	return before
}

// keepUnblockedThread keeps one thread that blocks no signal, and returns when done is
// closed. In all other threads the signals that entry has blocked remain blocked, except
// those that the Go runtime unblocks (see the top of this file). Blocked signals stay
// pending until this thread runs, so Open need not wait for this thread.
func keepUnblockedThread(done <-chan struct{}) {
	runtime.LockOSThread() // never unlocked: the thread exits with this goroutine
	setMask(unix.SIG_SETMASK, 0)
	<-done
}

// ---- inherited state

// inherited holds the signal mask and the ignored signals with which the process was
// started. If entry has not run, the two are not exact, because the runtime has already
// replaced most ignored actions by its own, and unblocked some signals.
var inherited = func() (was struct {
	mask    uint64
	ignored []syscall.Signal
}) {
	was.mask = enteredMask
	if entered == 0 {
		was.mask = setMask(unix.SIG_BLOCK, 0)
	}
	for sig := syscall.Signal(1); sig <= rtMax; sig++ {
		a := enteredAction[sig-1]
		if entered == 0 {
			a = setAction(sig, nil)
		}
		// A program that ignores SIGCHLD cannot wait for its children (wait(2)), so an
		// ignored SIGCHLD is not passed on to the app.
		if a.handler == sigIgn && sig != syscall.SIGCHLD {
			was.ignored = append(was.ignored, sig)
		}
	}
	return was
}()

// WithInheritedSignals runs f with the signal mask and the ignored signals that this
// process was started with, except an ignored SIGCHLD. A program that f starts, by fork
// or exec, inherits them.
//
// While f runs, this process ignores these signals too. Such a signal is lost if it
// arrives in that time, just as it would be in the program that f starts. If f forks by
// package syscall, an ignored ILL, TRAP, BUS, FPE, SEGV, STKFLT, PROF, SYS or 33 is reset
// to the default action in the child. An exec without a fork does not reset them.
func WithInheritedSignals(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, sig := range inherited.ignored {
		before := setAction(sig, &action{handler: sigIgn})
		defer setAction(sig, &before)
	}
	defer setMask(unix.SIG_SETMASK, setMask(unix.SIG_SETMASK, inherited.mask))
	f()
}

// InheritedClosedFDs reports which of the descriptors 0, 1 and 2 were closed when the
// process was started. For a closed descriptor the Go runtime would open /dev/null, and
// abort if there is no /dev. So entry, which runs before the runtime, opens the directory /
// with O_PATH as that descriptor. The descriptor is then in use, but can be neither read nor
// written.
func InheritedClosedFDs() (closed [3]bool) {
	for fd := range closed {
		closed[fd] = enteredClosed&(1<<fd) != 0
	}
	return closed
}

// InjectedEnvVars returns the number of variables at the beginning of the environment that
// this package has put there before the Go runtime started. They configure the runtime of
// this process (GODEBUG, GOMAXPROCS, GOGC, GOMEMLIMIT) and are not for its children. If the
// same names occur again later in the environment, those variables are the app's.
func InjectedEnvVars() int {
	if entered == 0 {
		return 0
	}
	return injected
}

// injected is the number of variables that entry adds.
const injected = 4

// ---- system calls

const sigIgn = 1 // SIG_IGN; SIG_DFL is 0

// setAction sets the action of a signal by rt_sigaction(2), and returns the old action.
// If a is nil it changes nothing.
func setAction(sig syscall.Signal, a *action) (old action) {
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(old.mask), 0, 0)
	return old
}

// setMask changes the calling thread's mask and returns the old one.
func setMask(how int, mask uint64) (old uint64) {
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, uintptr(how), uintptr(unsafe.Pointer(&mask)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(mask), 0, 0)
	return old
}
