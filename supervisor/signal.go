package supervisor

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"
)

// What a signal means depends on the phase; run and the steps of the shutdown say
// so by assigning onSignal. Each handler records or forwards, none of them waits.

// isStop reports whether sig is a stop signal: SIGTERM, SIGINT and --stop-on.
func (s *supervisor) isStop(sig syscall.Signal) bool {
	return sig == syscall.SIGTERM || sig == syscall.SIGINT || slices.Contains(s.cfg.StopOn, sig)
}

// requestStop begins the shutdown, once: the budget counts from the first stop
// signal. Later ones mean something only in the drain and the stop.
func (s *supervisor) requestStop(sig syscall.Signal) {
	if !s.shutdownStart.IsZero() {
		if len(s.laterStops) < maxPending {
			s.laterStops = append(s.laterStops, sig)
		}
		return
	}
	s.shutdownStart = time.Now()
	s.stopReadiness()
	s.emit(Event{Kind: StopRequested, Signal: sig})
	s.stop(StopError{sig})
}

// maxPending is how many signals are kept for an app that does not exist yet: as
// many as anybody means, and no more than a flood may take of memory.
const maxPending = 1024

// signalBeforeApp applies until the app has started. SIGQUIT and SIGHUP end the
// wait too, as they end any program that has no handler for them.
func (s *supervisor) signalBeforeApp(sig syscall.Signal) {
	if s.isStop(sig) || sig == syscall.SIGQUIT || sig == syscall.SIGHUP {
		s.requestStop(sig)
		return
	}
	switch {
	case len(s.pendingSignals) < maxPending:
		s.pendingSignals = append(s.pendingSignals, sig)
		s.emit(Event{Kind: SignalPending, Signal: sig})
	case len(s.pendingSignals) == maxPending: // once, and never again
		s.pendingSignals = append(s.pendingSignals, 0)
		s.emit(Event{Kind: SignalsLost, Signal: sig, Count: maxPending})
	}
}

// forwardPending forwards what came before the app existed, in that order.
func (s *supervisor) forwardPending() {
	for _, sig := range s.pendingSignals {
		if sig != 0 {
			s.forward(sig)
		}
	}
	s.pendingSignals = nil
}

// takeLaterStops returns the stop signals that came too early to mean anything.
func (s *supervisor) takeLaterStops() []syscall.Signal {
	later := s.laterStops
	s.laterStops = nil
	return later
}

func (s *supervisor) signalInRun(sig syscall.Signal) {
	if s.isStop(sig) && !s.appExited() {
		s.requestStop(sig)
		return
	}
	s.forward(sig)
}

// signalInDrain: orchestrators repeat SIGTERM, so a repeated one changes nothing; a
// SIGINT is a person who does not want to wait.
func (s *supervisor) signalInDrain(sig syscall.Signal, skip context.CancelCauseFunc) {
	switch {
	case sig == syscall.SIGINT:
		s.emit(Event{Kind: DrainSkipped, Signal: sig})
		skip(errDrainSkipped)
	case s.isStop(sig):
		s.ignore(sig)
	default:
		s.forward(sig)
	}
}

// signalInStop forwards everything as it comes. With --stop-signal none the app is
// ended in another way, and gets no stop signal here either.
func (s *supervisor) signalInStop(sig syscall.Signal) {
	if s.appExited() || s.cfg.StopSignal == NoSignal && s.isStop(sig) {
		s.ignore(sig)
		return
	}
	s.sendForwarded(sig, sig)
}

// ignore is for a signal that no app can get any more, or that changes nothing.
func (s *supervisor) ignore(sig syscall.Signal) {
	e := Event{Kind: SignalIgnored, Signal: sig}
	if s.appExited() {
		e.Err = errAppExited
	}
	s.emit(e)
}

// forward forwards a signal to the app, rewritten as --rewrite says.
func (s *supervisor) forward(sig syscall.Signal) {
	if s.appExited() {
		s.ignore(sig)
		return
	}
	send, ok := s.cfg.Rewrite.Apply(sig)
	if !ok {
		s.emit(Event{Kind: SignalDropped, Signal: sig})
		return
	}
	s.app.lastForwarded, s.app.lastForwardedAt = sig, time.Now()
	s.sendForwarded(sig, send)
	s.hintStopOnLater(sig)
}

func (s *supervisor) sendForwarded(sig, send syscall.Signal) {
	if err := s.signalApp(send); err == nil {
		s.emit(Event{Kind: SignalForwarded, Signal: sig, Sent: send})
	}
}

// signalApp sends to the app, or with --group to its process group. The pid is
// the app's as long as it has not been reaped, and only the loop reaps. An app
// that has left the group for one of its own is signalled itself.
func (s *supervisor) signalApp(sig syscall.Signal) error {
	pid, sys := s.app.pid, s.loop.sys
	err := error(syscall.ESRCH)
	if s.cfg.Group {
		err = sys.kill(-pid, sig)
	}
	if errors.Is(err, syscall.ESRCH) {
		err = sys.kill(pid, sig)
	}
	if err != nil {
		s.emit(Event{Kind: SignalFailed, PID: pid, Signal: sig, Err: err})
	}
	return err
}

// stopOnWindow is how soon after a forwarded signal the app's exit suggests that
// the signal was meant to stop it.
const stopOnWindow = time.Minute

// stopOnDelay is how long an app may run on after a signal that images use as their
// STOPSIGNAL, before the log says that usher did not take it for one.
const stopOnDelay = 5 * time.Second

// hintStopOnLater gives the hint if the app survives a signal that images use as
// STOPSIGNAL (nginx and php-fpm QUIT, httpd WINCH, haproxy USR1): the orchestrator
// then waits for an end that nobody has begun.
func (s *supervisor) hintStopOnLater(sig syscall.Signal) {
	if s.cfg.Grace == 0 || s.app.stopOnTimed || !slices.Contains([]syscall.Signal{syscall.SIGQUIT, syscall.SIGWINCH, syscall.SIGUSR1}, sig) {
		return
	}
	s.app.stopOnTimed = true
	s.loop.after(stopOnDelay, func() {
		if s.shutdownStart.IsZero() && !s.appExited() {
			s.hintStopOn(sig)
		}
	})
}

// hintStopOn suggests --stop-on, once.
func (s *supervisor) hintStopOn(sig syscall.Signal) {
	if !s.app.stopOnHinted {
		s.app.stopOnHinted = true
		s.emit(Event{Kind: StopOnHint, Signal: sig})
	}
}
