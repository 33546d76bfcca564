package supervisor

import (
	"slices"
	"syscall"
	"time"
)

// asks returns the calls of kill(2) by which usher asked a process to stop: all that signalled
// it, except those with SIGKILL or SIGCONT, and those that forwarded a signal to the app's
// group.
func (c *checked) asks(l *lived) (all []*sentSignal) {
	for i := range c.calls {
		call := &c.calls[i]
		forwarded := c.app != nil && call.pid == -c.app.pid && call != c.stopCall && call.at <= c.appDead && call.step > c.app.step
		if call.sig == syscall.SIGKILL || call.sig == syscall.SIGCONT || forwarded || !slices.Contains(call.to, l) {
			continue
		}
		all = append(all, call)
	}
	return all
}

// isLeftover reports whether usher treats a process as a leftover, which it may ask to stop: a
// process that usher did not start, or the app if usher has given up starting it.
func (c *checked) isLeftover(l *lived) bool {
	return l.started == nil || l.isApp() && c.appAt == neverAt
}

// seesProcesses reports whether usher lists the processes in this story (--grace is set), can
// read /proc, and gets a list that is never out of date, because reading /proc takes no time.
func (c *checked) seesProcesses() bool { return c.cfg.Grace > 0 && !c.noProc && c.scan == 0 }

// checkAskedOnce: usher asks no process twice to stop. A leftover that usher asks to stop also
// gets SIGCONT, because it may have been stopped by SIGSTOP. Without --grace usher asks no
// leftover to stop.
func (c *checked) checkAskedOnce() {
	for _, l := range c.procs {
		if l.isApp() && c.appAt != neverAt {
			continue
		}
		// A signal at the instant of the fork may have been meant for an earlier process that
		// had the same pid when usher listed the processes. A real kernel reuses a pid much
		// later.
		asks := slices.DeleteFunc(c.asks(l), func(ask *sentSignal) bool { return ask.denied || c.k.reusePIDs && ask.at == l.forkedAt })
		// usher may ask two kinds of processes twice. While the start of a command has not
		// returned, usher does not know its pid, and treats the command as a leftover. If a
		// process moves to another group, usher does not know that it got the signal of its
		// old group.
		if unknown := l.isCommand() && l.act.startTakes > 0 || l.act.otherGroup > 0; len(asks) > 1 && !unknown && (len(asks) > 2 || asks[1].pid != -1) { // a second request by kill(-1) is allowed: without /proc usher cannot omit a process
			c.fail("leftovers: %s was asked %d times to stop, at %v and at %v", l, len(asks), asks[0].at, asks[1].at)
		}
		if c.cfg.Grace == 0 && c.isLeftover(l) && len(asks) > 0 && asks[0] != c.stopCall && c.ownerOf(l) == nil {
			c.fail("leftovers: %s was asked to stop at %v, without --grace", l, asks[0].at)
		}
		for _, ask := range asks {
			continued := slices.ContainsFunc(c.calls, func(s sentSignal) bool {
				return s.sig == syscall.SIGCONT && s.at == ask.at && s.step > ask.step && s.pid == ask.pid
			})
			if c.isLeftover(l) && ask.pid > 0 && !ask.denied && !continued {
				c.fail("leftovers: %s was asked to stop at %v and got no SIGCONT", l, ask.at)
			}
		}
	}
}

// checkRoots: until the last call (callAt), usher asks only roots to stop: leftovers that are
// usher's own children. Each gets the app's stop signal between the two instants that the
// method due returns.
func (c *checked) checkRoots() {
	if c.noProc && c.cfg.Grace > 0 {
		c.checkEverythingAsked()
	}
	if !c.seesProcesses() || c.leftoversAt == neverAt {
		return
	}
	for _, l := range c.procs {
		if !c.isLeftover(l) || l.diedAt < c.leftoversAt || c.stopCall != nil && slices.Contains(c.stopCall.to, l) {
			continue
		}
		early, late := c.due(l)
		asked, sig := neverAt, syscall.Signal(0)
		for _, ask := range c.asks(l) {
			if ask.pid > 0 {
				asked, sig = ask.at, ask.sig
				break
			}
		}
		switch from := max(c.leftoversAt, l.ownFrom, early); {
		case asked >= c.callAt:
			if asked != neverAt && sig != syscall.SIGTERM && sig != c.stopSignal() {
				c.fail("last call: %s got signal %d", l, sig)
			}
		case l.ownFrom > asked:
			c.fail("leftovers: %s was asked at %v, before the last call at %v, and is not usher's child", l, asked, c.callAt)
		case asked < from:
			c.fail("leftovers: %s was asked at %v, before %v", l, asked, from)
		case sig != c.stopSignal():
			c.fail("leftovers: %s was asked by signal %d instead of %d", l, sig, c.stopSignal())
		}
		if !l.ownByChild && l.ownFrom >= c.leftoversAt || l.ownFrom == neverAt || l.act.reads != "" || c.wasTold(l) || c.isEnding(l) || len(c.asks(l)) > 0 && asked == neverAt {
			continue // usher need not ask it as soon as it is due: it is not usher's child, or usher does not notice at once that it is; or it reads the output of another process; or usher knows that it has already got a stop signal
		}
		if at := max(c.leftoversAt, l.ownFrom, late); at < min(c.callAt, l.diedAt, c.afterLeftovers()) && asked > at {
			c.fail("leftovers: %s was not asked at %v, but at %v", l, at, asked)
		}
	}
}

