package supervisor

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// behaviour is how a process of the fake kernel lives and dies.
type behaviour struct {
	lives  time.Duration // then it exits by itself; 0: never
	code   int           // with this
	obeys  time.Duration // how long after SIGTERM or SIGQUIT it exits with code
	deaf   bool          // it ignores all but SIGKILL
	dies   bool          // a stop signal kills it: 128+n
	leaves []string      // children that it leaves behind when it ends
	absent error         // it cannot be started
	undead bool          // not even SIGKILL ends it
	hushed bool          // no SIGCHLD tells of its end: something else must
}

// fake is a kernel whose processes are entries in a table. SIGCHLD coalesces
// there as it does in the real one: one pending mark, however many exits.
type fake struct {
	mu    sync.Mutex // timers and the loop both reach in
	log   func(format string, args ...any)
	child chan os.Signal
	acts  map[string]behaviour
	next  int
	alive map[int]string
	dead  []exited

	began    time.Time
	clients  [][2]time.Duration // when one is connected to port 80, from and to
	closesAt time.Duration      // when port 80 is no longer listened at; 0: never
	blind    bool               // sockets cannot be seen
	oomKills int                // processes that were killed for lack of memory
}

type exited struct {
	pid int
	ws  syscall.WaitStatus
}

func newFake(acts map[string]behaviour, log func(string, ...any)) *fake {
	return &fake{began: time.Now(), log: log, child: make(chan os.Signal, 1), acts: acts, alive: map[int]string{}}
}

func (k *fake) start(p process) (child, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := p.argv[0]
	if err := k.acts[name].absent; err != nil {
		return child{}, &StartError{Name: name, Err: err, NotFound: err == syscall.ENOENT}
	}
	told := ""
	for _, kv := range p.env {
		if strings.HasPrefix(kv, "USHER_") {
			told += " " + strings.TrimPrefix(kv, "USHER_")
		}
	}
	k.log("  fork %s%s", name, told)
	return child{pid: k.born(name), drained: func() {}}, nil
}

func (k *fake) replace(p process) error {
	k.log("  exec %s", p.argv[0])
	return &StartError{Name: p.argv[0], Err: syscall.EACCES} // else the story would end here
}

// born gives a process its number and, if it ends by itself, its end.
func (k *fake) born(name string) int {
	k.next++
	pid := k.next
	k.alive[pid] = name
	if act := k.acts[name]; act.lives > 0 {
		time.AfterFunc(act.lives, func() { k.die(pid, syscall.WaitStatus(act.code<<8)) })
	}
	return pid
}

func (k *fake) die(pid int, ws syscall.WaitStatus) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name, ok := k.alive[pid]
	if !ok {
		return
	}
	delete(k.alive, pid)
	for _, orphan := range k.acts[name].leaves {
		k.born(orphan)
	}
	k.dead = append(k.dead, exited{pid, ws})
	if k.acts[name].hushed {
		return
	}
	select {
	case k.child <- syscall.SIGCHLD:
	default:
	}
}

func (k *fake) wait() (int, syscall.WaitStatus, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case len(k.dead) > 0:
		e := k.dead[0]
		k.dead = k.dead[1:]
		return e.pid, e.ws, nil
	case len(k.alive) > 0:
		return 0, 0, nil
	}
	return -1, 0, syscall.ECHILD
}

func (k *fake) kill(pid int, sig syscall.Signal) error {
	k.mu.Lock()
	name, ok := k.alive[max(pid, -pid)]
	k.mu.Unlock()
	if !ok {
		return syscall.ESRCH
	}
	group := ""
	if pid < 0 {
		group = "group of "
	}
	k.log("  kill %s%s %d", group, name, sig)
	k.deliver(max(pid, -pid), name, sig)
	return nil
}

func (k *fake) deliver(pid int, name string, sig syscall.Signal) {
	act := k.acts[name]
	switch {
	case act.undead:
	case sig == syscall.SIGKILL:
		k.die(pid, syscall.WaitStatus(sig))
	case act.deaf, sig != syscall.SIGTERM && sig != syscall.SIGQUIT && sig != syscall.SIGINT:
	case act.dies:
		k.die(pid, syscall.WaitStatus(sig))
	default:
		time.AfterFunc(act.obeys, func() { k.die(pid, syscall.WaitStatus(act.code<<8)) })
	}
}

