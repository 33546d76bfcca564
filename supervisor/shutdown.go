package supervisor

import (
	"context"
	"errors"
	"path"
	"slices"
	"syscall"
	"time"
)

// The reasons why a step of the shutdown ends early or is skipped. The texts appear in the
// log.
var (
	errShare        = errors.New("its share of --grace is used up")
	errNoTime       = errors.New("no time left")
	errDrainSkipped = errors.New("SIGINT skipped the drain")
)

// beginShutdown records the reason for the shutdown and the time at which it began. If
// requestStop has recorded the time of a stop signal, that time is kept. Otherwise it is
// the time of the app's exit, or now if the app has not exited.
func (s *supervisor) beginShutdown(reason error) {
	s.reason = reason
	s.stopReadiness()
	if s.shutdownStart.IsZero() {
		s.shutdownStart = time.Now()
		if s.appExited() {
			s.shutdownStart = s.app.exited
		}
	}
	if phaseOf(reason) != Idle {
		s.emit(Event{Kind: StartupFailed, Err: reason})
	}
	soon := s.appExited() && s.app.exited.Sub(s.app.lastForwardedAt) < stopOnWindow
	if reason == nil && s.cfg.Grace > 0 && soon {
		s.hintStopOn(s.app.lastForwarded)
	}
}

// limit returns a context that ends d after the start of the shutdown. Without --grace
// the context has no deadline.
func (s *supervisor) limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if s.cfg.Grace == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, s.shutdownStart.Add(d), errShare)
}

// drain lets the app keep serving for DrainDelay, then while the drain hooks run, and
// then until its clients have been idle for DrainIdle.
func (s *supervisor) drain(ctx context.Context) {
	if s.cfg.DrainDelay == 0 && len(s.cfg.Drain) == 0 && s.cfg.DrainIdle == 0 {
		return
	}
	s.enter(Drain)
	defer measure(&s.summary.Drain)()
	drainCtx, cancel := s.limit(ctx, s.budget.Drain)
	defer cancel()
	drainCtx, skip := context.WithCancelCause(drainCtx)
	defer skip(nil)
	s.loop.onSignal = func(sig syscall.Signal) { s.signalInDrain(sig, skip) }
	for _, sig := range s.takeLaterStops() {
		s.loop.onSignal(sig)
	}

	watch := s.watchConnections(drainCtx)
	s.delay(drainCtx)
	for i := range s.cfg.Drain {
		if drainCtx.Err() != nil || s.appExited() {
			s.skipHook(drainCtx, &s.cfg.Drain[i])
			continue
		}
		s.runHook(drainCtx, &s.cfg.Drain[i])
	}
	s.waitIdle(drainCtx, watch)
}

func (s *supervisor) delay(drainCtx context.Context) {
	if s.cfg.DrainDelay == 0 {
		return
	}
	began := time.Now()
	s.emit(Event{Kind: DelayStarted, Took: s.cfg.DrainDelay})
	delayCtx, cancel := context.WithTimeout(drainCtx, s.cfg.DrainDelay)
	defer cancel()
	s.loop.until(delayCtx, s.appExited)
	s.emit(Event{Kind: DelayFinished, Took: time.Since(began)})
}

// stopApp sends the app its stop signal, and waits for its exit. With --grace, if the app is
// still running after four fifths of the time from its stop signal to Budget.Kill, stopApp makes
// the last call (SIGTERM to all processes that usher has not signalled). At Budget.Kill it kills
// the app.
func (s *supervisor) stopApp(ctx context.Context) {
	s.loop.onSignal = s.signalInRun // until the app gets its stop signal: further stop signals are kept in laterStops, others are forwarded
	if s.appExited() {
		return
	}
	s.stopServing()
	s.enter(Stop)
	defer measure(&s.summary.Stop)()
	s.rememberProcesses(ctx)
	if s.appExited() { // the app exited while rememberProcesses read /proc, so it gets no stop signal. With --group, rememberProcesses has recorded the app's group as signalled: delete this record
		s.leftovers.signalled, s.leftovers.groupSignalled = map[procID]bool{}, false
		return
	}
	s.sendStopSignal()
	s.loop.onSignal = s.signalInStop
	for _, sig := range s.takeLaterStops() {
		s.repeatedStop(sig)
	}
	s.hintShellLater()

	killCtx, cancel := s.limit(ctx, s.budget.Kill)
	defer cancel()
	if s.cfg.Grace > 0 {
		callCtx, cancel := s.lastCallLimit(killCtx)
		defer cancel()
		if s.loop.until(callCtx, s.appExited) == nil {
			return
		}
		s.lastCall(killCtx)
	}
	if s.loop.until(killCtx, s.appExited) == nil {
		return
	}
	s.killApp(ctx)
}