// checkFilters: before the last call a process that reads the output of another process is
// not asked to stop while that other process is alive. Otherwise the other process would get
// SIGPIPE.
func (c *checked) checkFilters() {
	if !c.seesProcesses() {
		return
	}
	for _, l := range c.procs {
		if l.act.reads == "" || !c.isLeftover(l) || c.stopCall != nil && slices.Contains(c.stopCall.to, l) {
			continue
		}
		for _, ask := range c.asks(l) {
			writes := func(w *lived) bool { return w.name == l.act.reads && w.aliveAt(ask.at) }
			if ask.at < c.callAt && ask.pid > 0 && slices.ContainsFunc(c.procs, writes) {
				c.fail("filters: %s was asked to stop at %v, while %s was alive", l, ask.at, l.act.reads)
			}
		}
	}
}

// wasTold reports whether usher can notice that a process has already got a stop signal,
// from its parent or together with the app's group. usher can notice it only for a process
// that removes its handler at the first signal (once).
func (c *checked) wasTold(l *lived) bool {
	return l.act.once && (len(l.forwarded) > 0 || slices.ContainsFunc(l.sent, func(s *sentSignal) bool {
		return s != c.stopCall && c.app != nil && s.pid == -c.app.pid
	}))
}

// isEnding reports whether a process began in the group of a command, and usher has signalled
// this group. usher need not ask such a process to stop.
func (c *checked) isEnding(l *lived) bool {
	owner := c.ownerOf(l)
	return owner != nil && slices.ContainsFunc(c.calls, func(s sentSignal) bool {
		return s.pid == -owner.pid && s.step > owner.step && s.sig != syscall.SIGCONT
	})
}

// due returns the earliest and the latest instant at which usher may ask a root (its own
// child) to stop, by the rule in leftovers.go. The two instants differ if usher cannot know
// what an observer knows, or if two things happened at the same instant.
func (c *checked) due(l *lived) (early, late time.Duration) {
	widen := func(a, b time.Duration) { early, late = min(early, a), max(late, b) }
	early, late = c.dueByApp()
	parent := l.lastParent
	if c.isKnownParent(parent) {
		a, b := c.dueByParent(parent)
		known := l.forkedAt < min(c.askedAt, c.leftoversAt) && min(c.askedAt, c.leftoversAt) < parent.diedAt && !c.k.reusePIDs
		if known {
			early, late = a, b
		} else {
			widen(a, b)
		}
	}
	// usher identifies a parent by its pid. If another process has had that pid too, usher may
	// take the exit of that process for the parent's exit.
	if parent != nil && slices.ContainsFunc(c.procs, func(other *lived) bool { return other != parent && other.pid == parent.pid }) {
		widen(0, c.killAt)
	}
	switch {
	case l.ownFrom < c.askedAt && c.askedAt != neverAt: // the root was already usher's child when the app got its stop signal, so usher asks it to stop without waiting
		return 0, 0
	case l.ownFrom == c.askedAt:
		widen(0, 0)
	}
	return early, late
}

// isKnownParent reports whether the exit of a root's parent decides when usher asks the
// root to stop. If the parent is the app, another rule decides (see dueByApp). The exit decides
// nothing if the parent is not usher's child, because usher does not notice it then. It also
// decides nothing if it comes before the app's stop signal, because usher does not record it
// then. If the app got no stop signal, the phase leftovers counts in its place.
func (c *checked) isKnownParent(parent *lived) bool {
	return parent != nil && (parent != c.app || c.appAt == neverAt) && parent.parent == usherPID && parent.diedAt >= min(c.askedAt, c.leftoversAt)
}

func (c *checked) dueByParent(parent *lived) (early, late time.Duration) {
	if sig := parent.exit().Signal; sig != 0 && (sig == c.stopSignal() || sig == syscall.SIGTERM) {
		return 0, 0
	}
	half := parent.diedAt + (c.killAt-parent.diedAt)/2
	return half, half
}

