package supervisor

import (
	"slices"
	"syscall"
	"time"
)

// appSignal is a signal to the app at an instant.
type appSignal struct {
	at  time.Duration
	sig syscall.Signal
}

// checkAppSignals: usher forwards each received signal once, at once or when the app starts
// (expectedSignals has the exceptions). Of its own accord usher sends the app only one stop
// signal, SIGCONT right after it if a signal such as SIGSTOP may have stopped the app, and
// SIGKILL from the deadline on.
func (c *checked) checkAppSignals() {
	if c.appAt == neverAt {
		return
	}
	got := map[appSignal]int{}
	var order []syscall.Signal // the signals that the app got when it started, in order
	for i := range c.calls {
		call := &c.calls[i]
		reused := slices.ContainsFunc(c.procs, func(l *lived) bool { return l.pid == c.app.pid && l.step > c.app.step && l.step < call.step }) // by a process that was forked after the app's exit
		toApp := call.pid == c.app.pid && slices.Contains(call.to, c.app) || call.pid == -c.app.pid && call.at <= c.appDead && call.step > c.app.step && !reused
		own := call == c.stopCall || call.sig == syscall.SIGKILL && call.at >= c.killAt ||
			call.sig == syscall.SIGCONT && c.stopCall != nil && call.at == c.askedAt && call.step > c.stopCall.step && c.app.act.stopsAfter > 0
		// With --group, usher signals the group and, if the app has left the group, also the
		// app itself. The two calls are counted as one signal.
		again := i > 0 && call.pid == c.app.pid && c.calls[i-1].pid == -c.app.pid && c.calls[i-1].sig == call.sig && len(c.calls[i-1].to) > 0
		if len(call.to) == 0 || !toApp || own || again {
			continue
		}
		got[appSignal{call.at, call.sig}]++
		if call.at == c.appAt {
			order = append(order, call.sig)
		}
	}
	must, may, kept := c.expectedSignals()
	for s, n := range got {
		if n > must[s]+may[s] {
			c.fail("forwarding: the app got signal %d %d times at %v, instead of at most %d", s.sig, n, s.at, must[s]+may[s])
		}
	}
	for s, n := range must {
		if got[s] < n {
			c.fail("forwarding: the app got signal %d %d times at %v, instead of at least %d", s.sig, got[s], s.at, n)
		}
	}
	for _, channel := range kept {
		rest := order
		for _, sig := range channel {
			i := slices.Index(rest, sig)
			if i < 0 {
				c.fail("forwarding: the signals that were kept until the app started were sent as %v, not in the order %v", order, channel)
				break
			}
			rest = rest[i+1:]
		}
	}
}

// maxKept is how many signals usher keeps until the app starts.
const maxKept = 1024

// expectedSignals returns how often the app must get each signal, and how often it may get
// it in addition. kept holds the signals that usher kept until the app started, in the order
// in which the app must get them. It has one list for each of the two channels on which usher
// receives signals (see signals.Inbox): kept[0] for Other, kept[1] for Control. A signal that
// was received at the same instant as a different one is not in kept, because the order of the
// two is random.
func (c *checked) expectedSignals() (must, may map[appSignal]int, kept [2][]syscall.Signal) {
	must, may = map[appSignal]int{}, map[appSignal]int{}
	rewritten := func(sig syscall.Signal) syscall.Signal {
		if to, ok := c.cfg.Rewrite[sig]; ok {
			return to
		}
		return sig
	}
	all, _ := c.inputs()
	pending := 0
	for _, in := range all {
		if in.at <= c.appAt {
			pending++
		}
	}
	for _, in := range all {
		send := rewritten(in.sig)
		stop := c.isStop(in.sig, false)
		switch {
		case in.at > c.appDead || in.at > c.endAt:
		case in.at < c.appAt && c.isStop(in.sig, true):
			// The first stop signal, HUP or QUIT before the app's start ends the startup. If the
			// app is just being started then, usher keeps a HUP or QUIT that comes later, and
			// forwards it at the start of the drain or after the app's stop signal.
			if !stop {
				may[appSignal{c.drainedAt(), send}]++
				may[appSignal{c.askedAt, in.sig}]++
			}
		case in.at < c.appAt:
			if send != 0 && (c.appAt == c.appDead || pending > maxKept) {
				may[appSignal{c.appAt, send}]++
			} else if send != 0 {
				must[appSignal{c.appAt, send}]++
				channel := 0
				if in.control {
					channel = 1
				}
				if !slices.ContainsFunc(all, func(other input) bool { return other.at == in.at && other.sig != in.sig }) {
					kept[channel] = append(kept[channel], send)
				}
			}
		case in.at == c.appAt, in.at == c.appDead, in.at >= c.killAt, in.at == c.begun && stop:
			may[appSignal{in.at, send}]++
			may[appSignal{in.at, in.sig}]++
			if !stop {
				may[appSignal{c.askedAt, in.sig}]++
				may[appSignal{c.drainedAt(), send}]++
			}
		case stop && in.at < c.askedAt: // a repeated stop signal is ignored until the app has got its stop signal
		case in.at == c.askedAt:
			may[appSignal{in.at, send}]++
			may[appSignal{in.at, in.sig}]++
		case stop && c.cfg.StopSignal == NoSignal:
		case in.at > c.askedAt:
			must[appSignal{in.at, in.sig}]++
		case send != 0:
			must[appSignal{in.at, send}]++
		}
	}
	return must, may, kept
}

