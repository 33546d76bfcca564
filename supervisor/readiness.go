package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/usher-init/usher/probes"
)

// Readiness reports to other goroutines whether the app of a [Run] is ready, for example
// to an HTTP server that a load balancer polls. Set Config.Readiness to it, in one Run
// only.
type Readiness struct{ questions chan chan<- error }

// NewReadiness returns a Readiness. If Ask is called before Run, Ask waits for Run.
func NewReadiness() *Readiness { return &Readiness{make(chan chan<- error)} }

// Ask returns nil if the app is ready, else the reason: a [NotReadyError], [ErrStopping],
// or the error of a Ready target. It returns ctx's error if ctx ends before the result is
// known.
//
// The app is ready when all Config.Ready targets are ready. Ask probes them again if the
// last result is older than a second. Probing takes at most 10 s, and concurrent calls
// share one result. When the shutdown has begun, the app is not ready any more.
func (r *Readiness) Ask(ctx context.Context) error {
	reply := make(chan error, 1) // capacity 1, so that the loop never blocks on sending
	select {
	case r.questions <- reply:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

const (
	// readinessAge is how long a result is used before the targets are probed again.
	readinessAge = time.Second
	// readinessTimeout bounds the probes of one call of Ask. A target may have no timeout
	// of its own, and a probe that hangs must end so that the target is probed again later.
	readinessTimeout = 10 * time.Second
)

// ErrStopping is returned by [Readiness.Ask] when the shutdown has begun.
var ErrStopping = errors.New("stopping")

// NotReadyError is returned by [Readiness.Ask] until the app has been ready for the
// first time. Phase is the current phase.
type NotReadyError struct{ Phase Phase }

func (e NotReadyError) Error() string { return "not ready yet: " + e.Phase.String() }

// readiness is the state that the loop keeps for Config.Readiness.
type readiness struct {
	reached bool               // all targets were ready once
	stopped bool               // the shutdown has begun
	err     error              // the last result; nil: all were ready
	at      time.Time          // when err was set
	waiting []chan<- error     // calls of Ask that get the result of the running probes
	cancel  context.CancelFunc // cancels the latest probes; nil: there were none
}

// answerReadiness replies to a call of Ask with the last result. If that result is older
// than readinessAge, it probes the targets again. All calls of Ask during these probes get
// the new result.
func (s *supervisor) answerReadiness(ctx context.Context, reply chan<- error) {
	r := &s.readiness
	switch {
	case r.stopped:
		reply <- ErrStopping
		return
	case !r.reached:
		reply <- NotReadyError{s.phase}
		return
	case len(s.cfg.Ready) == 0 || time.Since(r.at) < readinessAge:
		reply <- r.err
		return
	}
	r.waiting = append(r.waiting, reply)
	if len(r.waiting) > 1 {
		return
	}
	ctx, r.cancel = context.WithTimeoutCause(ctx, readinessTimeout, fmt.Errorf("no answer within %v", readinessTimeout))
	attempt := s.attempt(Ready, nil)
	go func() {
		err := probes.Ask(ctx, s.cfg.Ready, attempt)
		s.loop.post(func() { s.readinessKnown(err) })
	}()
}

func (s *supervisor) readinessKnown(err error) {
	r := &s.readiness
	r.cancel()
	if r.stopped {
		return
	}
	changed := (err == nil) != (r.err == nil)
	r.err, r.at = err, time.Now()
	if changed {
		s.emit(Event{Kind: ReadinessChanged, Err: err})
	}
	s.answerWaiting(err)
}

// stopReadiness makes every waiting and later call of Ask return ErrStopping. It is called
// as soon as the shutdown begins or the app has exited.
func (s *supervisor) stopReadiness() {
	s.readiness.stopped = true
	s.answerWaiting(ErrStopping)
	if s.readiness.cancel != nil {
		s.readiness.cancel()
		s.loop.terminateEnded()
	}
}

func (s *supervisor) answerWaiting(err error) {
	for _, reply := range s.readiness.waiting {
		reply <- err
	}
	s.readiness.waiting = nil
}
