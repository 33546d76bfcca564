package supervisor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// history is a record of one run, as an observer outside usher sees it: the system calls as
// the fake kernel executed them, the start and the end of each process, the signals that
// usher received, and the events that usher reported. The lock of the fake kernel protects
// it. The methods that record something do nothing on a nil history.
type history struct {
	traced  bool   // the trace is recorded too
	text    string // the trace
	k       *fake
	cfg     *Config
	lines   []string // the story's events
	steps   int      // the number of records so far; it orders records of the same instant
	procs   []*lived
	byProc  map[*fakeProcess]*lived
	calls   []sentSignal
	events  []seenEvent
	asked   []askedTarget
	failed  []failedStart
	answers []givenAnswer

	ended  bool
	stuck  bool // the run did not end within tooLong
	endAt  time.Duration
	code   int
	reason error
}

// lived is the record of one process.
type lived struct {
	*fakeProcess
	step       int      // the value of history.steps at its fork
	started    *process // how usher started it; nil: usher did not start it
	leader     *lived   // the leader of the process group in which it began
	from       *lived   // its parent at its fork; nil: usher, or a process outside the container (docker exec)
	lastParent *lived   // its parent before it became usher's child
	forkedAt   time.Duration
	ownFrom    time.Duration // when it became usher's child; neverAt: it did not
	ownByChild bool          // usher can know that the process is its child: usher forked it, or it became usher's child by the exit of another child of usher, which usher notices
	diedAt     time.Duration // neverAt: it is alive
	ws         syscall.WaitStatus
	reapedAt   time.Duration // neverAt: it has not been reaped
	forwarded  []syscall.Signal
	sent       []*sentSignal // the signals that it got from usher
}

// neverAt is later than every instant of a run.
const neverAt = time.Duration(1<<63 - 1)

// sentSignal is one call of kill(2) by usher with a signal other than 0.
type sentSignal struct {
	at   time.Duration
	step int
	pid  int // the first argument of kill: a pid, a negative process group, or -1 for all processes
	sig  syscall.Signal
	to   []*lived // the processes with that pid or in that group; for pid -1 all processes
	// denied: the call failed, because usher may not signal these processes.
	denied bool
	// reaped: the signal reached no process, because usher has already reaped the process with
	// this pid. usher must not send such a signal: on a real kernel another process may have
	// the pid by then.
	reaped bool
}

type seenEvent struct {
	Event
	step int
}

type askedTarget struct {
	at      time.Duration
	step    int
	name    string
	vars    []probes.HookVar
	endedAt time.Duration
}

type failedStart struct {
	at   time.Duration
	step int
	process
}

type givenAnswer struct {
	serving   bool // the question was AskServing
	asked, at time.Duration
	err       error
}

func (h *history) now() time.Duration { return time.Since(h.k.began) }

func (h *history) step() int {
	h.steps++
	return h.steps
}

// attach makes the fake kernel record in h.
func (h *history) attach(k *fake) {
	if h != nil {
		h.k, k.history = k, h
		h.byProc = map[*fakeProcess]*lived{}
	}
}

// tooLong is longer than the run of any random story should take, in fake time.
const tooLong = 10 * time.Minute

// unblock ends a run that does not end by itself, so that the test can report it: it kills
// all processes and cancels the context of run, again every minute.
func (h *history) unblock(cancel func()) {
	h.k.locked(func() {
		if h.ended {
			return
		}
		h.stuck = true
		for _, p := range h.k.list(func(*fakeProcess) bool { return true }) {
			h.k.exit(p, syscall.WaitStatus(syscall.SIGKILL))
		}
		if h.now() > 2*tooLong {
			panic("usher does not exit")
		}
		time.AfterFunc(time.Minute, func() { h.unblock(cancel) })
	})
	cancel()
}

// begin is called just before run. It replaces the probes of all targets that are not
// commands, so that their attempts are recorded.
func (h *history) begin(c *Config, lines []string, cancel func()) {
	if h == nil {
		return
	}
	h.cfg, h.lines = c, lines
	time.AfterFunc(tooLong, func() { h.unblock(cancel) })
	for _, targets := range [][]probes.Target{c.Wait, c.PreStart, c.Ready, c.PostStart, c.Drain, c.PostStop} {
		for i := range targets {
			if t := &targets[i]; t.Kind != "command" {
				t.Probe = recordedProbe{h, t.Name, t.Probe}
			}
		}
	}
}

type recordedProbe struct {
	h    *history
	name string
	probes.Probe
}

func (p recordedProbe) Ask(ctx context.Context, a probes.Attempt) error {
	var i int
	p.h.k.locked(func() {
		i = len(p.h.asked)
		p.h.asked = append(p.h.asked, askedTarget{at: p.h.now(), step: p.h.step(), name: p.name, vars: a.HookVars, endedAt: neverAt})
	})
	err := p.Probe.Ask(ctx, a)
	p.h.k.locked(func() { p.h.asked[i].endedAt = p.h.now() })
	return err
}

// end is called when run has returned. It closes the channel execed of all processes, so that
// no goroutine of the fake kernel waits any longer for the start of a process.
func (h *history) end(code int, reason error) {
	if h == nil {
		return
	}
	h.k.locked(func() {
		h.ended, h.endAt, h.code, h.reason = true, h.now(), code, reason
		for _, p := range h.k.alive {
			closeOnce(p.execed)
		}
	})
}

func (h *history) observe(e Event) {
	if h != nil {
		h.k.locked(func() { h.events = append(h.events, seenEvent{e, h.step()}) })
	}
}

