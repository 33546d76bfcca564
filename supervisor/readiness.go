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
	reached bool      // the targets have all said yes for the first time
	stopped bool      // the end has begun
	err     error     // what the targets said last; nil: all yes
	at      time.Time // when
	askers  []chan<- error
	giveUp  context.CancelFunc // ends the question that is under way; nil: there has been none
}

// question answers from memory, or once the targets have been asked again. All who
// ask meanwhile share that.
func (l *life) question(ctx context.Context, reply chan<- error) {
	r := &l.readiness
	switch {
	case r.stopped:
		reply <- ErrStopping
		return
	case !r.reached:
		reply <- NotReadyError{l.phase}
		return
	case len(l.Ready) == 0 || time.Since(r.at) < readinessAge:
		reply <- r.err
		return
	}
	r.askers = append(r.askers, reply)
	if len(r.askers) > 1 {
		return
	}
	ctx, r.giveUp = context.WithTimeoutCause(ctx, readinessPatience, fmt.Errorf("no answer within %v", readinessPatience))
	attempt := l.attempt(Ready, nil)
	go func() {
		err := probes.Ask(ctx, l.Ready, attempt)
		l.post(func() { l.readinessKnown(err) })
	}()
}

func (l *life) readinessKnown(err error) {
	r := &l.readiness
	r.giveUp()
	if r.stopped {
		return
	}
	changed := (err == nil) != (r.err == nil)
	r.err, r.at = err, time.Now()
	if changed {
		l.emit(Event{Kind: ReadinessChanged, Err: err})
	}
	l.answerAll(err)
}

// noLongerReady is the first thing to happen when the end begins, by whatever.
func (l *life) noLongerReady() {
	l.readiness.stopped = true
	l.answerAll(ErrStopping)
	if l.readiness.giveUp != nil {
		l.readiness.giveUp()
		l.overrunAll()
	}
}

func (l *life) answerAll(err error) {
	for _, reply := range l.readiness.askers {
		reply <- err
	}
	l.readiness.askers = nil
}
