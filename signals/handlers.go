//go:build (amd64 || arm64) && !purego

package signals

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Each signal gets one of our own handlers, a few instructions in handlers_*.s, in
// place of the runtime's. The handler writes the beginning of the siginfo_t to a
// pipe, and a goroutine reads it from there. If the pipe is full, the handler counts
// the signal in missed and the goroutine delivers it from there, so a flood of signals
// loses none of them. A handler runs once for each signal that the kernel has queued,
// so signals are merged only where the kernel merges them. It may run on any thread at
// any time, around a fork too.
//
// The shipped program begins at entry, in the same files, instead of at Go's own
// first instruction. entry blocks all signals, so that those which come before Open
// stay pending until then, and saves what the Go runtime changes before any Go code
// runs: see [WithInheritedSignals], [InheritedClosedFDs] and [InjectedEnvVars].
//
// The runtime unblocks the signals that end a program (HUP, INT, QUIT, TERM) and
// those of faults in every thread that it makes. Until Open these would have their
// default action, which the kernel skips for PID 1, so that the signal would be lost;
// and later the runtime's, which is to exit with status 2. So entry sets a handler
// that exits with 128+n. The runtime saves it, and calls it in place of its own for
// all of them but QUIT.

// What entry has saved. A program that was not linked with entry, such as a test,
// finds out the rest in another way: see inherited.
var (
	entered       uint32        // 1: entry has run
	enteredMask   uint64        // the signal mask; signal n is bit n-1
	enteredClosed uint32        // bit n: descriptor n was closed
	enteredAction [rtMax]action // the action of signal n is at n-1
)

// action is the kernel's struct sigaction, as both processors have it
// (rt_sigaction(2)).
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// What the handlers read and write.
//
//nolint:unused // pipes, runtimeHandler, self: read in handlers_*.s
var (
	pipes          [rtMax + 1]int32  // the descriptor to write to, by signal
	missed         [rtMax + 1]uint32 // how many did not fit into the pipe, by signal
	runtimeHandler uintptr           // the Go runtime's own handler
	self           int32             // the pid of this process
)

// handlers returns the addresses of the four handlers in handlers_*.s.
func handlers() (every, unlessFault, unlessPreemption, unlessOwn uintptr)

// They are not called from Go, but vet checks the assembly against these.
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

// record is what a handler writes: the beginning of siginfo_t (sigaction(2)). A record
// of zeros only wakes the reader, which then looks at missed.
type record struct {
	sig int32
	_   [5]int32 // si_errno, si_code, padding, si_pid, si_uid
}

const recordSize = int(unsafe.Sizeof(record{}))

// The sizes of the pipes. All pipes of a user, on the whole machine, share what pipe(7)
// calls pipe-user-pages-soft; 4 KiB hold 170 records.
const (
	childPipeSize = 4 << 10 // a level
	ctrlPipeSize  = 16 << 10
	otherPipeSize = 64 << 10
)

// The signals that the kernel or the Go runtime also send to this process for
// reasons of their own. Their handlers tell these apart by siginfo_t's si_code, which
// is greater than 0 only for signals that the kernel sends, and by si_pid.
var (
	// For faults of this process. They go to the runtime, which panics.
	faults = []syscall.Signal{syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL,
		syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGSTKFLT}
	// For a write of this process to a pipe without readers (write(2)) or beyond
	// RLIMIT_FSIZE, and for RLIMIT_CPU (setrlimit(2)). They are dropped.
	own = []syscall.Signal{syscall.SIGPIPE, syscall.SIGXFSZ, syscall.SIGXCPU}
)

