package supervisor

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/usher-init/usher/signals"
)

// loop receives signals, reaps children and runs functions that other goroutines post. The
// methods of loop and supervisor run in the goroutine of Run or Ask ("in the loop") unless
// their comments say otherwise, so no locks are needed.
type loop struct {
	sys       kernel
	inbox     *signals.Inbox
	calls     chan func()     // functions that other goroutines post; unbuffered
	questions <-chan question // calls of Readiness.Ask and AskServing; nil if Config.Readiness is nil
	done      chan struct{}   // closed when Run or Ask returns, so that post does not block for ever

	owners     map[int]func(Exit)    // by pid: the function to call when that process exits; orphans are not in the map
	starting   int                   // the number of processes whose start has not returned yet
	forking    int                   // the number of starts that may be blocked in vfork
	unclaimed  []status              // statuses that wait4 reported, during a start, for pids that are not in owners
	commands   map[*command]struct{} // commands of hooks and probes, from startCommand until finishCommand
	pending    map[int]pendingGroup  // by number: process groups that got SIGTERM and will get SIGKILL
	killed     map[int]bool          // by number: process groups that got SIGKILL; they may still have processes
	gcPercent  int                   // GOGC before beginFork turned the garbage collector off
	oneProc    bool                  // GOMAXPROCS was 1 before beginFork raised it
	noChildren bool                  // the last wait4 returned ECHILD: usher has no children
	more       bool                  // reap stopped at its limit, so there may be more children to reap

	reaped int             // the number of processes that have been reaped
	exits  map[int]reaping // by pid: how and when each process exited; nil until rememberProcesses or beginLeftovers begins the record

	// If responsive is true, the method start forks by duringFork, so that the loop can run
	// during the fork. It is false if the configuration has no targets, no hooks and no Grace:
	// then the only fork is that of the app, and the loop has nothing to do before the app has
	// started.
	responsive bool

	onSignal   func(syscall.Signal)
	onQuestion func(question)
	onOrphan   func(pid int, e Exit)
	onStopped  func(pid int, sig syscall.Signal) // sig 0: the child was continued
	onFailed   func(pid int, name string, sig syscall.Signal, err error)
}

// status is the result of wait4 for a process that is not in loop.owners, because the start of
// the process has not returned yet or because the process is an orphan.
type status struct {
	pid     int
	exit    Exit
	stopped syscall.Signal // the signal that stopped it; 0: it exited
	n       int            // loop.reaped after this exit; for a stop, loop.reaped + 1, so that n is greater than child.since (see isOf) even if no process has exited since the start of the child began
}

// isOf reports whether a status belongs to a child whose start has just returned. A status
// from before the start began belongs to an earlier process with the same pid.
func (st status) isOf(c child) bool { return st.pid == c.pid && st.n > c.since }

// reaping describes how and when a process exited.
type reaping struct {
	Exit
	at time.Time
	n  int // the value of loop.reaped after this exit; 1: the first process that was reaped
}

func newLoop(sys kernel, inbox *signals.Inbox) *loop {
	return &loop{
		sys: sys, inbox: inbox, calls: make(chan func()), done: make(chan struct{}),
		owners: map[int]func(Exit){}, commands: map[*command]struct{}{}, pending: map[int]pendingGroup{}, killed: map[int]bool{},
	}
}

