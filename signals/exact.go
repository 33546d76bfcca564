//go:build (amd64 || arm64) && !purego

package signals

import (
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Each signal gets a handler of our own, a few instructions in exact_*.s, in
// place of the runtime's. It writes the signal's siginfo into a pipe, which a
// goroutine reads. A handler runs once for each signal that the kernel has
// queued, so nothing is merged that the kernel did not merge; and as it does not
// matter on which thread it runs, nor when, there is no moment, around a fork
// for example, at which a signal could meet anything else.
//
// The shipped program begins at entry, in the same files, instead of at Go's own
// first instruction. That blocks everything, so that a signal which comes before
// Open waits for it, and notes what the runtime changes before any Go code could
// look: see [AsInherited], [ClosedFiles] and [ForRuntime].
//
// In every thread that the runtime makes it unblocks the signals that end a
// program (HUP, INT, QUIT, TERM), and those of faults: until Open these meet what
// is there for them. That would be the default action, which the kernel does not
// take for PID 1, so that the signal would be lost, and then the runtime's, which
// is to exit with status 2. So entry gives them an action before, to exit with
// 128+n; the runtime keeps that and comes back to it, but for QUIT.

// What entry has found. A program that was not linked with it, a test for
// example, learns what can still be learned: see inherited.
var (
	entered       uint32        // 1: entry has run
	enteredMask   uint64        // the mask; signal n is bit n-1
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

// What the handlers read.
//
//nolint:unused // read in exact_*.s
var (
	pipes          [rtMax + 1]int32 // where to write, by signal
	runtimeHandler uintptr          // what the runtime's own signals go to
)

// handlers returns the addresses of forward and forwardSent, in exact_*.s.
func handlers() (every, sent uintptr)

// Not to be called from Go, but vet holds the assembly against these.
//
//nolint:unused // see above
func entry()

//nolint:unused // see above
func ending()

//nolint:unused // see above
func forward()

//nolint:unused // see above
func forwardSent()

// record is what a handler writes: the head of siginfo_t (sigaction(2)).
type record struct {
	sig    int32
	_      [3]int32 // si_errno, si_code, nothing
	pid, _ int32    // si_pid, si_uid
}

const recordSize = int(unsafe.Sizeof(record{}))

// A pipe holds what handlers have written and nobody has read: 2,700 records in a
// pipe as it is made, and less of what needs no more. All pipes of a user, on the
// whole machine, share what pipe(7) calls pipe-user-pages-soft.
const (
	childPipeSize = 4 << 10 // a level
	ctrlPipeSize  = 16 << 10
	otherPipeSize = 64 << 10
)

// stayWithRuntime are the signals that the kernel raises for this process's own
// faults, and the one by which the runtime interrupts its threads. Those carry a
// si_code that nobody else's have, and go to the runtime as ever; what comes
// from kill(2) or sigqueue(3) goes to the app.
var stayWithRuntime = []syscall.Signal{syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL,
	syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGSTKFLT, syscall.SIGURG}

// notDelivered has nothing to say: whatever is sent arrives.
func notDelivered(syscall.Signal) error { return nil }

func open() *Inbox {
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
	childPipe := newPipe(childPipeSize, func(sig os.Signal) {
		select {
		case child <- sig:
		default:
		}
	})
	ctrlPipe, otherPipe := newPipe(ctrlPipeSize, fill(ctrl)), newPipe(otherPipeSize, fill(other))

	pipes[syscall.SIGCHLD] = childPipe.in
	for sig := syscall.Signal(1); sig <= rtMax; sig++ {
		switch {
		case isControl(sig):
			pipes[sig] = ctrlPipe.in
		case Receivable(sig) == nil:
			pipes[sig] = otherPipe.in
		}
	}
	before := install()
	go hear(done)
	return &Inbox{Child: child, Control: ctrl, Other: other, stop: func() {
		for sig, a := range before {
			signal.Reset(sig)
			setAction(sig, &a)
		}
		close(done)
		for _, p := range []pipe{childPipe, ctrlPipe, otherPipe} {
			p.out.Close()
		}
	}}
}

// A pipe that handlers write to. Its end for them is never closed: one may be
// running on another thread, and the number would soon be another file's.
type pipe struct {
	in  int32
	out *os.File
}

// newPipe makes a pipe, and hands what comes out of it to got.
func newPipe(size int, got func(os.Signal)) pipe {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		// Nothing has begun, and no signal would ever be heard.
		panic("no pipe for signals: " + err.Error())
	}
	_, _ = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, size)
	out := os.NewFile(uintptr(p[0]), "signals")
	go receive(out, got)
	return pipe{int32(p[1]), out}
}