// drainedAt returns when the drain began; neverAt: there was none.
func (c *checked) drainedAt() time.Duration {
	if e, entered := c.phases[Drain]; entered {
		return e.At
	}
	return neverAt
}

// stopEntered returns when the phase stop began; neverAt: there was none.
func (c *checked) stopEntered() time.Duration {
	if e, entered := c.phases[Stop]; entered {
		return e.At
	}
	return neverAt
}

// stopScan is the longest time for which usher reads /proc before it sends the stop signal.
const stopScan = 100 * time.Millisecond

// checkDeadline: the app gets its stop signal after --drain-delay. Between the stop signal and
// SIGKILL it has at least the reserve; reading /proc may shorten the reserve by at most
// stopScan. If the app is still alive at the deadline, it gets SIGKILL. Without --grace usher
// exits only after the app has exited.
func (c *checked) checkDeadline() {
	_, stopped := c.phases[Stop]
	if c.appAt == neverAt {
		return
	}
	if !stopped {
		if c.appDead == neverAt {
			c.fail("deadline: usher exited before the app, which got no stop signal")
		}
		return
	}
	if c.stopCall == nil && c.cfg.StopSignal != NoSignal && c.appDead > c.stopEntered()+min(c.scan, stopScan) {
		c.fail("deadline: the app got no stop signal")
	}
	if c.stopCall != nil && c.appDead > c.askedAt && !slices.ContainsFunc(c.calls, func(s sentSignal) bool {
		return s.at == c.askedAt && s.sig == c.stopSignal() && slices.Contains(s.to, c.app)
	}) {
		c.fail("deadline: the app itself got no stop signal")
	}
	c.checkContinued()
	if c.cfg.Grace == 0 || c.askedAt == neverAt {
		if c.appDead > c.endAt {
			c.fail("deadline: usher exited before the app")
		}
		return
	}
	if late := c.begun + c.drainEnd + min(c.scan, stopScan); c.askedAt > late && c.askedAt != neverAt {
		c.fail("deadline: the app got its stop signal at %v, later than %v, so it has less than its reserve of %v", c.askedAt, late, c.reserve)
	}
	if early := c.begun + min(c.cfg.DrainDelay, c.drainEnd); c.askedAt < early && c.skippedDrainAt() > c.askedAt {
		c.fail("deadline: the app got its stop signal at %v, before %v, the end of the delay", c.askedAt, early)
	}
	if c.appDead > c.killAt && c.askedAt < c.killAt && !slices.ContainsFunc(c.calls, func(s sentSignal) bool {
		return s.sig == syscall.SIGKILL && s.at >= c.killAt && s.at <= c.killAt+min(c.scan, stopScan) && slices.Contains(s.to, c.app)
	}) {
		c.fail("deadline: the app is alive at %v and got no SIGKILL", c.killAt)
	}
}

// checkContinued: an app that a signal such as SIGSTOP has stopped gets SIGCONT with its stop
// signal.
func (c *checked) checkContinued() {
	if c.stopCall == nil || c.app.act.stopsAfter == 0 || c.appDead == c.askedAt {
		return
	}
	stoppedAt := c.appAt + c.app.act.stopsAfter
	continued := slices.ContainsFunc(c.app.sent, func(s *sentSignal) bool {
		return s.sig == syscall.SIGCONT && s.at >= stoppedAt && s.at <= c.askedAt
	})
	if stoppedAt < c.askedAt && !continued && !c.stopCall.denied {
		c.fail("deadline: the app was stopped at %v and got no SIGCONT with its stop signal at %v", stoppedAt, c.askedAt)
	}
}

