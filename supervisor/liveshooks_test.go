package supervisor

import (
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// hookRun holds the events of one hook.
type hookRun struct {
	*probes.Target
	started, finished, skipped *seenEvent
}

func (c *checked) hookRuns(hooks []probes.Target) (all []hookRun) {
	for i := range hooks {
		run := hookRun{Target: &hooks[i]}
		for j := range c.events {
			e := &c.events[j]
			if e.Target != run.Target {
				continue
			}
			set := func(to **seenEvent) {
				if *to != nil {
					c.fail("hooks: two events %d of %s", e.Kind, run.Name)
				}
				*to = e
			}
			switch e.Kind {
			case HookStarted:
				set(&run.started)
			case HookFinished:
				set(&run.finished)
			case HookSkipped:
				set(&run.skipped)
			}
		}
		all = append(all, run)
	}
	return all
}

// checkHookOrder: the hooks run in their phase, one after the other, each at most once, apart
// from its retries. The drain delay ends at the latest when the app exits or a SIGINT skips the
// drain. The phases drain and post-stop are not left out, but there is no drain if the app exits
// by itself.
func (c *checked) checkHookOrder() {
	_, started := c.phases[Start]
	_, running := c.phases[Running]
	_, stopped := c.phases[Stop]
	_, drained := c.phases[Drain]
	_, postStop := c.phases[PostStop]
	c.checkHooksOf(PreStart, c.cfg.PreStart, started)
	c.checkHooksOf(PostStart, c.cfg.PostStart, running)
	c.checkHooksOf(Drain, c.cfg.Drain, drained)
	c.checkHooksOf(PostStop, c.cfg.PostStop, true)
	for _, e := range c.events {
		if over := max(e.At-e.Took, min(c.appDead, c.skippedDrainAt())); e.Kind == DelayFinished && e.At > over {
			c.fail("drain: the delay ended at %v instead of %v", e.At, over)
		}
	}
	hasDrain := c.cfg.DrainDelay > 0 || len(c.cfg.Drain) > 0 || c.cfg.DrainIdle > 0
	switch {
	case drained && c.stop == nil && c.failure == nil:
		c.fail("drain: it ran although the app exited by itself")
	case stopped && hasDrain && !drained:
		c.fail("drain: it was left out")
	case len(c.cfg.PostStop) > 0 && !postStop:
		c.fail("post-stop: it was left out")
	}
}

// checkHooksOf checks the hooks of one phase. complete means that each hook must have been
// started or skipped. It is false for a phase of the startup that did not succeed, because the
// hooks after a failed one do not run, and for a drain that did not begin.
func (c *checked) checkHooksOf(phase Phase, hooks []probes.Target, complete bool) {
	inShutdown := phase == Drain || phase == PostStop
	before := 0
	for _, run := range c.hookRuns(hooks) {
		starts := c.startsOf(run.Target)
		if run.started == nil {
			if len(starts) > 0 {
				c.fail("hooks: %s was started in phase %s without an event", run.Name, phase)
			}
			if run.skipped == nil && complete {
				c.fail("hooks: %s of phase %s was neither started nor skipped", run.Name, phase)
			}
			if run.skipped != nil {
				c.checkSkipped(phase, run)
			}
			continue
		}
		if run.finished == nil || run.skipped != nil || run.started.Phase != phase || run.started.step < before {
			c.fail("hooks: the events of %s in phase %s are not in order", run.Name, phase)
			continue
		}
		before = run.finished.step
		if len(starts) > 1+run.Retries || len(starts) == 0 && run.finished.At > run.started.At {
			c.fail("hooks: %s was started %d times", run.Name, len(starts))
		}
		for _, s := range starts {
			if s.at < run.started.At || s.at > run.finished.At {
				c.fail("hooks: %s was started at %v, outside its run from %v to %v", run.Name, s.at, run.started.At, run.finished.At)
			}
		}
		c.checkResult(run, starts)
		if phase == Drain && run.started.At > c.appDead {
			c.fail("drain: hook %s was started at %v, after the app had exited at %v", run.Name, run.started.At, c.appDead)
		}
		if !inShutdown && complete && run.finished.Err != nil && run.finished.At < c.begun {
			c.fail("hooks: %s failed, and the startup went on", run.Name)
		}
	}
}

// checkResult: a hook with a command succeeds only if the command of its last attempt has
// exited with status 0.
func (c *checked) checkResult(run hookRun, starts []targetStart) {
	if len(starts) == 0 {
		return
	}
	last := starts[len(starts)-1]
	if last.proc == nil || last.ended > run.finished.At {
		if run.finished.Err == nil && run.Kind == "command" {
			c.fail("hooks: %s succeeded at %v, but its command has not exited 0", run.Name, run.finished.At)
		}
		return
	}
	if failed := last.proc.exit() != (Exit{}); failed && run.finished.Err == nil {
		c.fail("hooks: %s succeeded, but its command %v", run.Name, last.proc.exit())
	}
}

// checkSkipped: a hook is skipped only if its phase has no time left. A drain hook is also
// skipped if the app has exited, or if a SIGINT has ended the drain.
func (c *checked) checkSkipped(phase Phase, run hookRun) {
	at := run.skipped.At
	skipped := slices.ContainsFunc(c.events, func(e seenEvent) bool { return e.Kind == DrainSkipped })
	switch {
	case phase == PostStop && c.cfg.Grace > 0 && at >= c.begun+c.cfg.Grace:
	case phase == Drain && (at >= c.appDead || at >= c.begun+c.drainEnd || skipped):
	default:
		c.fail("hooks: %s of phase %s was skipped at %v", run.Name, phase, at)
	}
}

// checkHookLimits: a hook ends by the limit of its phase, and within 1.1 s after its own
// timeout. The 1.1 s are for its command, which gets SIGTERM at the timeout and SIGKILL a
// second later. The phases of the startup have a limit only after a stop signal.
func (c *checked) checkHookLimits() {
	for _, p := range []struct {
		hooks []probes.Target
		phase Phase
		limit time.Duration // the end of the phase's time, counted from the start of the run
	}{
		{c.cfg.PreStart, PreStart, neverAt}, {c.cfg.PostStart, PostStart, neverAt},
		{c.cfg.Drain, Drain, c.begun + c.drainEnd}, {c.cfg.PostStop, PostStop, c.begun + c.cfg.Grace},
	} {
		limit := p.limit
		if c.cfg.Grace == 0 {
			limit = neverAt
		}
		for _, run := range c.hookRuns(p.hooks) {
			if run.started == nil || run.finished == nil {
				continue
			}
			own := neverAt
			if run.Timeout > 0 {
				own = run.started.At + run.Timeout
			}
			end := min(own, limit)
			if e := c.skippedDrainAt(); p.phase == Drain {
				end = min(end, e)
			}
			if p.phase == PostStart && (c.stop == nil || c.stop.At > c.appDead) {
				end = min(end, c.appDead)
			}
			c.checkCommandsEnd(run, p.phase, end)
			late := min(add(own, hookKillDelay+killedSoon), limit)
			if p.phase == PreStart && c.stop != nil && c.cfg.Grace > 0 {
				late = min(late, c.begun+c.kill)
			}
			if p.phase == PostStart && c.stop != nil && c.stop.At >= run.started.At {
				if c.cfg.Grace > 0 {
					late = min(late, c.begun+c.drainEnd)
				} else {
					late = min(late, c.begun+3*time.Second)
				}
			}
			if run.finished.At > max(late, run.started.At) {
				c.fail("hooks: %s of phase %s ended at %v, later than %v", run.Name, p.phase, run.finished.At, late)
			}
		}
	}
}

// skippedDrainAt returns when a SIGINT ended the drain; neverAt: none did.
func (c *checked) skippedDrainAt() time.Duration {
	for _, e := range c.events {
		if e.Kind == DrainSkipped {
			return e.At
		}
	}
	return neverAt
}

// checkCommandsEnd: a hook's command that is still running at end, the end of the hook's time,
// gets SIGTERM then and SIGKILL a second later. Before end usher sends it only SIGCONT, signals
// to all processes (kill(-1)) and, for a hook of the startup, SIGTERM at a stop signal.
func (c *checked) checkCommandsEnd(run hookRun, phase Phase, end time.Duration) {
	sentBy := func(l *lived, at time.Duration, of ...syscall.Signal) bool {
		return slices.ContainsFunc(c.calls, func(s sentSignal) bool {
			return s.at <= at && slices.Contains(of, s.sig) && (slices.Contains(s.to, l) || s.pid == -l.pid)
		})
	}
	for _, s := range c.startsOf(run.Target) {
		l := s.proc
		if l == nil || l.act.startTakes > 0 || l.forkedAt >= end {
			continue
		}
		if end < min(l.diedAt, c.endAt) && !sentBy(l, end, syscall.SIGTERM, syscall.SIGKILL) {
			c.fail("hooks: %s runs longer than until %v and has got no signal", l, end)
		}
		if end < neverAt && end+hookKillDelay < min(l.diedAt, c.endAt) && !l.act.otherUser && !sentBy(l, end+hookKillDelay, syscall.SIGKILL) {
			c.fail("hooks: %s runs longer than until %v and has not got SIGKILL", l, end+hookKillDelay)
		}
		interrupted := (phase == PreStart || phase == PostStart) && c.stop != nil && l.aliveAt(c.stop.At) && c.stop.At < end && c.stop.At < run.finished.At
		if interrupted && !sentBy(l, c.stop.At, syscall.SIGTERM) {
			c.fail("hooks: %s was running at the stop signal at %v and has got no SIGTERM", l, c.stop.At)
		}
		for _, early := range l.sent {
			known := early.sig == syscall.SIGTERM && c.stop != nil && early.at == c.stop.At || early.sig == syscall.SIGCONT
			if early.at < min(end, run.finished.At) && !known && early.pid != -1 {
				c.fail("hooks: %s got signal %d at %v, before its time ended", l, early.sig, early.at)
			}
		}
	}
}

// checkHookVars: each hook gets exactly the USHER_ variables that hookVars returns, for example
// the reason for the shutdown.
func (c *checked) checkHookVars() {
	for _, p := range []struct {
		phase Phase
		hooks []probes.Target
	}{{PreStart, c.cfg.PreStart}, {PostStart, c.cfg.PostStart}, {Drain, c.cfg.Drain}, {PostStop, c.cfg.PostStop}} {
		for _, run := range c.hookRuns(p.hooks) {
			for _, start := range c.startsOf(run.Target) {
				if run.started == nil {
					continue
				}
				at := run.started.At
				want := c.hookVars(p.phase, run.Target, at)
				if at == c.appDead || at == c.appAt {
					delete(want, "APP_PID")
					delete(start.vars, "APP_PID")
				}
				if fmt.Sprint(want) != fmt.Sprint(start.vars) {
					c.fail("hooks: %s in phase %s was told %v instead of %v", run.Name, p.phase, start.vars, want)
				}
			}
		}
	}
}

func (c *checked) hookVars(phase Phase, t *probes.Target, at time.Duration) map[string]string {
	vars := map[string]string{}
	limit := neverAt
	if t.Timeout > 0 {
		limit = t.Timeout
	}
	if phase == Drain || phase == PostStop {
		switch {
		case c.stop != nil:
			vars["REASON"], vars["SIGNAL"] = "signal", signals.Name(c.stop.Signal)
		case c.failure != nil && c.failure.Phase == Start:
			vars["REASON"] = "not-found"
		case c.failure != nil:
			vars["REASON"] = c.failure.Phase.String()
		default:
			vars["REASON"] = "exit"
		}
		if c.cfg.Grace > 0 && phase == Drain {
			limit = min(limit, c.begun+c.drainEnd-at)
		} else if c.cfg.Grace > 0 {
			limit = min(limit, c.begun+c.cfg.Grace-at)
		}
	}
	if c.appAt <= at && at < c.appDead && phase != PostStop {
		vars["APP_PID"] = strconv.Itoa(c.app.pid)
	}
	if phase == PostStop {
		vars["EXIT_CODE"] = strconv.Itoa(c.code)
	}
	if limit != neverAt {
		vars["TIME_LEFT"] = strconv.Itoa(int(limit / time.Second))
	}
	return vars
}