// until runs the loop until done returns true or ctx ends. It returns nil in the first
// case, and ctx's cause in the second. The loop's goroutine waits only here. Handlers of
// signals and exits never call until.
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
		case q := <-l.questions:
			l.onQuestion(q)
		case <-ctx.Done():
			// If a process exited just before the deadline, inbox.Child is ready too, but
			// select may have picked this case. So reap the process before done is
			// called.
			l.reap()
			if !done() {
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// alwaysReady is a closed channel: a receive from it never blocks.
var alwaysReady = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (l *loop) signal(sig os.Signal) {
	// A child may have exited before this signal was sent, and its SIGCHLD may still be
	// unread in inbox.Child. The exit must be handled first, so that a signal that was sent
	// after the app's exit is not treated as one for a running app.
	l.reap()
	l.onSignal(sig.(syscall.Signal))
}

// reapAtOnce is the maximum number of children that one call of reap reaps. Thousands of
// processes can exit at once, and signals and deadlines must not wait until all of them
// are reaped.
const reapAtOnce = 256

// reap reaps the children that have exited, and handles those that were stopped or continued.
// It calls wait4 until no such child is left, because the kernel merges pending SIGCHLDs, so
// one SIGCHLD may stand for many children. After reapAtOnce exits reap returns, and until
// calls it again.
func (l *loop) reap() {
	before := l.reaped
	l.more = true
	for l.reaped < before+reapAtOnce {
		pid, ws, err := l.sys.wait()
		l.noChildren = err == syscall.ECHILD
		if err != nil || pid == 0 {
			l.more = false
			break
		}
		switch {
		case ws.Stopped() && l.starting > 0 && l.owners[pid] == nil:
			l.unclaimed = append(l.unclaimed, status{pid: pid, stopped: ws.StopSignal(), n: l.reaped + 1})
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
		l.unclaimed = append(l.unclaimed, status{pid: pid, exit: e, n: l.reaped})
	default:
		l.onOrphan(pid, e)
	}
}

// start starts p in a goroutine. fork blocks its thread until the child's execve(2) is done
// (vfork), and that can take long: the working directory or the executable may be on a
// file system that does not respond, the file may have a lease, or a debugger or a
// hostile app may have stopped the child.
//
// The loop calls the function started with the result of the start, and the function exited
// after the process has exited. The pid is unknown until started is called, so statuses that
// wait4 reports meanwhile are kept in l.unclaimed.
func (l *loop) start(p process, started func(child, error), exited func(Exit)) {
	l.starting++
	if l.responsive {
		p.forking = l.duringFork
	}
	run, since := l.sys.start(p), l.reaped
	go func() {
		c, err := run()
		c.since = since
		l.post(func() {
			l.starting--
			if err == nil {
				l.owners[c.pid] = exited
				delete(l.pending, c.pid) // the old group with this number is empty, because the kernel has reused the number
				delete(l.killed, c.pid)
				l.sys.started(p, c)
			}
			started(c, err)
			l.claim(c)
		})
	}()
}

// hasExited reports whether wait4 has reaped a child before its start returned.
func (l *loop) hasExited(c child) bool {
	return slices.ContainsFunc(l.unclaimed, func(st status) bool { return st.isOf(c) && st.stopped == 0 })
}

// claim handles the statuses of a child that wait4 reported before its start returned. If
// no other start is running, the remaining statuses belong to orphans.
func (l *loop) claim(c child) {
	all := l.unclaimed
	l.unclaimed = nil
	for _, st := range all {
		switch {
		case !st.isOf(c) && l.starting > 0:
			l.unclaimed = append(l.unclaimed, st)
		case st.stopped != 0:
			l.onStopped(st.pid, st.stopped)
		case st.isOf(c) && l.owners[c.pid] != nil:
			owner := l.owners[c.pid]
			delete(l.owners, c.pid)
			owner(st.exit)
		default:
			l.onOrphan(st.pid, st.exit)
		}
	}
}

// duringFork calls fork in the goroutine of a start. It makes the loop run beginFork
// before fork, and endFork after it. If the loop has ended, it does not call fork. The lookup
// of the executable needs no beginFork, because a thread that is blocked in stat(2) gives up
// its P (processor of the Go scheduler), so the loop can run.
func (l *loop) duringFork(fork func()) {
	prepared := make(chan struct{})
	if l.post(func() { l.beginFork(); close(prepared) }) {
		<-prepared
		fork()
		l.post(l.endFork)
	}
}

// beginFork prepares the Go runtime for a thread that is blocked in vfork. That thread
// keeps its P (the Go scheduler's processor). With GOMAXPROCS=1 the loop could not run, so
// beginFork raises GOMAXPROCS to 2. The garbage collector has to stop all threads and would
// wait for the blocked thread, so beginFork pauses the collector. SetGCPercent(-1) prevents
// new collections and waits until a running one has ended.
func (l *loop) beginFork() {
	if l.forking++; l.forking > 1 {
		return
	}
	l.gcPercent = debug.SetGCPercent(-1)
	if l.oneProc = runtime.GOMAXPROCS(0) == 1; l.oneProc {
		runtime.GOMAXPROCS(2)
	}
}

// endFork restores GOGC and GOMAXPROCS. If GOMAXPROCS stayed at 2, the runtime would need
// one more thread.
func (l *loop) endFork() {
	if l.forking--; l.forking > 0 {
		return
	}
	if l.oneProc {
		runtime.GOMAXPROCS(1)
	}
	debug.SetGCPercent(l.gcPercent)
}

// post makes the loop run f. It is called by other goroutines. It returns true when the loop
// has received f, and false if the loop has ended.
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

// job is the state of a function that runs in a goroutine. The loop sets the fields when
// the function has returned.
type job struct {
	done bool
	err  error
}

func (j *job) hasEnded() bool { return j.done }

// spawn runs f in a goroutine, and returns its job at once.
func (l *loop) spawn(f func() error) *job {
	j := &job{}
	l.spawnThen(f, func(err error) { j.done, j.err = true, err })
	return j
}

// spawnThen runs f in a goroutine. When f has returned, the loop calls then(err) with f's
// error.
func (l *loop) spawnThen(f func() error, then func(error)) {
	go func() {
		err := f()
		l.post(func() { then(err) })
	}()
}