// checkStarts: after a stop signal or a failure of the startup, usher starts no further
// step of the startup. If neither happened, usher exits only after the app has exited or,
// without a command, after every --wait target is ready or skipped.
func (c *checked) checkStarts() {
	start, entered := c.phases[Start]
	if c.stop != nil && entered && start.step > c.stop.step {
		c.fail("starts: the app was started after the stop signal at %v", c.stop.At)
	}
	if c.failure != nil && c.failure.Phase < Start && entered {
		c.fail("starts: the app was started although %v", c.failure)
	}
	if c.stop == nil && c.failure == nil && c.appDead > c.endAt && !c.waitOnly() {
		c.fail("starts: usher exited without a reason")
	}
	if c.stop == nil && c.failure == nil && c.waitOnly() && c.settledTargets() < len(c.cfg.Wait) {
		c.fail("starts: usher exited although a target was not ready")
	}
	ends := c.endAt
	for _, e := range c.events {
		if e.Kind == StopRequested || e.Kind == StartupFailed {
			ends = min(ends, e.At)
		}
	}
	for _, l := range c.procs {
		if l.started == nil || l.forkedAt <= ends {
			continue
		}
		in := func(e seenEvent) bool {
			return e.Kind == HookStarted && e.Target.Name == l.name && (e.Phase == Drain || e.Phase == PostStop)
		}
		if l.isApp() || !slices.ContainsFunc(c.events, in) {
			c.fail("starts: %s was started at %v, after the startup had ended at %v", l, l.forkedAt, ends)
		}
	}
}

// waitOnly reports whether usher has no command, so that it only waits.
func (c *checked) waitOnly() bool { return len(c.cfg.Command) == 0 }

// settledTargets returns how many --wait targets became ready or, being optional, were skipped.
func (c *checked) settledTargets() (n int) {
	for _, e := range c.events {
		if e.Phase == Wait && (e.Kind == TargetReady || e.Kind == TargetSkipped) {
			n++
		}
	}
	return n
}

// checkHints: the log suggests --stop-on once at most, only with --grace, and only in two cases.
// It must suggest it if the app exits by itself within a minute after a forwarded signal. It may
// suggest it if the app still runs five seconds after a signal that images use as STOPSIGNAL.
// Neither applies to SIGCONT.
func (c *checked) checkHints() {
	all, _ := c.inputs()
	hints := 0
	for _, e := range c.events {
		if e.Kind != StopOnHint {
			continue
		}
		hints++
		exited := c.appDead <= e.At
		caused := slices.ContainsFunc(all, func(in input) bool {
			from := max(in.at, c.appAt) // a signal that was kept is forwarded when the app starts
			survived := in.at <= e.At && e.At == from+stopOnDelay && slices.Contains([]syscall.Signal{syscall.SIGQUIT, syscall.SIGWINCH, syscall.SIGUSR1}, in.sig)
			return in.sig == e.Signal && (survived && c.begun >= e.At || exited && from <= c.appDead && c.appDead-from < stopOnWindow)
		})
		if !caused || c.cfg.Grace == 0 || c.appAt == neverAt || e.Signal == syscall.SIGCONT {
			c.fail("hints: --stop-on is suggested at %v for signal %d without a cause", e.At, e.Signal)
		}
	}
	if hints > 1 {
		c.fail("hints: --stop-on is suggested %d times", hints)
	}
	if hints > 0 || c.cfg.Grace == 0 || c.stop != nil || c.failure != nil || c.appDead > c.endAt {
		return
	}
	for _, in := range all {
		to, changed := c.cfg.Rewrite[in.sig]
		dropped := changed && to == 0 || c.isStop(in.sig, false) || in.sig == syscall.SIGCONT
		if !dropped && in.at > c.appAt && in.at < c.appDead && c.appDead-in.at < stopOnWindow {
			c.fail("hints: the app exited at %v after signal %d at %v, and --stop-on is not suggested", c.appDead, in.sig, in.at)
		}
	}
}
