package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/usher-init/usher/probes"
)

// Readiness reports to other goroutines whether the app of a [Run] is ready, and whether it
// serves, for example to an HTTP server that a load balancer polls. To use a Readiness,
// store it in the Config.Readiness of one Run.
type Readiness struct{ questions chan question }

// question is a call of Ask or AskServing.
type question struct {
	serving bool         // the call is AskServing
	reply   chan<- error // capacity 1, so that the loop never blocks on sending
}

// NewReadiness returns a Readiness. Before Run is called, Ask and AskServing wait until Run
// begins or their ctx ends. After Run has returned, they wait until their ctx ends.
func NewReadiness() *Readiness { return &Readiness{make(chan question)} }

// Ask returns nil if the app is ready, else the reason: a [NotReadyError], [ErrStopping],
// or the errors of the Ready targets. It returns ctx's error if ctx ends before the result is
// known.
//
// The app is ready when all Config.Ready targets are ready. Ask probes them again if the
// last result is older than a second. Probing takes at most 10 s, and concurrent calls
// share one result. When the shutdown has begun, the app is no longer ready.
func (r *Readiness) Ask(ctx context.Context) error { return r.ask(ctx, false) }

// AskServing returns nil if the app serves, else the reason. Until the shutdown begins, it
// returns the same as Ask. During the drain it returns the last result from before the
// shutdown. It returns [ErrStopping] when the drain is over and the app is about to get its
// stop signal, when the app has exited, and during the shutdown of an app that was never
// ready.
//
// During the drain the targets are not probed again. Such a probe would be a connection to
// the app, and DrainIdle would wait for it as for a client. The app's own health check may
// also fail on purpose in the drain, while the app still serves.
func (r *Readiness) AskServing(ctx context.Context) error { return r.ask(ctx, true) }

func (r *Readiness) ask(ctx context.Context, serving bool) error {
	reply := make(chan error, 1)
	select {
	case r.questions <- question{serving, reply}:
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
	// readinessTimeout limits the probes that a question starts. A target may have no
	// timeout of its own, and while a probe hangs, no target is probed again.
	readinessTimeout = 10 * time.Second
)

// ErrStopping is returned by [Readiness.Ask] when the shutdown has begun, and by
// [Readiness.AskServing] when the app no longer serves or, if it was never ready, when the
// shutdown has begun.
var ErrStopping = errors.New("stopping")

// NotReadyError is returned by [Readiness.Ask] and [Readiness.AskServing] until the app is
// ready for the first time or the shutdown begins. Phase is the current phase.
type NotReadyError struct{ Phase Phase }

func (e NotReadyError) Error() string { return "not ready yet: " + e.Phase.String() }

// readiness is the state that the loop keeps for Config.Readiness.
type readiness struct {
	reached      bool               // the app was ready: all Ready targets were ready once, or there are none
	stopping     bool               // the shutdown has begun
	servingEnded bool               // the app has exited, or the drain is over
	err          error              // the last result of probing the Ready targets; nil: all were ready
	at           time.Time          // when err was set
	waiting      []question         // questions that wait for the result of the running probes
	cancel       context.CancelFunc // cancels the latest probes; nil: there were none
}

// answer returns the answer to a question. known is false if the last result is too old, so
// that the targets have to be probed again first.
func (s *supervisor) answer(q question) (err error, known bool) {
	r := &s.readiness
	switch {
	case r.servingEnded, r.stopping && !q.serving, r.stopping && !r.reached:
		return ErrStopping, true
	case !r.reached:
		return NotReadyError{s.phase}, true
	}
	return r.err, r.stopping || len(s.cfg.Ready) == 0 || time.Since(r.at) < readinessAge
}

// answerReadiness answers a question, with the last result if that is recent enough.
// Otherwise it probes the targets again. All questions during these probes get the new
// result.
func (s *supervisor) answerReadiness(ctx context.Context, q question) {
	if err, known := s.answer(q); known {
		q.reply <- err
		return
	}
	r := &s.readiness
	r.waiting = append(r.waiting, q)
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
	if r.stopping {
		return
	}
	changed := (err == nil) != (r.err == nil)
	r.err, r.at = err, time.Now()
	if changed {
		s.emit(Event{Kind: ReadinessChanged, Err: err})
	}
	s.answerWaiting()
}

// stopReadiness makes every waiting and later call of Ask return ErrStopping. It is called
// as soon as the shutdown begins. The waiting calls of AskServing get the last result,
// because the running probes are cancelled.
func (s *supervisor) stopReadiness() {
	s.readiness.stopping = true
	s.answerWaiting()
	if s.readiness.cancel != nil {
		s.readiness.cancel()
		s.loop.terminateEnded()
	}
}

// stopServing makes every waiting and later call of Ask and AskServing return ErrStopping.
// It is called before the app gets its stop signal, and when the app has exited.
func (s *supervisor) stopServing() {
	s.readiness.servingEnded = true
	s.stopReadiness()
}

func (s *supervisor) answerWaiting() {
	for _, q := range s.readiness.waiting {
		err, _ := s.answer(q)
		q.reply <- err
	}
	s.readiness.waiting = nil
}