func (k *fake) killOthers(sig syscall.Signal) {
	k.mu.Lock()
	var pids []int
	for pid := range k.alive {
		pids = append(pids, pid)
	}
	k.mu.Unlock()
	slices.Sort(pids)
	for _, pid := range pids {
		k.mu.Lock()
		name := k.alive[pid]
		k.mu.Unlock()
		k.log("  kill %s %d", name, sig)
		k.deliver(pid, name, sig)
	}
}

func (k *fake) others() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.alive)
}

func (k *fake) outOfMemory() (int, int64)   { return k.oomKills, 64 << 20 }
func (k *fake) adopt() (pid1, seesAll bool) { return true, true }
func (k *fake) appGone()                    {}

// sockets are a port for the app, one for usher's health, which always has a
// client, and a connection to elsewhere.
func (k *fake) sockets() ([]socket, error) {
	if k.blind {
		return nil, syscall.EPERM
	}
	at := time.Since(k.began)
	all := []socket{{tcpListen, 8086}, {1, 8086}, {1, 43210}}
	if k.closesAt == 0 || at < k.closesAt {
		all = append(all, socket{tcpListen, 80}, socket{tcpListen, 80})
	}
	for _, c := range k.clients {
		if c[0] <= at && at < c[1] {
			all = append(all, socket{1, 80})
		}
	}
	return all, nil
}
func (k *fake) drain() {}

// tell is an event as a line of a story.
func tell(e Event) string {
	name := ""
	if e.Target != nil {
		name = e.Target.Name + " "
	}
	switch e.Kind {
	case Entered:
		return e.Phase.String()
	case TargetReady:
		return name + "yes"
	case TargetGivenUp:
		return name + "given up"
	case WaitProgress:
		return fmt.Sprintf("still waiting for %d", len(e.Pending))
	case HookEnded:
		return name + "done: " + orFine(e.Err)
	case HookSkipped:
		return name + "skipped"
	case AppEnded:
		return "app " + e.Exit.String()
	case OutOfMemory:
		return fmt.Sprintf("%d killed for lack of memory, limit %d", e.Count, e.Limit)
	case ReadinessChanged:
		return "readiness: " + orFine(e.Err)
	case StopRequested:
		return fmt.Sprintf("asked to stop by %d", e.Signal)
	case Failed:
		return "failed: " + strings.ReplaceAll(e.Err.Error(), "\n", " ")
	case SignalDropped:
		return fmt.Sprintf("signal %d dropped", e.Signal)
	case SignalKept:
		return fmt.Sprintf("signal %d kept", e.Signal)
	case SignalIgnored:
		return fmt.Sprintf("signal %d changes nothing", e.Signal)
	case Hurried:
		return "hurry"
	case DelayEnded:
		return "delay over"
	case QuietStarted:
		return fmt.Sprintf("until nobody is connected for %v", e.Took)
	case QuietEnded:
		return fmt.Sprintf("quiet: %d connected, %s", e.Count, orFine(e.Err))
	case Warned:
		return "warning: " + e.Text
	case DeadlineKill:
		return "deadline"
	case LeftoversKilled:
		return "leftovers' deadline"
	case LeftBehind:
		return fmt.Sprintf("%d left behind", e.Count)
	case OrphanReaped:
		return fmt.Sprintf("orphan %d %v", e.PID, e.Exit)
	case ShellHint:
		return "hint: exec or --group"
	case StopOnHint:
		return fmt.Sprintf("hint: --stop-on %d", e.Signal)
	case Ended:
		a := e.Account
		return fmt.Sprintf("account: end %v, drain %v, stop %v, leftovers %v, post-stop %v", a.End, a.Drain, a.Stop, a.Leftovers, a.PostStop)
	}
	return ""
}

func orFine(err error) string {
	if err == nil {
		return "fine"
	}
	return err.Error()
}
