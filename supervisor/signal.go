package supervisor

import (
	"context"
	"slices"
	"syscall"
	"time"
)

// The effect of a signal depends on the phase, so the function run and the steps of the
// shutdown set loop.onSignal to the handler of the current phase. A handler never waits,
// because it runs in the loop.

// isStop reports whether sig is a stop signal: SIGTERM, SIGINT or a signal of --stop-on.
func (s *supervisor) isStop(sig syscall.Signal) bool {
	return sig == syscall.SIGTERM || sig == syscall.SIGINT || slices.Contains(s.cfg.StopOn, sig)
}

// requestStop begins the shutdown at the first stop signal: it sets shutdownStart, from which
// the budget counts, and ends startCtx, so that the function run stops waiting. Later stop
// signals, up to maxPending, are kept in laterStops until drain or stopApp handles them.
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

// maxPending is the maximum number of signals in pendingSignals and in laterStops, so that a
// flood of signals cannot use up the memory.
const maxPending = 1024

// signalBeforeApp handles a signal until the app has started. A stop signal, SIGQUIT or SIGHUP
// ends the startup. Other signals are forwarded once the app has started.
func (s *supervisor) signalBeforeApp(sig syscall.Signal) {
	if s.isStop(sig) || sig == syscall.SIGQUIT || sig == syscall.SIGHUP {
		s.requestStop(sig)
		return
	}
	switch {
	case len(s.pendingSignals) < maxPending:
		s.pendingSignals = append(s.pendingSignals, sig)
		s.emit(Event{Kind: SignalPending, Signal: sig})
	case len(s.pendingSignals) == maxPending: // this case happens only once, because the 0 makes the list longer than maxPending
		s.pendingSignals = append(s.pendingSignals, 0)
		s.emit(Event{Kind: SignalsLost, Signal: sig, Count: maxPending})
	}
}

// forwardPending forwards the signals that were received before the app was started, in
// the order in which they were received.
func (s *supervisor) forwardPending() {
	for _, sig := range s.pendingSignals {
		if sig != 0 {
			s.forward(sig)
		}
	}
	s.pendingSignals = nil
}

// takeLaterStops returns the signals in laterStops, and empties it.
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

// signalInDrain ignores a repeated stop signal, because orchestrators repeat SIGTERM.
// SIGINT skips the drain, because a person who does not want to wait sends it by Ctrl-C.
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

// repeatedStop handles a signal of laterStops after the app has got its stop signal. It ignores
// a stop signal, as signalInDrain does, because a second one makes many programs exit at once.
// laterStops may also hold a SIGHUP or SIGQUIT that was received before the app had started;
// such a signal is forwarded.
func (s *supervisor) repeatedStop(sig syscall.Signal) {
	if s.isStop(sig) {
		s.ignore(sig)
		return
	}
	s.loop.onSignal(sig)
}

// signalInStop forwards signals, including stop signals, until the app has exited. It does not
// apply --rewrite. With --stop-signal none it forwards no stop signal, because something else,
// such as a drain hook, has to stop the app.
func (s *supervisor) signalInStop(sig syscall.Signal) {
	if s.appExited() || s.cfg.StopSignal == NoSignal && s.isStop(sig) {
		s.ignore(sig)
		return
	}
	s.sendForwarded(sig, sig)
}

// ignore reports a signal that is not forwarded, because the app has exited or the
// shutdown is running already.
func (s *supervisor) ignore(sig syscall.Signal) {
	e := Event{Kind: SignalIgnored, Signal: sig}
	if s.appExited() {
		e.Err = errAppExited
	}
	s.emit(e)
}

// forward applies --rewrite to a received signal and sends the result to the app.
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
	if sig != syscall.SIGCONT { // systemd sends SIGCONT right after a stop signal (systemd.kill(5)), and hintStopOn must name the stop signal
		s.app.lastForwarded, s.app.lastForwardedAt = sig, time.Now()
	}
	s.sendForwarded(sig, send)
	s.hintStopOnLater(sig)
}

func (s *supervisor) sendForwarded(sig, send syscall.Signal) {
	if err := s.signalApp(send); err == nil {
		s.emit(Event{Kind: SignalForwarded, Signal: sig, Sent: send})
	}
}

// signalApp sends a signal to the app, or with --group to its process group. The signal
// cannot reach another process: the kernel does not reuse the pid before the app has been
// reaped, and the goroutine that calls signalApp is the only one that reaps. If the app has
// moved to another group, the rest of its old group and the app itself get the signal.
func (s *supervisor) signalApp(sig syscall.Signal) error {
	pid, sys := s.app.pid, s.loop.sys
	to := pid
	if s.cfg.Group {
		to = -pid
		if sys.group(pid) != pid {
			sys.kill(-pid, sig)
			to = pid
		}
	}
	err := sys.kill(to, sig)
	if err != nil {
		s.emit(Event{Kind: SignalFailed, PID: pid, Signal: sig, Err: err})
	}
	return err
}

const (
	// If the app exits by itself within stopOnWindow after a forwarded signal, the signal was
	// probably meant to stop the app. With --grace the log then suggests --stop-on.
	stopOnWindow = time.Minute
	// If the app is still running stopOnDelay after a forwarded signal, and images use that
	// signal as STOPSIGNAL, the log suggests --stop-on (see hintStopOnLater).
	stopOnDelay = 5 * time.Second
)

// hintStopOnLater suggests --stop-on if the app keeps running after a signal that images
// use as STOPSIGNAL (QUIT: nginx, php-fpm; WINCH: httpd; USR1: haproxy). The orchestrator
// may have sent that signal to stop the container, but usher has only forwarded it and has
// not begun a shutdown.
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

// hintStopOn emits the event StopOnHint, at most once.
func (s *supervisor) hintStopOn(sig syscall.Signal) {
	if !s.app.stopOnHinted {
		s.app.stopOnHinted = true
		s.emit(Event{Kind: StopOnHint, Signal: sig})
	}
}