// dueByApp returns the earliest and the latest instant at which usher may ask a child of the
// exited app to stop. They also hold for any other root, if the exit of its parent does not
// decide when usher asks it (see isKnownParent).
func (c *checked) dueByApp() (early, late time.Duration) {
	half := func(at time.Duration) time.Duration { return at + (c.killAt-at)/2 }
	switch {
	case c.appAt == neverAt:
		for _, e := range c.events { // an interrupted hook may have forwarded the signal to its children, so usher may give them half of the time that is left
			if e.Kind == HookFinished && e.Phase == PreStart && c.stop != nil && e.At >= c.stop.At {
				late = half(e.At)
			}
		}
		return 0, late
	case c.stopEntered() == c.appDead && c.stopCall == nil && c.cfg.StopSignal != NoSignal:
		return 0, half(c.appDead) // the app exited just when usher was about to send its stop signal: usher either noticed that and does not wait, or sent the signal to the zombie and waits, because the app may have signalled its children
	case c.askedAt == neverAt || c.stopCall == nil || c.appDead == neverAt:
		return 0, 0
	case c.app.exit().Signal != c.stopSignal():
		return half(c.appDead), half(c.appDead)
	case c.app.act.raises && c.app.act.handles && !c.app.act.once && !c.noProc:
		return c.appDead + 100*time.Millisecond, c.appDead + 100*time.Millisecond
	case c.app.act.handles:
		return 0, c.appDead + 100*time.Millisecond
	}
	return 0, 0
}

// checkEverythingAsked: without /proc, usher asks all processes to stop by one kill(-1), at the
// time at which it would ask its own children. With --group it does not do that if the app's
// group has already got the stop signal.
func (c *checked) checkEverythingAsked() {
	early, late := c.dueByApp()
	early, late = max(early, c.leftoversAt), max(late, c.leftoversAt+c.scan)
	asked := 0
	for _, call := range c.calls {
		if call.pid != -1 || call.sig == syscall.SIGKILL || call.sig == syscall.SIGCONT {
			continue
		}
		if asked++; call.at < early || call.at > late || call.sig != c.stopSignal() {
			c.fail("leftovers: everything got signal %d at %v instead of %d between %v and %v", call.sig, call.at, c.stopSignal(), early, late)
		}
	}
	groupAsked := c.cfg.Group && c.stopCall != nil
	if asked > 1 || asked == 1 && groupAsked {
		c.fail("leftovers: everything was asked %d times", asked)
	}
	if asked == 0 && !groupAsked && c.leftoversAt != neverAt && late < min(c.killAt, c.afterLeftovers()) {
		c.fail("leftovers: nothing was asked at %v", late)
	}
}

// inPhase reports whether usher was stopping the app, or waiting for leftovers, just before
// and just after an instant.
func (c *checked) inPhase(at time.Duration) bool {
	if _, stopped := c.phases[Stop]; stopped && c.askedAt < at && at < c.appDead && at < c.endAt {
		return true
	}
	return c.leftoversAt < at && at < c.afterLeftovers()
}

// afterLeftovers returns the time at which usher stopped waiting for leftovers.
func (c *checked) afterLeftovers() time.Duration {
	if e, entered := c.phases[PostStop]; entered {
		return e.At
	}
	return c.endAt
}

// checkLastCall: at the last call (callAt), usher sends SIGTERM to every leftover that has got
// no stop signal yet. At the deadline every process gets SIGKILL.
func (c *checked) checkLastCall() {
	if c.cfg.Grace == 0 || c.scan > 0 {
		return
	}
	for _, l := range c.procs {
		if c.seesProcesses() && c.inPhase(c.callAt) && l.aliveAt(c.callAt) && c.isLeftover(l) && !c.wasTold(l) && !c.isEnding(l) && (c.pid1 || l.parent != 0) {
			if asks := c.asks(l); len(asks) == 0 || asks[0].at > c.callAt {
				c.fail("last call: %s is alive at %v and has not been asked", l, c.callAt)
			}
		}
		if e, entered := c.phases[PostStop]; entered && e.At < c.killAt {
			continue
		}
		at := c.killAt // the time of SIGKILL; it is later than killAt if a hook was still running then, because the phase leftovers begins after the hook
		if c.appDead <= c.killAt && c.killAt != neverAt && c.leftoversAt != neverAt {
			at = max(at, c.leftoversAt)
		}
		if l.aliveAt(at) && l.ownFrom < at && at < c.endAt && !c.killedAt(l, at) {
			c.fail("deadline: %s is alive at %v and got no SIGKILL", l, at)
		}
	}
	for _, e := range c.events {
		if e.Kind == LastCall && e.At != c.callAt && (c.callAt > c.leftoversAt || e.At != c.leftoversAt) {
			c.fail("last call: it was made at %v instead of %v", e.At, c.callAt)
		}
	}
}

func (c *checked) killedAt(l *lived, at time.Duration) bool {
	return slices.ContainsFunc(l.sent, func(s *sentSignal) bool { return s.sig == syscall.SIGKILL && s.at == at })
}
