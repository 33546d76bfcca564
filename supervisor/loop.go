package supervisor

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/usher-init/usher/signals"
)

// loop is the one owner of all state: it receives signals, reaps children and
// runs the calls of other goroutines. Everything that is not explicitly said to
// run elsewhere runs in it, so nothing here needs a lock.
type loop struct {
	sys       kernel
	inbox     *signals.Inbox
	calls     chan func()         // unbuffered: work for the loop from other goroutines
	questions <-chan chan<- error // from Readiness; nil: nobody can ask
	done      chan struct{}       // closed when Run returns, so that nobody waits for calls

	owners    map[int]func(Exit)    // what to call when a started process exits, by pid
	starting  int                   // starts that have not returned yet
	unclaimed []status              // reported by wait4 meanwhile; each may be of a start that has not returned
	commands  map[*command]struct{} // commands of hooks and probes that have not exited
	pending   map[int]bool          // process groups that had SIGTERM and get SIGKILL; true: the leader has been reaped
	gcPercent int                   // of the garbage collector, to be restored after a start
	oneProc   bool                  // GOMAXPROCS is to be 1 again after a start
	alone     bool                  // the last wait4 said ECHILD: there is no child at all
	more      bool                  // reap has stopped before there was no more

	reaped int             // how many processes have been reaped
	exits  map[int]reaping // who they were; nil: not recorded yet

	// responsive: something beside the app may be started, so there may be signals and
	// deadlines to attend to during a start. A plain init starts the app, and has nothing
	// to do before that.
	responsive bool

	onSignal   func(syscall.Signal)
	onQuestion func(reply chan<- error)
	onOrphan   func(pid int, e Exit)
	onStopped  func(pid int, sig syscall.Signal) // 0: it was continued
	onFailed   func(pid int, name string, sig syscall.Signal, err error)
}

// status is what wait4 has reported of a process before its owner was known.
type status struct {
	pid     int
	exit    Exit
	stopped syscall.Signal // it was stopped by this, and has not exited
}

// reaping is how a process exited, and when: it was the nth to be reaped.
type reaping struct {
	Exit
	at time.Time
	n  int
}

func newLoop(sys kernel, inbox *signals.Inbox) *loop {
	return &loop{
		sys: sys, inbox: inbox, calls: make(chan func()), done: make(chan struct{}),
		owners: map[int]func(Exit){}, commands: map[*command]struct{}{}, pending: map[int]bool{},
	}
}

