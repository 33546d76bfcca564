package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
)

// The checks in this file and in the other files lives*_test.go compare the promises of usher
// (README.md, usher(1)) with the record of an observer outside usher (history). They do not
// read usher's own state. If two things happened at the same instant, the checks accept both
// orders.

// checked is a history, and facts that are computed from it.
type checked struct {
	*history
	problems []string

	pid1, noProc bool
	scan         time.Duration // how long reading /proc takes

	// drainEnd is when the drain must end, and kill is when an app that is still alive gets
	// SIGKILL. Both count from the start of the shutdown. reserve is the minimum time between
	// the app's stop signal and SIGKILL.
	drainEnd, kill, reserve time.Duration

	app                 *lived        // nil: it was not forked
	appAt, appDead      time.Duration // when usher reported the start of the app, and when the app exited; neverAt: that did not happen
	begun               time.Duration // when the shutdown began; neverAt: it did not
	stop                *seenEvent    // the event StopRequested; nil: no stop signal began the shutdown
	failure             *PhaseError   // why the startup failed; nil: it has not failed
	phases              map[Phase]seenEvent
	stopCall            *sentSignal   // the app's stop signal; nil: it got none
	askedAt             time.Duration // when the app got its stop signal, or when usher skipped it (--stop-signal none); neverAt: never
	leftoversAt, killAt time.Duration // when the phase leftovers began, and when all processes get SIGKILL; neverAt: never
	callAt              time.Duration // when usher sends SIGTERM to all processes that it has not signalled yet (the last call); neverAt: never
}