// notDelivered returns nil: every signal can be received here.
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
	go childPipe.receive(nil, func(sig os.Signal) {
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

// A pipe that handlers write to. Its writing end is never closed: a handler may be
// running on another thread, and the number could then belong to another file.
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
	return pipe{int32(p[1]), os.NewFile(uintptr(p[0]), "signals")}, nil
}

// receive passes the signals that are written to this pipe to deliver, until the pipe
// is closed. A record is written and so read as a whole, because it is smaller than
// PIPE_BUF (pipe(7)).
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

// deliverMissed delivers the signals for which the pipe had no room, each real-time
// signal as often as it was received. Of every other one the kernel keeps at most one
// pending (signal(7)), so one stands for all of them here too.
//
// It is called after every read. A handler first counts the signal and then tries to
// write a record of zeros, so there is always a read after the count: of that record
// or, if it does not fit either, of those before it.
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

// firstRealTime is the kernel's SIGRTMIN; glibc uses two of them for its threads.
const firstRealTime = 32

// install puts the handlers in place and returns the actions that were there.
func install() map[syscall.Signal]action {
	// Signals that the Go runtime was told to ignore stay ignored by it. Otherwise it
	// would reset the inherited ones to the default in every child, and end the process
	// after a write to a closed stdout or stderr (os.File does that for SIGPIPE).
	before := map[syscall.Signal]action{}
	for _, sig := range append(inherited.ignored, syscall.SIGPIPE) {
		before[sig] = setAction(sig, nil)
		signal.Ignore(sig)
	}
	// Flags and mask are the runtime's: run on the signal stack of the thread with all
	// signals blocked, and restart interrupted system calls (SA_ONSTACK, SA_RESTART).
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

// keepUnblockedThread keeps a thread that blocks no signal until done is closed: all
// others have the mask with which the process began. Signals stay pending until it
// runs, so Open does not wait for it.
func keepUnblockedThread(done <-chan struct{}) {
	runtime.LockOSThread() // never unlocked: the thread exits with this goroutine
	setMask(unix.SIG_SETMASK, 0)
	<-done
}

// ---- what was inherited

// inherited is the signal mask and the ignored signals with which the process was
// started. Where entry has not run, the runtime has already replaced most ignored
// actions by its own, and unblocked some signals.
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
		// A program that ignores SIGCHLD cannot wait for its children (wait(2)), and
		// nobody who starts a container wants that for the app.
		if a.handler == sigIgn && sig != syscall.SIGCHLD {
			was.ignored = append(was.ignored, sig)
		}
	}
	return was
}()

// WithInheritedSignals runs f with the signal mask and the ignored signals that this
// process was started with, except an ignored SIGCHLD. A program that f starts, by fork
// or exec, inherits them as if this process were not between.
//
// While f runs, these signals are ignored by this process too, and one that comes
// then is lost; the program that is being started would have ignored it. After a fork
// by package syscall, but not after an exec, an ignored ILL, TRAP, BUS, FPE, SEGV,
// STKFLT, PROF, SYS or 33 becomes the default.
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

// InheritedClosedFDs returns which of the descriptors 0, 1 and 2 were closed when the
// process was started. The Go runtime opens /dev/null in their place and aborts if
// there is no /dev; entry runs before it and opens a descriptor that can neither be
// read nor written.
func InheritedClosedFDs() (closed [3]bool) {
	for fd := range closed {
		closed[fd] = enteredClosed&(1<<fd) != 0
	}
	return closed
}

// InjectedEnvVars returns how many variables entry has put in front of the
// environment. They configure the Go runtime of this process (GODEBUG, GOMAXPROCS,
// GOGC, GOMEMLIMIT) and are not for its children; the variables of the same names
// behind them are the app's.
func InjectedEnvVars() int {
	if entered == 0 {
		return 0
	}
	return injected
}

// injected is how many variables entry puts there.
const injected = 4

// ---- system calls

const sigIgn = 1 // SIG_IGN; SIG_DFL is 0

// setAction is sigaction(2). It returns the old action, and changes nothing if a is nil.
func setAction(sig syscall.Signal, a *action) (old action) {
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(old.mask), 0, 0)
	return old
}

// setMask changes the calling thread's mask and returns the old one.
func setMask(how int, mask uint64) (old uint64) {
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, uintptr(how), uintptr(unsafe.Pointer(&mask)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(mask), 0, 0)
	return old
}
