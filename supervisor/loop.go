package supervisor

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// loop is the one owner of all state: it receives signals, reaps children and
// runs what other goroutines hand in. Everything that is not explicitly said to
// run elsewhere runs in it, so nothing here needs a lock.
type loop struct {
	sys       kernel
	inbox     *signals.Inbox
	calls     chan func()         // unbuffered: work handed in by other goroutines
	questions <-chan chan<- error // from Readiness; nil: nobody can ask
	done      chan struct{}       // closed when Run returns, so that nobody waits for calls
	children  map[int]func(Exit)
	commands  map[int]context.Context // running commands of hooks and probes
	condemned map[int]bool            // process groups that have had SIGTERM and get SIGKILL
	alone     bool                    // the last wait4 said ECHILD: not one child is left

	onSignal   func(syscall.Signal)
	onQuestion func(reply chan<- error)
	onOrphan   func(pid int, e Exit)
	onStopped  func(pid int, sig syscall.Signal)
}

// until runs the loop until done reports true or ctx ends, and then returns
// ctx's cause. It is the only place where the program waits. Handlers record
// facts and never call until.
func (l *loop) until(ctx context.Context, done func() bool) error {
	for !done() {
		select {
		case <-l.inbox.Child:
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

func (l *loop) signal(sig os.Signal) {
	// A child that has already ended is news older than the signal.
	l.reap()
	l.onSignal(sig.(syscall.Signal))
}

// reap takes every child that has ended. SIGCHLD is a level, not an edge: one of
// them may stand for many exits, so this goes on until the kernel has no more.
func (l *loop) reap() {
	for {
		pid, ws, err := l.sys.wait()
		l.alone = err == syscall.ECHILD
		switch {
		case err != nil || pid == 0:
			return
		case ws.Stopped():
			l.onStopped(pid, ws.StopSignal())
		case l.children[pid] != nil:
			ended := l.children[pid]
			delete(l.children, pid)
			ended(exitOf(ws))
		default:
			l.onOrphan(pid, exitOf(ws))
		}
	}
}

// start forks in the loop, so that no exit can be reaped before its owner is
// known, nor a signal sent to a number that has been given to somebody else.
func (l *loop) start(p process, ended func(Exit)) (child, error) {
	c, err := l.sys.start(p)
	if err == nil {
		l.children[c.pid] = ended
		delete(l.condemned, c.pid) // that group has gone, or its number would not be free
	}
	return c, err
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

func (j *job) ended() bool { return j.done }

// spawn runs f beside the loop.
func (l *loop) spawn(f func() error) *job {
	j := &job{}
	go func() {
		err := f()
		l.post(func() { j.done, j.err = true, err })
	}()
	return j
}

// hookKillDelay is how long an overrunning command has between SIGTERM and
// SIGKILL.
const hookKillDelay = time.Second

// exec runs a command for a goroutine that asks or does a target; os/exec must
// not wait in a process whose loop reaps every child. It returns when the
// command's own process has ended; when ctx ends, the command is made to.
func (l *loop) exec(ctx context.Context, env []string, c probes.Command, output func([]byte)) error {
	p := process{argv: c.Argv, env: withFacts(env, c.Facts), output: output}
	type result struct {
		child
		Exit
		err error
	}
	started := make(chan result, 1) // 1: the loop never blocks on a caller that gave up
	ended := make(chan Exit, 1)     // 1: likewise
	posted := l.post(func() {
		if ctx.Err() != nil { // while this waited for its turn
			started <- result{err: context.Cause(ctx)}
			return
		}
		var ch child
		var err error
		ch, err = l.start(p, func(e Exit) { delete(l.commands, ch.pid); ended <- e })
		if err == nil {
			l.commands[ch.pid] = ctx
		}
		started <- result{child: ch, err: err}
	})
	if !posted {
		return context.Canceled
	}
	r := <-started // the call that was taken runs at once
	if r.err != nil {
		return r.err
	}

	select {
	case r.Exit = <-ended:
	case <-ctx.Done():
		if !l.post(func() { l.overrun(r.pid) }) {
			return context.Cause(ctx)
		}
		select {
		case <-ended:
		case <-l.done:
		}
		r.drained()
		return context.Cause(ctx)
	}
	r.drained()
	if r.Exit != (Exit{}) {
		return exitError{r.Exit}
	}
	return nil
}

// overrunAll ends every command whose context has ended, now and in the loop;
// the goroutines that wait for them come to the same conclusion a little later.
func (l *loop) overrunAll() {
	for pid, ctx := range l.commands {
		if ctx.Err() != nil {
			l.overrun(pid)
		}
	}
}

// overrun ends a command's whole process group, and a second later for certain:
// what ignores SIGTERM, and what a shell has left behind.
func (l *loop) overrun(pgid int) {
	if l.condemned[pgid] {
		return
	}
	l.sys.kill(-pgid, syscall.SIGTERM) // ESRCH: it has just ended
	l.condemned[pgid] = true
	l.after(hookKillDelay, func() { l.execute(pgid) })
}

// execute is for a second later, or for the end of the life if that comes first.
func (l *loop) execute(pgid int) {
	if l.condemned[pgid] {
		l.sys.kill(-pgid, syscall.SIGKILL)
	}
	delete(l.condemned, pgid)
}
