package supervisor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/usher-init/usher/signals"
)

// usherPID is usher's own pid in a story.
const usherPID = 1

// fakeProcess is a living process of the fake kernel.
type fakeProcess struct {
	pid, parent, group int
	start              uint64 // how many processes were forked before it; stands for its start time in /proc
	name               string
	act                behaviour

	handled int  // how many stop signals it has handled
	dying   bool // it got SIGKILL, and has not exited yet
	exiting bool // it handled a stop signal, and exits when its children have exited
	stopped bool
	queued  []syscall.Signal // signals received while it was stopped or being started
	execed  chan struct{}    // closed when the process has called execve, or was killed before that
}

// fake implements the interface kernel with a table of processes. As in the real kernel, a
// SIGCHLD is lost while another SIGCHLD is pending.
type fake struct {
	mu    sync.Mutex // protects the fields, because timers, the loop and other goroutines of usher use them
	log   func(format string, args ...any)
	child chan os.Signal // for SIGCHLD; capacity 1: at most one is pending
	acts  map[string]behaviour
	next  int
	forks uint64 // how many processes were forked

	killingAll bool // signalAll is sending SIGKILL
	alive      map[int]*fakeProcess
	dead       []zombie

	notPID1   bool
	noProc    bool
	reusePIDs bool
	scanTime  time.Duration // how long reading /proc takes

	began    time.Time
	tcp      fakeTCP
	oomKills int // how many processes the kernel has killed for lack of memory

	history *history // records what happens, for the checks of random lives; nil: nothing is recorded
}

// zombie is the status of a process that has exited or was stopped. The method wait has not
// returned it yet.
type zombie struct {
	pid   int
	ws    syscall.WaitStatus
	group int // the process group; a zombie is still in it
}

func newFake(acts map[string]behaviour, log func(string, ...any)) *fake {
	return &fake{began: time.Now(), log: log, child: make(chan os.Signal, 1), acts: acts, next: usherPID, alive: map[int]*fakeProcess{}}
}

func (k *fake) start(p process) func() (child, error) {
	name := p.argv[0]
	return func() (child, error) {
		k.mu.Lock()
		act := k.acts[name]
		if act.startErr != nil {
			k.history.startFailed(p)
			k.mu.Unlock()
			return child{}, &StartError{Name: name, Err: act.startErr, NotFound: act.startErr == syscall.ENOENT}
		}
		vars := ""
		for _, kv := range p.env {
			if strings.HasPrefix(kv, "USHER_") {
				vars += " " + strings.TrimPrefix(kv, "USHER_")
			}
		}
		k.log("  fork %s%s", name, vars)
		proc := k.fork(name, usherPID, 0)
		k.history.started(proc, p)
		k.mu.Unlock()
		if act.startTakes > 0 {
			select {
			case <-time.After(act.startTakes):
			case <-proc.execed: // SIGKILL ends the process during its start
			}
		}
		k.locked(func() {
			closeOnce(proc.execed)
			k.begin(proc)
		})
		time.Sleep(act.reportTakes)
		return child{pid: proc.pid, flush: func() {}}, nil
	}
}

func (k *fake) started(process, child) {}

func (k *fake) replace(p process) error {
	k.log("  exec %s", p.argv[0])
	return &StartError{Name: p.argv[0], Err: syscall.EACCES} // always fails, because a real exec would replace the test
}

// freePID returns a number that no process has had or, if reusePIDs is set, the lowest free
// number. As in the real kernel, the number of a process group that still has processes is
// not free.
func (k *fake) freePID() int {
	if !k.reusePIDs {
		k.next++
		return k.next
	}
	taken := map[int]bool{}
	for _, p := range k.alive {
		taken[p.pid], taken[p.group] = true, true
	}
	for _, z := range k.dead {
		taken[z.pid], taken[z.group] = true, true
	}
	n := usherPID + 1
	for taken[n] {
		n++
	}
	return n
}

// otherGroup is the number of a process group whose leader is not in the story.
const otherGroup = 9999

// fork creates a process in group, or in a new group if group is 0 or ownGroup is set.
func (k *fake) fork(name string, parent, group int) *fakeProcess {
	p := &fakeProcess{pid: k.freePID(), parent: parent, group: group, name: name, act: k.acts[name], execed: make(chan struct{}), start: k.forks}
	k.forks++
	if group == 0 || p.act.ownGroup {
		p.group = p.pid
	}
	k.alive[p.pid] = p
	k.history.forked(p)
	return p
}