func (h *history) answered(asked time.Duration, serving bool, err error) {
	if h != nil {
		h.k.locked(func() { h.answers = append(h.answers, givenAnswer{serving, asked, h.now(), err}) })
	}
}

func (h *history) forked(p *fakeProcess) {
	if h == nil {
		return
	}
	l := &lived{fakeProcess: p, step: h.step(), forkedAt: h.now(), ownFrom: neverAt, diedAt: neverAt, reapedAt: neverAt}
	if p.parent == usherPID {
		l.ownFrom = l.forkedAt
	} else if parent := h.k.alive[p.parent]; parent != nil {
		l.from = h.byProc[parent]
	}
	l.leader = l
	for _, other := range h.k.alive {
		if other != p && other.group == p.group {
			l.leader = h.byProc[other].leader
		}
	}
	h.procs = append(h.procs, l)
	h.byProc[p] = l
}

func (h *history) started(p *fakeProcess, how process) {
	if h != nil {
		h.byProc[p].started, h.byProc[p].ownByChild = &how, true
	}
}

func (h *history) startFailed(how process) {
	if h != nil {
		h.failed = append(h.failed, failedStart{h.now(), h.step(), how})
	}
}

// exited records that p has exited, and that usher becomes the parent of p's children. The
// fake kernel calls it while p is still their parent.
func (h *history) exited(p *fakeProcess, ws syscall.WaitStatus) {
	if h == nil || h.ended {
		return
	}
	l := h.byProc[p]
	l.diedAt, l.ws = h.now(), ws
	for _, child := range h.k.alive {
		if child.parent == p.pid {
			c := h.byProc[child]
			c.lastParent, c.ownFrom, c.ownByChild = l, h.now(), p.parent == usherPID
		}
	}
}

func (h *history) reaped(z zombie) {
	if h == nil || z.ws.Stopped() {
		return
	}
	for _, l := range h.procs {
		if l.pid == z.pid && l.parent == usherPID && l.diedAt != neverAt && l.reapedAt == neverAt {
			l.reapedAt = h.now()
			return
		}
	}
}

func (h *history) called(pid int, sig syscall.Signal, to []*fakeProcess) {
	if h == nil || sig == 0 {
		return
	}
	c := &sentSignal{at: h.now(), step: h.step(), pid: pid, sig: sig}
	for _, p := range to {
		c.to = append(c.to, h.byProc[p])
	}
	if c.denied = pid != -1 && len(to) > 0 && to[0].act.otherUser; !c.denied {
		for _, l := range c.to {
			l.sent = append(l.sent, c)
		}
	}
	if pid > 0 && len(to) == 0 {
		c.reaped = slices.ContainsFunc(h.procs, func(l *lived) bool { return l.pid == pid && l.reapedAt != neverAt }) &&
			!slices.ContainsFunc(h.procs, func(l *lived) bool { return l.pid == pid && l.reapedAt == neverAt })
	}
	h.calls = append(h.calls, *c)
}

func (h *history) forwarded(p *fakeProcess, sig syscall.Signal) {
	if h != nil {
		h.byProc[p].forwarded = append(h.byProc[p].forwarded, sig)
	}
}

// killNamed sends SIGKILL to the processes of a name ("everything": to all processes), as a
// process other than usher would. The caller holds the lock.
func (k *fake) killNamed(name string) {
	for _, p := range k.list(func(p *fakeProcess) bool { return name == "everything" || p.name == name }) {
		k.deliver(p, syscall.SIGKILL)
	}
}

// aliveAt reports whether the process was alive at an instant. If it was forked or exited
// at that very instant, aliveAt returns false.
func (l *lived) aliveAt(at time.Duration) bool { return l.forkedAt < at && at < l.diedAt }

func (l *lived) isApp() bool     { return l.started != nil && l.started.app }
func (l *lived) isCommand() bool { return l.started != nil && !l.started.app }

// exit returns how the process ended.
func (l *lived) exit() Exit { return exitOf(l.ws) }

func (l *lived) String() string { return fmt.Sprintf("%s (pid %d)", l.name, l.pid) }

// vars returns the USHER_ variables that usher added to the environment of a process, without
// the prefix USHER_.
func (l *lived) vars() map[string]string { return varsOf(l.started.env) }

func varsOf(env []string) map[string]string {
	vars := map[string]string{}
	for _, kv := range env {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "USHER_") {
			vars[strings.TrimPrefix(name, "USHER_")] = value
		}
	}
	return vars
}

// input is a signal that usher received.
type input struct {
	at      time.Duration
	sig     syscall.Signal
	control bool // the signal was received on Inbox.Control
}

// inputs returns the signals of the story's events, in the order of their times, and the time
// at which the context of Run is cancelled, or neverAt if it is not cancelled.
func (h *history) inputs() (all []input, cancelled time.Duration) {
	cancelled = neverAt
	for _, line := range h.lines {
		at, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		word, rest, _ := strings.Cut(what, " ")
		when, _ := time.ParseDuration(at)
		if word == "cancel" {
			cancelled = min(cancelled, when)
			continue
		}
		sig, err := signals.Parse(word)
		if err != nil || word == "kill" {
			continue
		}
		times := 1
		scan(rest, "× %d", &times)
		in := input{when, sig, slices.Contains([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP}, sig) || slices.Contains(h.cfg.StopOn, sig)}
		for range times {
			all = append(all, in)
		}
	}
	slices.SortStableFunc(all, func(a, b input) int { return int(a.at - b.at) })
	return all, cancelled
}