// receive reads records until the pipe is closed. Each is written and so read
// as a whole (pipe(7): it is smaller than PIPE_BUF).
func receive(from *os.File, got func(os.Signal)) {
	var records [64]record
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&records)), len(records)*recordSize)
	self := int32(os.Getpid())
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		for _, r := range records[:n/recordSize] {
			sig := syscall.Signal(r.sig)
			if sig == syscall.SIGPIPE && r.pid == self {
				continue // for a write of our own to a closed pipe or socket
			}
			got(sig)
		}
	}
}

// install puts the handlers in place and returns what was there.
func install() map[syscall.Signal]action {
	// What the runtime is told to ignore it leaves alone: it would make the
	// inherited "ignore"s the default in every child, and end the process after
	// a write to a closed stdout or stderr.
	before := map[syscall.Signal]action{}
	for _, sig := range append(inherited.ignored, syscall.SIGPIPE) {
		before[sig] = setAction(sig, nil)
		signal.Ignore(sig)
	}
	// As the runtime has set it up for its own: on stacks that it keeps for this,
	// with all signals blocked meanwhile, system calls resumed.
	model := setAction(syscall.SIGSEGV, nil)
	runtimeHandler = model.handler
	every, sent := handlers()
	for sig, fd := range pipes {
		sig := syscall.Signal(sig)
		switch {
		case fd == 0:
			continue
		case slices.Contains(stayWithRuntime, sig):
			model.handler = sent
		default:
			model.handler = every
		}
		was := setAction(sig, &model)
		if _, known := before[sig]; !known {
			before[sig] = was
		}
	}
	return before
}

// hear keeps one thread that blocks no signal, until done is closed: all others
// have the mask with which the process began. Nobody waits for it to begin, the
// app's start least of all: until then the signals are pending.
func hear(done <-chan struct{}) {
	runtime.LockOSThread() // and never unlocked: the thread ends with this
	setMask(unix.SIG_SETMASK, 0)
	<-done
}

// ---- what was inherited

// inherited is what the process was started with. Where entry has not run, the
// runtime has replaced all "ignore"s but a few, and unblocked some signals.
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
		// An app that ignores SIGCHLD could not wait for its children; nobody
		// means that who starts a container.
		if a.handler == sigIgn && sig != syscall.SIGCHLD {
			was.ignored = append(was.ignored, sig)
		}
	}
	return was
}()

// AsInherited runs f with the signal mask that this process was started with,
// and with the signals ignored that were ignored then, but for SIGCHLD. So what
// f starts, by fork or exec, gets them as if this process were not there.
//
// While f runs, those signals are ignored here as well, and one that comes then
// is lost: the program that is being started would have ignored it. A fork by
// package syscall, not an exec, makes an exception: the "ignore" of ILL, TRAP,
// BUS, FPE, SEGV, STKFLT, PROF, SYS and of 33 becomes the default.
func AsInherited(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, sig := range inherited.ignored {
		before := setAction(sig, &action{handler: sigIgn})
		defer setAction(sig, &before)
	}
	defer setMask(unix.SIG_SETMASK, setMask(unix.SIG_SETMASK, inherited.mask))
	f()
}

// ClosedFiles says which of the descriptors 0, 1 and 2 were closed when the
// process was started. The runtime opens /dev/null in their place and, where
// there is no /dev, gives up; entry is quicker and puts in what can neither be
// read nor written.
func ClosedFiles() (closed [3]bool) {
	for fd := range closed {
		closed[fd] = enteredClosed&(1<<fd) != 0
	}
	return closed
}

// ForRuntime is how many variables at the front of the environment are for this
// process's own runtime, and no child's: entry has put them there. GODEBUG,
// GOMAXPROCS, GOGC and GOMEMLIMIT as they were set are meant for the app.
func ForRuntime() int {
	if entered == 0 {
		return 0
	}
	return forRuntime
}

// forRuntime is how many entry puts there.
const forRuntime = 4

// ---- system calls

const sigIgn = 1 // SIG_IGN; SIG_DFL is 0

// setAction is sigaction(2); it returns the old action, and with a nil one it
// changes nothing.
func setAction(sig syscall.Signal, a *action) (old action) {
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(old.mask), 0, 0)
	return old
}

// setMask changes the calling thread's mask and returns the old one.
func setMask(how int, mask uint64) (old uint64) {
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, uintptr(how), uintptr(unsafe.Pointer(&mask)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(mask), 0, 0)
	return old
}
