package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/usher-init/usher/probes"
)

// Readiness lets other goroutines ask a [Run] whether its app is ready, for a load
// balancer or an orchestrator. It belongs to one Run, as Config.Readiness.
type Readiness struct{ questions chan chan<- error }

// NewReadiness returns a Readiness that can be asked at once. The answers come when
// Run has begun.
func NewReadiness() *Readiness { return &Readiness{make(chan chan<- error)} }

// Ask returns nil if the app is ready, else why it is not: a [NotReadyError],
// [ErrStopping], or the error of a Ready target. It returns ctx's error if ctx ends
// before there is an answer.
//
// The app is ready when all Config.Ready targets are. They are probed again when
// somebody asks, but at most once a second however many ask, and for 10 s at most.
// From the first moment of the shutdown the app is not ready.
func (r *Readiness) Ask(ctx context.Context) error {
	reply := make(chan error, 1) // 1: the loop never waits for a caller that has returned
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
	// readinessAge is how long an answer is used again.
	readinessAge = time.Second
	// readinessTimeout bounds the probes of one question, also of targets without a
	// timeout, so that a target that hangs once is asked again.
	readinessTimeout = 10 * time.Second
)

// ErrStopping is the answer of [Readiness.Ask] once the shutdown has begun.
var ErrStopping = errors.New("stopping")

// NotReadyError is the answer of [Readiness.Ask] until the app has been ready for the
// first time. Phase is the current one.
type NotReadyError struct{ Phase Phase }

func (e NotReadyError) Error() string { return "not ready yet: " + e.Phase.String() }

// readiness is what the loop knows of it.
type readiness struct {
	reached bool      // all targets were ready once
	stopped bool      // the shutdown has begun
	err     error     // the last result; nil: all were ready
	at      time.Time // when
	waiting []chan<- error
	cancel  context.CancelFunc // ends the question that is under way; nil: there was none
}

// answerReadiness answers from memory, or once the targets have been probed again.
// All who ask meanwhile share that result.
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

// stopReadiness makes every answer a no. It is the first thing to happen when the
// shutdown begins, whatever begins it.
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