// begin delivers the queued signals to a process, forks its daemons and children, and sets
// timers for its later forks, its move to another group, its exit and its stop.
func (k *fake) begin(p *fakeProcess) {
	if k.alive[p.pid] == nil {
		return
	}
	for _, sig := range p.queued {
		k.deliver(p, sig)
	}
	if p.queued = nil; k.alive[p.pid] != p {
		return
	}
	for _, name := range p.act.daemons {
		k.begin(k.fork(name, usherPID, 0))
	}
	for _, name := range p.act.children {
		k.begin(k.fork(name, p.pid, p.group))
	}
	if p.act.forksAfter > 0 {
		time.AfterFunc(p.act.forksAfter, func() {
			k.locked(func() {
				for _, name := range p.act.forks {
					if k.alive[p.pid] == p {
						k.begin(k.fork(name, p.pid, p.group))
					}
				}
			})
		})
	}
	if p.act.otherGroup > 0 {
		time.AfterFunc(p.act.otherGroup, func() { k.locked(func() { p.group = otherGroup }) })
	}
	if p.act.exitsAfter > 0 {
		time.AfterFunc(p.act.exitsAfter, func() { k.locked(func() { k.exit(p, syscall.WaitStatus(p.act.code<<8)) }) })
	}
	if p.act.stopsAfter > 0 {
		time.AfterFunc(p.act.stopsAfter, func() {
			k.locked(func() {
				if p.stopped = true; k.alive[p.pid] == p && p.parent == usherPID {
					k.zombify(p, syscall.WaitStatus(0x7f|int(syscall.SIGSTOP)<<8), false)
				}
			})
		})
	}
}

func (k *fake) locked(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// exit ends a process. Its children become children of usher.
func (k *fake) exit(p *fakeProcess, ws syscall.WaitStatus) {
	if k.alive[p.pid] != p {
		return
	}
	if p.dying {
		ws = syscall.WaitStatus(syscall.SIGKILL)
	}
	delete(k.alive, p.pid)
	closeOnce(p.execed)
	k.history.exited(p, ws)
	for _, other := range k.alive {
		if other.parent == p.pid {
			other.parent = usherPID
		}
	}
	parent := k.alive[p.parent]
	switch {
	case p.parent == usherPID:
		k.zombify(p, ws, p.act.noSIGCHLD)
	case parent != nil && parent.exiting && len(k.childrenOf(parent)) == 0:
		k.exit(parent, syscall.WaitStatus(parent.act.stopCode<<8))
	}
	for _, reader := range k.list(func(other *fakeProcess) bool { return other.act.reads == p.name }) {
		k.exit(reader, 0) // the reader gets end of file
	}
	for _, name := range p.act.leaves {
		if k.killingAll { // no process is forked while the kernel runs kill(-1)
			break
		}
		k.begin(k.fork(name, usherPID, 0))
	}
}

// zombify queues a status for wait4, and sends SIGCHLD unless noSIGCHLD is set.
func (k *fake) zombify(p *fakeProcess, ws syscall.WaitStatus, noSIGCHLD bool) {
	k.dead = append(k.dead, zombie{p.pid, ws, p.group})
	if noSIGCHLD {
		return
	}
	select {
	case k.child <- syscall.SIGCHLD:
	default:
	}
}

func (k *fake) childrenOf(p *fakeProcess) []*fakeProcess {
	return k.list(func(other *fakeProcess) bool { return other.parent == p.pid })
}

// list returns the living processes for which match is true, in the order of their pids.
func (k *fake) list(match func(*fakeProcess) bool) []*fakeProcess {
	var all []*fakeProcess
	for _, p := range k.alive {
		if match(p) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *fakeProcess) int { return a.pid - b.pid })
	return all
}

func (k *fake) wait() (int, syscall.WaitStatus, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.dead) > 0 {
		z := k.dead[0]
		k.dead = k.dead[1:]
		k.history.reaped(z)
		return z.pid, z.ws, nil
	}
	for _, p := range k.alive {
		if p.parent == usherPID {
			return 0, 0, nil
		}
	}
	return -1, 0, syscall.ECHILD
}

