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

// The Go runtime starts a thread when a goroutine stays in a system call, no other thread
// is idle, and there are other goroutines to run. If clone(2) fails, the runtime ends the
// process with a trace ("newosproc"). An app that uses up the pids limit could cause that.
// So usher makes all threads that it may need before it starts the app. The runtime keeps
// idle threads.

// makeThreads makes all threads that usher may need, if the options are valid and usher will
// start an app and stay its parent. It returns an error if the limit of descriptors or of
// processes is too low for usher.
func makeThreads(o *options, valid bool) (*spares, error) {
	if !valid || o.help || o.version || o.otherForm || o.plan || o.config.Exec || len(o.config.Command) == 0 {
		return &spares{}, nil
	}
	if err := checkFileLimit(neededDescriptors(o)); err != nil {
		return &spares{}, err
	}
	blocked := blockedAtOnce(o)
	if err := checkPids(blocked+otherThreads, runsCommands(&o.config)); err != nil {
		return &spares{}, err
	}
	return spareThreads(blocked + pollThread + signalThread), nil
}

// Usher needs these threads, and one thread for each goroutine in a blocked system call.
const (
	runThread      = 1 // runs goroutines
	pollThread     = 1 // waits in epoll_wait(2)
	signalThread   = 1 // receives signals, see package signals
	monitorThread  = 1 // a thread of the runtime that notices blocked system calls
	templateThread = 1 // a thread of the runtime that starts new threads on behalf of locked threads

	otherThreads = runThread + pollThread + signalThread + monitorThread + templateThread
)

// blockedAtOnce returns how many goroutines may be in a system call at the same time once
// the app runs. It counts the --wait targets too, because a system call of their probes may
// still hang when the app has started.
func blockedAtOnce(o *options) int {
	c := &o.config
	targets := allTargets(c)
	n := 1 // one goroutine starts the app; after that, one reads /proc or writes the termination log
	if o.verbose || c.Grace > 0 || c.Readiness != nil || len(targets) > 0 {
		// A write to the log may block. Without these flags and targets, usher prints
		// nothing between the start of the app and its exit, except an error when it cannot
		// send a signal to the app.
		n++
	}
	if c.Readiness != nil {
		// One goroutine accepts connections for --health, and another one may be closing one. Reads
		// and writes need no thread of their own, and only one goroutine at a time closes (see
		// threadless.go).
		n += 2
	}
	if o.notifySocket != "" {
		n++ // one goroutine sends to the service manager, and the socket's file system may not respond
	}
	if slices.ContainsFunc(targets, func(t probes.Target) bool { return t.ReadsFiles }) {
		n += probes.MaxFileThreads
	}
	if runsCommands(c) {
		n++ // one goroutine starts a command; the supervisor starts one command at a time
	}
	if os.Getpid() != 1 || inheritsFiles() {
		n++ // one goroutine closes usher's copies of files that only the app needs: stdin, stdout, inherited files
	}
	return n
}

func allTargets(c *supervisor.Config) []probes.Target {
	return slices.Concat(c.Wait, c.PreStart, c.Ready, c.PostStart, c.Drain, c.PostStop)
}

func runsCommands(c *supervisor.Config) bool {
	return slices.ContainsFunc(allTargets(c), func(t probes.Target) bool { return t.Kind == "command" })
}

// spareThreads makes the runtime start n threads, besides the thread that runs goroutines.
// It must be called before usher starts any other goroutine. Otherwise that goroutine would
// run before spareThreads returns, and the runtime might start a further thread for it.
//
// spareThreads starts n goroutines. Each of them blocks in a system call until all n are
// blocked, so the runtime needs n further threads. That takes about 30 µs a thread.
// runtime.LockOSThread in each goroutine would also make the runtime start n threads, without
// the unexported functions of the runtime that blockUntilOpen calls. But it takes several times
// as long, because the runtime then starts each thread from another thread.
//
// When spareThreads returns, the threads may still be in their system calls; the method
// wait waits for them.
func spareThreads(n int) *spares {
	// With a higher GOMAXPROCS the runtime would run goroutines in more than one thread at a
	// time, and start further threads for that.
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
	<-all // spareThreads continues in a further thread, because the n threads are blocked
	atomic.StoreUint32(&s.open, 1)
	_ = futex(&s.open, futexWake, uint32(n))
	return s
}

// spares holds the state of the threads that spareThreads makes.
type spares struct {
	open       uint32   // a futex; blockUntilOpen waits only while its value is 0
	blocked    []uint32 // a futex for each thread; its value is 1 while the thread is in its system call
	goroutines sync.WaitGroup
}

// settle waits until the runtime counts all threads as idle. If a goroutine blocks before
// that, the runtime makes a further thread.
func (s *spares) settle() {
	s.wait()
	s.goroutines.Wait()
}

// blockUntilOpen waits in a system call, and announces to the runtime that the call blocks.
// So the runtime lets another thread run goroutines at once. The code between
// entersyscallblock and exitsyscall must not grow the stack. It must not call the race
// detector either, so it does not use sync/atomic.
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

// wait returns when all threads have left their system calls. Unlike settle, it does not
// let other goroutines run, so it takes less time. Without targets, --grace and --health,
// usher makes no blocking system call before the app runs, so the runtime starts no other
// thread, and settle is not needed.
func (s *spares) wait() {
	for i := range s.blocked {
		errno := syscall.Errno(0)
		for errno == 0 || errno == syscall.EINTR { // the error is EAGAIN when the value is no longer 1
			errno = futex(&s.blocked[i], futexWait, 1)
		}
	}
}

const (
	futexWait = 128 // FUTEX_WAIT_PRIVATE: EAGAIN if the futex has another value
	futexWake = 129 // FUTEX_WAKE_PRIVATE: the value is the maximum number of threads to wake
)

// futex makes a raw system call, which the runtime does not notice.
//
//go:nosplit
//go:norace
func futex(at *uint32, operation, value uint32) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(at)), uintptr(operation), uintptr(value), 0, 0, 0)
	return errno
}

// The runtime allows go:linkname for these two functions, because gVisor uses them too
// (go.dev/issue/67401).

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()
