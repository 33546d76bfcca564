package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/usher-init/usher/probes"
)

// Readiness lets other goroutines ask a running life whether its app is ready:
// what a load balancer wants to know. It belongs to one life, as Config.Readiness.
type Readiness struct{ questions chan chan<- error }

// NewReadiness makes one that can be asked at once; the answers come as soon as
// Run is there to give them.
func NewReadiness() *Readiness { return &Readiness{make(chan chan<- error)} }

// Ask returns nil if the app is ready, else why it is not: a [NotReadyError],
// [ErrStopping], or the error of a Ready target; ctx's error if there was no answer
// before that ended.
//
// Ready is an app whose Config.Ready targets have all said yes and, asked again,
// go on saying so. They are asked when somebody asks here, for 10 s at the most, but
// not within a second of their last answers: any number of askers cost them the
// same. From the first moment of the end the answer is no.
func (r *Readiness) Ask(ctx context.Context) error {
	reply := make(chan error, 1) // 1: the loop never waits for one that gave up
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
	// readinessAge is how old an answer may be that is given again.
	readinessAge = time.Second
	// readinessPatience is what the targets have to answer, even those without a
	// limit of their own: a question that hangs must not be the last one.
	readinessPatience = 10 * time.Second
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
	ctx, r.cancel = context.WithTimeoutCause(ctx, readinessPatience, fmt.Errorf("no answer within %v", readinessPatience))
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