func (k *fake) kill(pid int, sig syscall.Signal) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var to []*fakeProcess
	groupOf := ""
	if pid < 0 {
		to = k.list(func(p *fakeProcess) bool { return p.group == -pid })
		groupOf = "group of "
	} else if p := k.alive[pid]; p != nil {
		to = append(to, p)
	}
	k.history.called(pid, sig, to)
	if len(to) == 0 {
		return syscall.ESRCH
	}
	if sig == 0 {
		return nil
	}
	if to[0].act.otherUser {
		k.log("  kill %s%s %s: not permitted", groupOf, to[0].name, signals.Name(sig))
		return syscall.EPERM
	}
	k.log("  kill %s%s %s", groupOf, to[0].name, signals.Name(sig))
	for _, p := range to {
		k.deliver(p, sig)
	}
	return nil
}

func (k *fake) group(pid int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.alive[pid]; p != nil {
		return p.group
	}
	return pid
}

// deliver makes a process react to a signal.
func (k *fake) deliver(p *fakeProcess, sig syscall.Signal) {
	act := p.act
	isStop := slices.Contains(act.stopSignals(), sig)
	switch {
	case k.alive[p.pid] != p:
	case act.unkillable:
		p.dying = p.dying || sig == syscall.SIGKILL
	case sig == syscall.SIGKILL && act.killTakes > 0:
		p.dying = true
		time.AfterFunc(act.killTakes, func() { k.locked(func() { k.exit(p, syscall.WaitStatus(sig)) }) })
	case sig == syscall.SIGKILL:
		k.exit(p, syscall.WaitStatus(sig))
	case sig == syscall.SIGCONT:
		p.stopped = false
		queued := p.queued
		p.queued = nil
		for _, sig := range queued {
			k.deliver(p, sig)
		}
	case p.stopped || act.startTakes > 0 && !isClosed(p.execed):
		p.queued = append(p.queued, sig)
	case act.ignores || !isStop:
	case p.handled > 0 && act.once, !act.handles:
		k.exit(p, syscall.WaitStatus(sig))
	case p.handled > 0:
	default:
		p.handled++
		if act.forwards {
			for _, c := range k.childrenOf(p) {
				k.log("  %s forwards %s to %s", p.name, signals.Name(sig), c.name)
				k.history.forwarded(c, sig)
				k.deliver(c, sig)
			}
		}
		if p.exiting = act.waits; !act.waits || len(k.childrenOf(p)) == 0 {
			exit := func() { k.exit(p, syscall.WaitStatus(act.stopCode<<8)) }
			if act.raises {
				exit = func() { k.exit(p, syscall.WaitStatus(sig)) }
			}
			if act.stopTakes == 0 {
				exit()
				return
			}
			time.AfterFunc(act.stopTakes, func() { k.locked(exit) })
		}
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func closeOnce(c chan struct{}) {
	if !isClosed(c) {
		close(c)
	}
}

func (k *fake) listProcesses(context.Context) func() ([]proc, bool) {
	return func() ([]proc, bool) {
		if k.scanTime > 0 {
			time.Sleep(k.scanTime)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.noProc {
			return nil, false
		}
		var all []proc
		for _, p := range k.list(func(p *fakeProcess) bool { return p.parent != 0 || !k.notPID1 }) {
			all = append(all, proc{procID: procID{p.pid, p.start}, parent: p.parent, group: p.group, name: p.name, own: p.parent == usherPID,
				caught: p.caught(), filter: k.isReader(p)})
		}
		return all, true
	}
}

// caught returns the set of signals for which a process has a handler.
func (p *fakeProcess) caught() (set uint64) {
	if p.act.handles && !(p.act.once && p.handled > 0) {
		for _, sig := range p.act.stopSignals() {
			set |= 1 << (sig - 1)
		}
	}
	return set
}

// isReader reports whether a process reads the output of another living process.
func (k *fake) isReader(p *fakeProcess) bool {
	if p.act.reads == "" {
		return false
	}
	for _, other := range k.alive {
		if other.name == p.act.reads {
			return true
		}
	}
	return false
}

func (k *fake) signalAll(sig syscall.Signal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.log("  kill everything %s", signals.Name(sig))
	everything := k.list(func(*fakeProcess) bool { return true })
	k.history.called(-1, sig, everything)
	k.killingAll = sig == syscall.SIGKILL
	for _, p := range everything {
		k.deliver(p, sig)
	}
	k.killingAll = false
}

func (k *fake) killOthers(bool) func() {
	if k.notPID1 && k.scanTime > 0 { // a subreaper first searches /proc for the processes
		return func() {
			time.Sleep(k.scanTime)
			k.signalAll(syscall.SIGKILL)
		}
	}
	k.signalAll(syscall.SIGKILL)
	return func() {}
}

func (k *fake) becomeSubreaper() (pid1, seesAll bool, err error) {
	return !k.notPID1, !k.notPID1 || !k.noProc, nil
}
func (k *fake) appExited()                {}
func (k *fake) flushOutput()              {}
func (k *fake) outOfMemory() (int, int64) { return k.oomKills, 64 << 20 }

// eventLine returns the line of a trace for an event, or "" if traces omit the event.
func eventLine(e Event) string {
	name := ""
	if e.Target != nil {
		name = e.Target.Name + " "
	}
	sig := signals.Name(e.Signal)
	switch e.Kind {
	case Entered:
		return e.Phase.String()
	case TargetReady:
		return name + "is ready"
	case TargetSkipped:
		return name + "is skipped"
	case WaitProgress:
		return fmt.Sprintf("still waiting for %d", len(e.Pending))
	case HookInterrupted:
		if e.Took == 0 {
			return fmt.Sprintf("hook %sis interrupted, without a limit", name)
		}
		return fmt.Sprintf("hook %sis interrupted, may run for %v", name, e.Took)
	case HookFinished:
		return "hook " + name + "finished: " + errText(e.Err)
	case HookSkipped:
		return "hook " + name + "skipped: " + e.Err.Error()
	case AppExited:
		return "app " + e.Exit.String()
	case OutOfMemory:
		return fmt.Sprintf("%d killed for lack of memory, limit %d", e.Count, e.Limit)
	case ReadinessChanged:
		return "readiness: " + errText(e.Err)
	case StopRequested:
		return "received " + sig
	case StartupFailed:
		return "failed: " + strings.ReplaceAll(e.Err.Error(), "\n", " ")
	case SignalDropped:
		return sig + " dropped"
	case SignalPending:
		return sig + " kept until the app has started"
	case SignalsLost:
		return fmt.Sprintf("%s and later signals lost, %d kept", sig, e.Count)
	case SignalIgnored:
		if e.Err != nil {
			return sig + " ignored: " + e.Err.Error()
		}
		return sig + " ignored"
	case SignalFailed:
		return fmt.Sprintf("cannot send %s to %s: %v", sig, orApp(e.Name), e.Err)
	case DrainSkipped:
		return "the rest of the drain is skipped"
	case DelayFinished:
		return "delay over"
	case IdleStarted:
		return fmt.Sprintf("wait until the clients are idle for %v", e.Took)
	case IdlePortsUnknown:
		return fmt.Sprintf("the clients of all ports count: %v", e.Err)
	case IdleBytesUnknown:
		return "every connected client counts"
	case IdleOpensUnknown:
		return fmt.Sprintf("short connections do not count: %v", e.Err)
	case IdleFinished:
		return fmt.Sprintf("wait for clients over: %d owed, %d active, %s", e.Count, e.Active, errText(e.Err))
	case Warned:
		return "warning: " + e.Text
	case StopSignalSent:
		if e.Signal == NoSignal {
			return "no stop signal"
		}
	case AppKilled:
		return "app gets SIGKILL at the deadline"
	case LeftoversSignalled:
		return fmt.Sprintf("leftovers get %s: %s", sig, procNames(e))
	case LastCall:
		return fmt.Sprintf("last call: %s: %s", sig, procNames(e))
	case LeftoversKilled:
		return "leftovers get SIGKILL at the deadline"
	case LeftoversFound:
		return "still running: " + procNames(e)
	case OrphanReaped:
		return fmt.Sprintf("orphan %d %v", e.PID, e.Exit)
	case ShellHint:
		return "hint: exec"
	case StopOnHint:
		return "hint: --stop-on " + sig
	case Exited:
		a := e.Summary
		return fmt.Sprintf("shutdown took %v: drain %v, stop %v, leftovers %v, post-stop %v", a.Shutdown, a.Drain, a.Stop, a.Leftovers, a.PostStop)
	}
	return ""
}

func procNames(e Event) string {
	if e.Count < 0 {
		return "unknown"
	}
	return strings.Join(e.Names, " ")
}

func orApp(name string) string {
	if name == "" {
		return "the app"
	}
	return name
}

func errText(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}
