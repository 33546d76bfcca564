package supervisor

import (
	"context"
	"slices"
	"syscall"
	"time"
)

// What a signal means depends on where in its life the app is; Run says so by
// assigning onSignal. Each handler records or forwards, none of them waits.

// isStop reports whether sig asks for the end: SIGTERM, SIGINT and --stop-on.
func (l *life) isStop(sig syscall.Signal) bool {
	return sig == syscall.SIGTERM || sig == syscall.SIGINT || slices.Contains(l.StopOn, sig)
}

// askToStop begins the end, once: the budget counts from the first stop signal.
// Further ones have their meaning when the drain or the stop is there.
func (l *life) askToStop(sig syscall.Signal) {
	if !l.endAt.IsZero() {
		l.again = append(l.again, sig)
		return
	}
	l.endAt = time.Now()
	l.noLongerReady()
	l.emit(Event{Kind: StopRequested, Signal: sig})
	l.stop(StopError{sig})
}

// signalBeforeApp holds until the app has started. SIGQUIT and SIGHUP end the
// wait too, as they would end any program that has not asked for them.
func (l *life) signalBeforeApp(sig syscall.Signal) {
	if l.isStop(sig) || sig == syscall.SIGQUIT || sig == syscall.SIGHUP {
		l.askToStop(sig)
		return
	}
	l.kept = append(l.kept, sig)
	l.emit(Event{Kind: SignalKept, Signal: sig})
}

// deliverKept hands the app what came before it existed, in that order.
func (l *life) deliverKept() {
	for _, sig := range l.kept {
		l.forward(sig)
	}
	l.kept = nil
}

// takeAgain hands over the stop signals that came too early to mean anything.
func (l *life) takeAgain() []syscall.Signal {
	again := l.again
	l.again = nil
	return again
}

func (l *life) signalInRun(sig syscall.Signal) {
	if l.isStop(sig) && !l.appEnded() {
		l.askToStop(sig)
		return
	}
	l.forward(sig)
}

// signalInDrain: orchestrators repeat SIGTERM, so that says nothing new; a
// SIGINT is a person who does not want to wait.
func (l *life) signalInDrain(sig syscall.Signal, hurry context.CancelCauseFunc) {
	switch {
	case sig == syscall.SIGINT:
		l.emit(Event{Kind: Hurried, Signal: sig})
		hurry(errHurry)
	case l.isStop(sig):
		l.emit(Event{Kind: SignalIgnored, Signal: sig})
	default:
		l.forward(sig)
	}
}

// signalInStop passes everything on as it comes.
func (l *life) signalInStop(sig syscall.Signal) {
	if l.appEnded() {
		l.signalTooLate(sig)
		return
	}
	l.emit(Event{Kind: SignalForwarded, Signal: sig, Sent: sig, Err: l.signalApp(sig)})
}

func (l *life) signalTooLate(sig syscall.Signal) {
	l.emit(Event{Kind: SignalIgnored, Signal: sig})
}

// forward passes a signal on to the app, rewritten as --rewrite says.
func (l *life) forward(sig syscall.Signal) {
	if l.appEnded() {
		l.signalTooLate(sig)
		return
	}
	send, ok := l.Rewrite.Apply(sig)
	if !ok {
		l.emit(Event{Kind: SignalDropped, Signal: sig})
		return
	}
	l.app.meant, l.app.meantAt = sig, time.Now()
	l.emit(Event{Kind: SignalForwarded, Signal: sig, Sent: send, Err: l.signalApp(send)})
}

// signalApp sends to the app, or with --group to its process group. The pid is
// the app's for as long as it has not been reaped, and only the loop reaps.
func (l *life) signalApp(sig syscall.Signal) error {
	if l.Group {
		return l.sys.kill(-l.app.pid, sig)
	}
	return l.sys.kill(l.app.pid, sig)
}