// until runs the loop until done reports true or ctx ends, and then returns
// ctx's cause. It is the only place where the program waits. Handlers record
// facts and never call until.
func (l *loop) until(ctx context.Context, done func() bool) error {
	for !done() {
		var more chan struct{}
		if l.more {
			more = alwaysReady
		}
		select {
		case <-l.inbox.Child:
			l.reap()
		case <-more:
			l.reap()
		case sig := <-l.inbox.Control:
			l.signal(sig)
		case sig := <-l.inbox.Other:
			l.signal(sig)
		case call := <-l.calls:
			call()
		case reply := <-l.questions:
			l.onQuestion(reply)
		case <-ctx.Done():
			// An exit that beat the deadline counts, whichever case select picked.
			l.reap()
			if !done() {
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// alwaysReady is a channel from which can always be received.
var alwaysReady = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (l *loop) signal(sig os.Signal) {
	// The kernel sent SIGCHLD for an exit before this signal, but it may still be
	// in its channel.
	l.reap()
	l.onSignal(sig.(syscall.Signal))
}

// reapAtOnce is how many statuses reap takes in one go: thousands of processes can
// exit in one moment, and signals and deadlines must not wait for all of them.
const reapAtOnce = 256

// reap takes the children that have exited. SIGCHLD is a level, not an edge: one of
// them may stand for many exits, so this goes on until wait4 returns no more, or in
// the next round of until.
func (l *loop) reap() {
	before := l.reaped
	l.more = true
	for l.reaped < before+reapAtOnce {
		pid, ws, err := l.sys.wait()
		l.alone = err == syscall.ECHILD
		if err != nil || pid == 0 {
			l.more = false
			break
		}
		switch {
		case ws.Stopped() && l.starting > 0 && l.owners[pid] == nil:
			l.unclaimed = append(l.unclaimed, status{pid: pid, stopped: ws.StopSignal()})
		case ws.Stopped():
			l.onStopped(pid, ws.StopSignal())
		case ws.Continued():
			l.onStopped(pid, 0)
		default:
			l.reapedOne(pid, exitOf(ws))
		}
	}
	if l.reaped > before {
		l.forgetEmptyGroups()
	}
}

func (l *loop) reapedOne(pid int, e Exit) {
	l.reaped++
	if l.exits != nil {
		l.exits[pid] = reaping{e, time.Now(), l.reaped}
	}
	switch owner := l.owners[pid]; {
	case owner != nil:
		delete(l.owners, pid)
		owner(e)
	case l.starting > 0:
		l.unclaimed = append(l.unclaimed, status{pid: pid, exit: e})
	default:
		l.onOrphan(pid, e)
	}
}

// start starts p in a goroutine of its own. Between fork and the end of execve(2)
// the calling thread is blocked (vfork), and that can last: the working directory
// or the executable may be on a file system that does not answer, the file may be
// under a lease, a debugger or a hostile app may have stopped the child.
//
// started is called in the loop with the result, and then exited once the process
// has. The pid is unknown until then, so what is reaped meanwhile is kept.
func (l *loop) start(p process, started func(child, error), exited func(Exit)) {
	if l.starting++; l.starting == 1 {
		l.beginStarts()
	}
	run := l.sys.start(p)
	go func() {
		c, err := run()
		l.post(func() {
			if l.starting--; l.starting == 0 {
				l.endStarts()
			}
			if err == nil {
				l.owners[c.pid] = exited
				delete(l.pending, c.pid) // that group is gone, or its number would not be free
				l.sys.started(p, c)
			}
			started(c, err)
			l.claim(c.pid)
		})
	}()
}

// claim delivers what wait4 has reported of a process before its start returned.
// When no start is under way any more the rest are orphans.
func (l *loop) claim(pid int) {
	all := l.unclaimed
	l.unclaimed = nil
	for _, st := range all {
		switch {
		case st.pid != pid && l.starting > 0:
			l.unclaimed = append(l.unclaimed, st)
		case st.stopped != 0:
			l.onStopped(st.pid, st.stopped)
		case st.pid == pid && l.owners[pid] != nil:
			owner := l.owners[pid]
			delete(l.owners, pid)
			owner(st.exit)
		default:
			l.onOrphan(st.pid, st.exit)
		}
	}
}

// beginStarts prepares the Go runtime for a thread that is blocked in vfork, which
// holds one processor of the scheduler: the loop needs another one. The garbage
// collector stops all goroutines for a moment, and would wait for that thread as long
// as it takes; so it is paused. A collection that is under way is finished before this
// returns.
func (l *loop) beginStarts() {
	if !l.responsive {
		return
	}
	l.gcPercent = debug.SetGCPercent(-1)
	if l.oneProc = runtime.GOMAXPROCS(0) == 1; l.oneProc {
		runtime.GOMAXPROCS(2)
	}
}

// endStarts undoes that. With a second processor the runtime would keep a thread more.
func (l *loop) endStarts() {
	if !l.responsive {
		return
	}
	if l.oneProc {
		runtime.GOMAXPROCS(1)
	}
	debug.SetGCPercent(l.gcPercent)
}

// post hands f to the loop from another goroutine. It reports false when the
// loop has ended for good.
func (l *loop) post(f func()) bool {
	select {
	case l.calls <- f:
		return true
	case <-l.done:
		return false
	}
}

// after runs f in the loop once d has passed.
func (l *loop) after(d time.Duration, f func()) { time.AfterFunc(d, func() { l.post(f) }) }

// job is work that runs in a goroutine of its own and ends in the loop.
type job struct {
	done bool
	err  error
}

func (j *job) hasEnded() bool { return j.done }

// spawn runs f beside the loop.
func (l *loop) spawn(f func() error) *job {
	j := &job{}
	go func() {
		err := f()
		l.post(func() { j.done, j.err = true, err })
	}()
	return j
}