// sendStopSignal sends the app its stop signal. SIGCONT follows if the app is stopped,
// because a stopped process handles no signal but SIGKILL until it is continued.
func (s *supervisor) sendStopSignal() {
	sig := s.stopSignal()
	s.leftovers.begin(time.Now(), s.shutdownStart.Add(s.budget.Kill), sig)
	if s.cfg.StopSignal == NoSignal {
		s.emit(Event{Kind: StopSignalSent, Signal: NoSignal})
		return
	}
	if s.signalApp(sig) == nil {
		s.emit(Event{Kind: StopSignalSent, Signal: sig})
	}
	if s.app.stopped {
		_ = s.signalApp(syscall.SIGCONT)
	}
}

// stopSignal returns the signal that stops the app and, after the app's exit, the leftovers.
// If Config.StopSignal is NoSignal, the app gets no signal, and the leftovers get the stop
// signal that usher received, or SIGTERM.
func (s *supervisor) stopSignal() syscall.Signal {
	switch received := s.stopSignalReceived(); {
	case s.cfg.StopSignal > 0:
		return s.cfg.StopSignal
	case received != 0:
		return received
	}
	return syscall.SIGTERM // no stop signal began the shutdown: a step of the startup failed, or the app exited by itself
}

// killApp sends SIGKILL to the app and to all other processes. stopApp calls it at Budget.Kill.
func (s *supervisor) killApp(ctx context.Context) {
	s.app.killed = true
	if err := s.loop.sys.kill(s.app.pid, syscall.SIGKILL); err != nil {
		s.emit(Event{Kind: SignalFailed, PID: s.app.pid, Signal: syscall.SIGKILL, Err: err})
	}
	killing := s.killOthers(false)
	s.emit(Event{Kind: AppKilled, Took: time.Since(s.leftovers.beganAt)})
	goneCtx, cancel := s.limit(ctx, s.budget.settled())
	defer cancel()
	// Wait for the app's exit and for the end of killOthers. If usher is not PID 1, killOthers
	// kills each child of usher that it finds, also a post-stop hook that is started before
	// killOthers has ended.
	s.loop.until(goneCtx, func() bool { return s.appExited() && killing.hasEnded() })
	if !s.appExited() {
		// SIGKILL does not end a process in an uninterruptible sleep, for example on a disk
		// that does not respond. Such an app is treated as if SIGKILL had ended it.
		s.app.exit, s.app.exited = Exit{Signal: syscall.SIGKILL}, time.Now()
	}
}

// shellHintDelay is the time from the stop signal to the event ShellHint, which makes the
// log suggest "exec". Without --group, the event is emitted if the app is a shell that is still
// running after this time. Such a shell is probably waiting for a child that got no signal.
const shellHintDelay = 5 * time.Second

var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"}

// isShell reports whether name is the name of a shell. A shell does not forward signals to
// the commands that it runs.
func isShell(name string) bool { return slices.Contains(shells, path.Base(name)) }

func (s *supervisor) hintShellLater() {
	if s.cfg.Group || !isShell(s.cfg.Command[0]) {
		return
	}
	s.loop.after(shellHintDelay, func() {
		if !s.appExited() {
			s.emit(Event{Kind: ShellHint, Took: shellHintDelay})
		}
	})
}

// postStop runs the post-stop hooks, also after a failed startup.
func (s *supervisor) postStop(ctx context.Context) {
	if len(s.cfg.PostStop) == 0 {
		return
	}
	s.enter(PostStop)
	defer measure(&s.summary.PostStop)()
	graceCtx, cancel := s.limit(ctx, s.budget.Grace)
	defer cancel()
	for i := range s.cfg.PostStop {
		if graceCtx.Err() != nil {
			s.skipHook(graceCtx, &s.cfg.PostStop[i])
			continue
		}
		s.runHook(graceCtx, &s.cfg.PostStop[i])
	}
}
