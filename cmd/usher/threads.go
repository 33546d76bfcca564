package main

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/supervisor"
)

// The Go runtime starts a thread when a goroutine stays in a system call, no
// other thread is idle, and something has to run the other goroutines. If
// clone(2) fails it ends the process with a trace ("newosproc"). An app that
// uses up the pids limit would end usher like that, so usher makes all threads
// that it may need before it starts the app. The runtime keeps them.

// makeThreads does so if there will be an app that usher looks after. The error
// says that the container's pids limit has no room for them.
func makeThreads(o *options, valid bool) (*spares, error) {
	if !valid || o.help || o.version || o.otherForm || o.plan || o.config.Exec || len(o.config.Command) == 0 {
		return &spares{}, nil
	}
	blocked := blockedAtOnce(&o.config, o.verbose)
	if err := checkPids(blocked+otherThreads, runsCommands(&o.config)); err != nil {
		return &spares{}, err
	}
	return spareThreads(blocked + pollThread + signalThread), nil
}

// What usher has beside the threads in blocked system calls.
const (
	runThread      = 1 // runs goroutines
	pollThread     = 1 // waits in epoll_wait(2)
	signalThread   = 1 // receives signals, see package signals
	monitorThread  = 1 // the runtime's own: it notices blocked system calls
	templateThread = 1 // the runtime's own: it starts threads for locked ones

	otherThreads = runThread + pollThread + signalThread + monitorThread + templateThread
)

// blockedAtOnce is how many goroutines may be in a system call at the same time
// once the app runs. A call of a wait target may last until then.
func blockedAtOnce(c *supervisor.Config, verbose bool) int {
	targets := allTargets(c)
	n := 1 // the start of the app; later a look at /proc, or the termination log
	if verbose || c.Grace > 0 || c.Readiness != nil || len(targets) > 0 {
		// The log, which somebody may not read. Without any of these nothing is
		// printed between the start of the app and its exit.
		n++
	}
	if c.Readiness != nil {
		n++ // accept(2) or close(2) of --health; see threadless
	}
	if slices.ContainsFunc(targets, func(t probes.Target) bool { return t.ReadsFiles }) {
		n += probes.MaxFileThreads
	}
	if runsCommands(c) {
		n++ // the start of a command; the supervisor starts one at a time
	}
	if os.Getpid() != 1 || inheritsFiles() {
		n++ // close(2) of what only the app needs, stdin and stdout or inherited files
	}
	return n
}

func allTargets(c *supervisor.Config) []probes.Target {
	return slices.Concat(c.Wait, c.PreStart, c.Ready, c.PostStart, c.Drain, c.PostStop)
}

func runsCommands(c *supervisor.Config) bool {
	return slices.ContainsFunc(allTargets(c), func(t probes.Target) bool { return t.Kind == "command" })
}

// spareThreads makes the runtime have n threads beside the one that runs
// goroutines, and beside those that others keep for themselves later. It is to be
// called before any goroutine of usher's begins: each would be run before it returns.
//
// Each of n goroutines blocks in a system call of its own until all have begun
// theirs, so that the runtime needs a further thread after each of them. That
// takes about 30 µs a thread. LockOSThread would do it without the runtime's
// internals, in several times that, because the runtime then starts each thread
// from yet another one.
//
// When spareThreads returns, the threads are still on their way out of their
// system calls: see wait.
func spareThreads(n int) *spares {
	// With more processors the runtime would need a thread for each of them.
	runtime.GOMAXPROCS(1)

	s := &spares{blocked: make([]uint32, n)}
	s.goroutines.Add(n)
	var begun atomic.Int32
	all := make(chan struct{})
	for i := range s.blocked {
		s.blocked[i] = 1
		go func() {
			if begun.Add(1) == int32(n) {
				close(all)
			}
			blockUntilOpen(&s.open, &s.blocked[i])
			s.goroutines.Done()
		}()
	}
	<-all // received by one thread more, as these are about to block
	atomic.StoreUint32(&s.open, 1)
	_ = futex(&s.open, futexWake, uint32(n))
	return s
}

// spares are the threads that spareThreads makes.
type spares struct {
	open       uint32   // a futex, 1: nobody blocks any longer
	blocked    []uint32 // a futex for each thread, 1: still in its system call
	goroutines sync.WaitGroup
}

// settle returns when the runtime counts all threads as idle. If a goroutine blocks
// before that, the runtime makes a further thread.
func (s *spares) settle() {
	s.wait()
	s.goroutines.Wait()
}

// blockUntilOpen waits in a system call of which the runtime knows that it
// blocks: it lets another thread run goroutines at once. Between its first and
// last line no code may need more stack, or call the race detector as functions
// of sync/atomic do.
//
//go:nosplit
//go:norace
func blockUntilOpen(open, blocked *uint32) {
	entersyscallblock()
	_ = futex(open, futexWait, 0)
	*blocked = 0
	_ = futex(blocked, futexWake, 1)
	exitsyscall()
}

// wait returns when all have left their system calls. It does not let other
// goroutines run, which would take longer: for a plain init this is enough, because
// it blocks in no system call before the app runs.
func (s *spares) wait() {
	for i := range s.blocked {
		errno := syscall.Errno(0)
		for errno == 0 || errno == syscall.EINTR { // EAGAIN once it is not 1
			errno = futex(&s.blocked[i], futexWait, 1)
		}
	}
}

const (
	futexWait = 128 // FUTEX_WAIT_PRIVATE: EAGAIN if the value is not as given
	futexWake = 129 // FUTEX_WAKE_PRIVATE: so many
)

// futex makes the system call without telling the runtime.
//
//go:nosplit
//go:norace
func futex(at *uint32, operation, value uint32) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(at)), uintptr(operation), uintptr(value), 0, 0, 0)
	return errno
}

// These two are open to linkname (go.dev/issue/67401): gVisor uses them too.

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()