func (c *checked) fail(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// check returns the promises that were broken.
func (h *history) check() []string {
	c := &checked{history: h, phases: map[Phase]seenEvent{}, pid1: !h.k.notPID1, noProc: h.k.noProc, scan: h.k.scanTime,
		appAt: neverAt, appDead: neverAt, begun: neverAt, askedAt: neverAt, leftoversAt: neverAt, killAt: neverAt, callAt: neverAt}
	if h.stuck {
		return []string{"end: usher did not exit"}
	}
	if h.sharesPID() {
		return nil
	}
	c.divideGrace()
	c.readEvents()
	for _, check := range []func(){
		c.checkOrderOfPhases, c.checkBeginning, c.checkEnd, c.checkExitCode, c.checkAppSignals, c.checkDeadline, c.checkKills,
		c.checkReaping, c.checkStarts, c.checkHookOrder, c.checkHookLimits, c.checkHookVars, c.checkReadiness, c.checkNumbers,
		c.checkAskedOnce, c.checkRoots, c.checkFilters, c.checkLastCall, c.checkIdle, c.checkHints,
	} {
		check()
	}
	return c.problems
}

// sharesPID reports whether the pid of a process that usher started was reused for another
// such process before the first start had returned. In such a story usher cannot know whose
// exit wait4 reports. A real kernel reuses a pid only after it has used thousands of others.
func (h *history) sharesPID() bool {
	return slices.ContainsFunc(h.procs, func(l *lived) bool {
		return l.started != nil && l.act.startTakes > 0 && slices.ContainsFunc(h.procs, func(other *lived) bool {
			return other != l && other.started != nil && other.pid == l.pid && other.forkedAt >= l.forkedAt && other.forkedAt <= l.forkedAt+l.act.startTakes
		})
	})
}

// divideGrace computes the parts of --grace as usher(1) describes them. The last part is for
// the post-stop hooks: the sum of their timeouts, but at most a fifth of --grace. Timeouts that
// the user did not write are reduced if they and all durations that the user wrote exceed
// --grace. The middle part is the app's reserve, and the first part is the drain.
func (c *checked) divideGrace() {
	g := c.cfg.Grace
	if g == 0 {
		return
	}
	var written, others, defaults time.Duration
	for _, t := range c.cfg.PostStop {
		if t.TimeoutWritten && t.Timeout > 0 {
			written += t.Timeout
		} else if t.Timeout > 0 {
			defaults += t.Timeout
		} else {
			defaults = 1000 * time.Hour
		}
	}
	for _, t := range c.cfg.Drain {
		if t.TimeoutWritten {
			others += t.Timeout
		}
	}
	others += c.cfg.DrainDelay + c.cfg.DrainIdle + c.cfg.StopReserve
	share := min(written+min(defaults, max(0, g-others-written)), g/5)
	c.kill = g - share
	c.reserve = c.cfg.StopReserve
	if c.reserve == 0 {
		c.reserve = min(g/2, 10*time.Second)
	}
	c.reserve = min(c.reserve, c.kill)
	c.drainEnd = c.kill - c.reserve
}

// readEvents sets the fields of checked from app to callAt.
func (c *checked) readEvents() {
	for _, l := range c.procs {
		if l.isApp() {
			c.app = l
		}
	}
	settled := 0
	for i, e := range c.events {
		switch e.Kind {
		case Entered:
			c.phases[e.Phase] = e
		case StopRequested:
			c.stop = &c.events[i]
			c.begun = min(c.begun, e.At)
		case StartupFailed:
			errors.As(e.Err, &c.failure)
			c.begun = min(c.begun, e.At)
		case AppStarted:
			c.appAt = e.At
		case TargetReady, TargetSkipped:
			if settled++; c.waitOnly() && settled == len(c.cfg.Wait) { // nothing is left to do, so usher exits
				c.begun = min(c.begun, e.At)
			}
		}
	}
	if c.app != nil && c.appAt != neverAt {
		c.appDead = c.app.diedAt
	}
	c.begun = min(c.begun, c.appDead)
	c.findStopCall()
	if e, entered := c.phases[Leftovers]; entered {
		c.leftoversAt = e.At
	}
	if c.cfg.Grace == 0 || c.begun == neverAt {
		return
	}
	from := c.askedAt
	switch {
	case c.askedAt != neverAt:
		c.killAt = c.begun + c.kill
	case c.leftoversAt == neverAt:
		return
	default:
		from = min(c.leftoversAt, c.appDead)
		if c.killAt = c.begun + c.kill; c.stop == nil && (c.failure == nil || c.appAt == neverAt) {
			c.killAt = min(c.killAt, from+c.reserve)
		}
	}
	c.callAt = from + (c.killAt-from)*4/5
}

// findStopCall finds the call that sent the app its stop signal. usher reads /proc before that
// call, and meanwhile still forwards signals. If it forwarded one with the same number, there
// are two such calls, and the later one is the stop call.
func (c *checked) findStopCall() {
	stop, entered := c.phases[Stop]
	if !entered {
		return
	}
	sent := c.steps + 1 // the step of the event StopSignalSent; if there is none, a step after all others
	for _, e := range c.events {
		if e.Kind == StopSignalSent {
			sent = e.step
			if e.Signal == NoSignal {
				c.askedAt = e.At
				return
			}
		}
	}
	for i := range c.calls {
		call := &c.calls[i]
		if call.step > stop.step && call.step < sent && call.at <= c.appDead && call.sig == c.stopSignal() && len(call.to) > 0 && (call.pid == c.app.pid || call.pid == -c.app.pid) {
			if later := c.stopCall != nil && call.at > c.askedAt; c.stopCall == nil || later && (sent <= c.steps || call.denied && call.at <= stop.At+min(c.scan, stopScan)) {
				c.stopCall, c.askedAt = call, call.at
			}
		}
	}
}

// stopSignal returns the signal that usher sends to the app (unless --stop-signal is none) and,
// after the app's exit, to usher's other children: --stop-signal, else the signal that began the
// shutdown, else SIGTERM.
func (c *checked) stopSignal() syscall.Signal {
	switch {
	case c.cfg.StopSignal > 0:
		return c.cfg.StopSignal
	case c.stop != nil:
		return c.stop.Signal
	}
	return syscall.SIGTERM
}

// isStop reports whether a signal is a stop signal. If beforeApp is true, it also returns true
// for SIGQUIT and SIGHUP, which end the startup.
func (c *checked) isStop(sig syscall.Signal, beforeApp bool) bool {
	return sig == syscall.SIGTERM || sig == syscall.SIGINT || slices.Contains(c.cfg.StopOn, sig) ||
		beforeApp && (sig == syscall.SIGQUIT || sig == syscall.SIGHUP)
}

func (c *checked) checkOrderOfPhases() {
	last, at := Idle, time.Duration(0)
	for _, e := range c.events {
		if e.At < at {
			c.fail("events: an event at %v follows one at %v", e.At, at)
		}
		at = e.At
		if e.Kind != Entered {
			continue
		}
		if e.Phase <= last {
			c.fail("events: phase %s follows %s", e.Phase, last)
		}
		last = e.Phase
	}
	if last != Done {
		c.fail("events: the last phase is %s", last)
	}
}

// checkBeginning: the first stop signal begins the shutdown at the instant at which usher
// receives it. The end of Run's context counts as a SIGTERM.
func (c *checked) checkBeginning() {
	all, cancelled := c.inputs()
	for _, in := range append(all, input{at: cancelled, sig: syscall.SIGTERM}) {
		began := c.isStop(in.sig, in.at < c.appAt) && in.at < c.appDead
		if began && in.at < c.begun && in.at < c.endAt {
			c.fail("beginning: signal %d at %v did not begin the shutdown, which began at %v", in.sig, in.at, c.begun)
		}
	}
	if c.stop == nil {
		return
	}
	matches := func(in input) bool { return in.at == c.stop.At && in.sig == c.stop.Signal }
	if !slices.ContainsFunc(append(all, input{at: cancelled, sig: syscall.SIGTERM}), matches) {
		c.fail("beginning: the shutdown began at %v by signal %d, which was not sent then", c.stop.At, c.stop.Signal)
	}
	if !c.isStop(c.stop.Signal, c.stop.At <= c.appAt) {
		c.fail("beginning: signal %d is no stop signal", c.stop.Signal)
	}
}

// hasFaults reports whether the story has a process that does not die of SIGKILL at once,
// or that usher may not signal.
func (c *checked) hasFaults() bool {
	return slices.ContainsFunc(c.procs, func(l *lived) bool { return l.act.unkillable || l.act.killTakes > 0 || l.act.otherUser })
}

// checkEnd: usher exits by the end of the grace period. It may exit up to 140 ms later if a
// process does not die of SIGKILL at once or may not be signalled, or if reading /proc takes
// time. In these cases a usher that is not PID 1 may take 700 ms more, because it has to search
// for its descendants.
func (c *checked) checkEnd() {
	if c.cfg.Grace == 0 || c.begun == neverAt {
		return
	}
	var settle time.Duration
	if c.hasFaults() || c.scan > 0 {
		settle = 40*time.Millisecond + min(c.scan, 100*time.Millisecond)
		if !c.pid1 {
			settle += 700 * time.Millisecond
		}
	}
	if limit := c.begun + c.cfg.Grace + settle; c.endAt > limit {
		c.fail("end: usher exited at %v, later than %v", c.endAt, limit)
	}
}

// exitCode returns the exit code that usher(1) promises.
func (c *checked) exitCode() int {
	var start *StartError
	switch {
	case c.failure != nil && c.failure.Phase == Start && errors.As(c.failure, &start):
		if errors.Is(start.Err, syscall.ENOENT) {
			return 127
		}
		return 126
	case c.failure != nil && (c.failure.Phase == Wait || c.failure.Phase == Ready):
		return 124
	case c.failure != nil:
		return 125
	case c.appAt == neverAt && c.stop != nil:
		return 128 + int(c.stop.Signal)
	case c.appAt == neverAt && c.waitOnly():
		return 0
	case c.appAt == neverAt:
		return -1
	}
	code := 137 // the exit code if SIGKILL has not ended the app by the time usher exits
	killed := c.killAt <= c.appDead && c.app.killedByUsher()
	if c.appDead <= c.endAt {
		code = c.app.exit().Code()
	}
	if c.stop != nil && !killed && slices.Contains(c.cfg.SuccessExit, code) {
		return 0
	}
	return code
}

func (l *lived) killedByUsher() bool {
	return slices.ContainsFunc(l.sent, func(s *sentSignal) bool { return s.sig == syscall.SIGKILL })
}

func (c *checked) checkExitCode() {
	want := c.exitCode()
	if c.code == want || c.app != nil && c.code == 137 && c.app.act.killTakes > 0 && c.app.killedByUsher() {
		return
	}
	c.fail("exit code: %d instead of %d (%v)", c.code, want, c.reason)
}

// checkKills: before the deadline, or without --grace at any time, only the commands of hooks
// and probes and their process groups get SIGKILL.
func (c *checked) checkKills() {
	for _, call := range c.calls {
		if call.sig != syscall.SIGKILL || c.cfg.Grace > 0 && call.at >= min(c.killAt, c.begun+c.cfg.Grace) {
			continue
		}
		for _, l := range call.to {
			// A process that began in the group of a command may be killed with that group.
			owner := c.ownerOf(l)
			if call.pid == -1 && call.step > c.lastHookStep() && call.step > c.phases[PostStop].step {
				continue // after the last post-stop hook usher may kill all remaining processes, as the kernel does when PID 1 exits
			}
			if owner == nil || call.pid != owner.pid && call.pid != -owner.pid {
				c.fail("SIGKILL: %s got it at %v by kill(%d)", l, call.at, call.pid)
			} else if !call.denied && !c.hadTime(owner, call) {
				c.fail("SIGKILL: %s got it at %v, less than %v after SIGTERM", l, call.at, hookKillDelay)
			}
		}
	}
}

// hadTime reports whether the group of a command got SIGTERM at least a second before SIGKILL.
// It also returns true in two cases in which usher need not wait a second: usher has already
// sent SIGTERM to the command's own process (usually a hook, when a stop signal was received),
// or usher was about to exit.
func (c *checked) hadTime(owner *lived, kill sentSignal) bool {
	exits := c.endAt
	if c.hasFaults() || c.scan > 0 {
		exits -= 740 * time.Millisecond
	}
	return kill.at >= exits || slices.ContainsFunc(c.calls, func(s sentSignal) bool {
		return s.sig == syscall.SIGTERM && s.step > owner.step && s.step < kill.step &&
			(s.pid == owner.pid || s.pid == -owner.pid && s.at <= kill.at-hookKillDelay)
	})
}

// lastHookStep returns the step at which the last post-stop hook finished or was skipped. If
// the phase post-stop did not begin, it returns the last step of the run, so that no call of
// kill counts as later.
func (c *checked) lastHookStep() int {
	last := c.steps
	if _, entered := c.phases[PostStop]; entered {
		last = 0
	}
	for _, e := range c.events {
		if e.Phase == PostStop && (e.Kind == HookFinished || e.Kind == HookSkipped) {
			last = e.step
		}
	}
	return last
}

// ownerOf returns the command to which a process belongs: the process is the command
// itself, or began in the command's process group.
func (c *checked) ownerOf(l *lived) *lived {
	for _, cmd := range c.procs {
		if cmd.isCommand() && (l == cmd || l.leader == cmd) {
			return cmd
		}
	}
	return nil
}

// checkReaping: every child of usher is reaped at the instant of its exit, unless usher exits
// at that instant or the child's SIGCHLD was lost.
func (c *checked) checkReaping() {
	for _, l := range c.procs {
		if l.diedAt == neverAt || l.parent != usherPID || l.diedAt == c.endAt || l.act.noSIGCHLD {
			continue
		}
		if l.reapedAt != l.diedAt {
			c.fail("reaping: %s exited at %v and was reaped at %v", l, l.diedAt, l.reapedAt)
		}
	}
}

// checkNumbers: usher sends no signal to a pid after it has reaped the process with that
// pid, and no signal to a process group whose leader usher has not started.
func (c *checked) checkNumbers() {
	for _, call := range c.calls {
		if call.reaped {
			c.fail("numbers: signal %d at %v to pid %d, which has been reaped", call.sig, call.at, call.pid)
		}
		for _, l := range call.to {
			if call.pid < -1 && l.group != otherGroup && l.leader.started == nil {
				c.fail("numbers: signal %d at %v to the group of %s, which usher has not started", call.sig, call.at, l)
			}
		}
	}
}

// checkReadiness: before the app is ready Readiness.Ask returns a NotReadyError, and after the
// start of the shutdown it returns ErrStopping. Ask and AskServing return within 10 s and, from
// the start of the shutdown on, at once.
func (c *checked) checkReadiness() {
	for _, a := range c.answers {
		if a.asked >= c.endAt {
			continue
		}
		late := a.asked + 10*time.Second
		if a.asked < c.begun {
			late = min(late, c.begun)
		} else {
			late = a.asked
		}
		if a.at > late {
			c.fail("readiness: a question at %v was answered at %v", a.asked, a.at)
		}
		if a.serving {
			c.checkServing(a)
			continue
		}
		if a.asked > c.begun && !errors.Is(a.err, ErrStopping) {
			c.fail("readiness: a question at %v, after the shutdown had begun, got the answer %q", a.asked, errText(a.err))
		}
		var notReady NotReadyError
		if a.asked < min(c.readyAt(), c.begun) && !errors.As(a.err, &notReady) {
			c.fail("readiness: a question at %v, before the app was ready, got the answer %q", a.asked, errText(a.err))
		}
	}
}

// readyAt returns when the app was ready for the first time; neverAt: it was not.
func (c *checked) readyAt() time.Duration {
	reached := neverAt
	for _, phase := range []Phase{PostStart, Running} {
		if e, entered := c.phases[phase]; entered {
			reached = min(reached, e.At)
		}
	}
	return reached
}

// checkServing checks a result of Readiness.AskServing. Before the app is ready and before the
// shutdown, the result is a NotReadyError. After the phase stop has begun or the app has exited,
// it is ErrStopping. From the app's readiness until then, it is not ErrStopping.
func (c *checked) checkServing(a givenAnswer) {
	served := min(c.appDead, c.endAt)
	if e, entered := c.phases[Stop]; entered {
		served = min(served, e.At)
	}
	stopping := errors.Is(a.err, ErrStopping)
	if ready := c.readyAt(); a.asked > ready && a.at < served && stopping {
		c.fail("readiness: a question at %v whether the app serves got the answer %q, and the app served from %v to %v", a.asked, errText(a.err), ready, served)
	}
	if a.asked > served && !stopping {
		c.fail("readiness: a question at %v whether the app serves got the answer %q, and the app served until %v", a.asked, errText(a.err), served)
	}
	var notReady NotReadyError
	if a.asked < min(c.readyAt(), c.begun) && !errors.As(a.err, &notReady) {
		c.fail("readiness: a question at %v, before the app was ready, got the answer %q", a.asked, errText(a.err))
	}
}

// startsOf returns the starts of a target: those of its command, including failed ones, or the
// attempts of its probe.
func (c *checked) startsOf(t *probes.Target) (all []targetStart) {
	for _, l := range c.procs {
		if l.isCommand() && l.name == t.Name {
			all = append(all, targetStart{at: l.forkedAt, ended: l.diedAt, vars: l.vars(), proc: l})
		}
	}
	for _, f := range c.failed {
		if !f.app && f.argv[0] == t.Name {
			all = append(all, targetStart{at: f.at, ended: f.at, vars: varsOf(f.env)})
		}
	}
	for _, a := range c.asked {
		if a.name == t.Name {
			var env []string
			for _, v := range a.vars {
				env = append(env, v.Name+"="+v.Value)
			}
			all = append(all, targetStart{at: a.at, ended: a.endedAt, vars: varsOf(env)})
		}
	}
	slices.SortStableFunc(all, func(a, b targetStart) int { return int(a.at - b.at) })
	return all
}

// targetStart is one start of a target.
type targetStart struct {
	at, ended time.Duration
	vars      map[string]string
	proc      *lived // nil: the target is not a command, or the start failed
}
