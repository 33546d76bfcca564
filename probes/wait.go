package probes

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
)

// Status is the state of a target during a wait.
type Status struct {
	Target   *Target
	Attempts int           // how many attempts have ended, including an interrupted one
	Since    time.Duration // the time from the start of the wait to this report
	Last     error         // the error of the last attempt that was not interrupted, nil if it succeeded; "no answer yet" until an attempt has ended without being interrupted
	Ready    bool          // the target has succeeded Successes times in a row
	Skipped  bool          // the target was optional and not ready in time
}

// UpdateKind distinguishes the events of a wait.
type UpdateKind int

const (
	TargetTried   UpdateKind = iota // an attempt has ended without being interrupted; Status.Last is its error, nil after a success
	TargetReady                     // a target is ready
	TargetSkipped                   // an optional target was not ready in time, and is skipped
	WaitProgress                    // sent after 5 s, then every 30 s; Pending lists the targets that are neither ready nor skipped
)

// Update is one event of a wait.
type Update struct {
	Kind    UpdateKind
	Status  Status        // the status of the target; empty for WaitProgress
	Pending []Status      // for WaitProgress: the targets that are neither ready nor skipped, in the order of all targets
	Elapsed time.Duration // the time since the start of the wait
}

// Wait reports the first WaitProgress after firstProgress, and each later one nextProgress
// after the one before.
const (
	firstProgress = 5 * time.Second
	nextProgress  = 30 * time.Second
)

// PendingError reports that a wait ended before every target was ready or skipped.
type PendingError struct {
	Pending []Status // the targets that were neither ready nor skipped, in the order of all targets
	Cause   error    // the context's cause, or a *WithinError
}

// Error returns the cause, and for every pending target its name, last error, attempts and time.
func (e *PendingError) Error() string {
	parts := []string{e.Cause.Error()}
	for _, s := range e.Pending {
		parts = append(parts, s.String())
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns the cause.
func (e *PendingError) Unwrap() error { return e.Cause }

// String describes the state of a pending target.
func (s Status) String() string {
	last := "ready, but not yet successes= times in a row"
	if s.Last != nil {
		last = s.Last.Error()
	}
	plural := "s"
	if s.Attempts == 1 {
		plural = ""
	}
	return fmt.Sprintf("%s: %s (%d attempt%s in %v)", s.Target.Name, last, s.Attempts, plural, s.Since.Round(100*time.Millisecond))
}

// WithinError reports that a target was not ready when its Within expired.
type WithinError struct{ Target *Target }

func (e *WithinError) Error() string {
	return fmt.Sprintf("%s was not ready within %v", e.Target.Name, e.Target.Within)
}

var (
	// errTargetLimit is the cause of a context that has ended because the within= or
	// optional= of its target has expired.
	errTargetLimit = errors.New("the target's own time limit has expired")
	// errNoAnswer is Status.Last until an attempt of the target has a result.
	errNoAnswer = errors.New("no answer yet")
)

// Wait probes all targets at the same time until each has succeeded Successes times in a
// row. Every attempt gets a copy of the parameter a, but with the timeout of its target.
//
// Wait returns nil when all targets are ready. An optional target is skipped, and counts as
// ready, when its Optional or the deadline of ctx expires. If ctx ends, or the Within of a
// target expires, and a target is neither ready nor skipped, Wait returns a
// [*PendingError].
//
// observe may be nil. Wait calls observe only on the goroutine that called Wait. While observe
// runs, Wait receives no results, so each target can finish at most one attempt. When Wait
// returns, no attempt is running: Wait waits for the running attempts, which return soon after
// their context has ended.
func Wait(ctx context.Context, targets []Target, a Attempt, observe func(Update)) error {
	if observe == nil {
		observe = func(Update) {}
	}
	probeCtx, stop := context.WithCancel(ctx)
	defer stop()
	w := &waiter{start: time.Now(), observe: observe, status: make([]Status, len(targets)), results: make(chan result)}
	for i := range targets {
		w.status[i].Target = &targets[i]
		w.status[i].Last = errNoAnswer
		if targets[i].Kind == "file" {
			w.status[i].Last = hintedError{errNoAnswer, hintMount}
		}
		go func() {
			growStack()
			w.probeUntilReady(probeCtx, i, a)
		}()
	}
	var cause error
	progress := time.NewTimer(firstProgress)
	defer progress.Stop()
	for running := len(targets); running > 0; {
		select {
		case r := <-w.results:
			if r.final {
				running--
			}
			if err := w.record(r); err != nil && cause == nil {
				cause = err
				stop()
			}
		case <-progress.C:
			progress.Reset(nextProgress)
			w.observe(Update{Kind: WaitProgress, Pending: w.pending(), Elapsed: time.Since(w.start)})
		}
	}
	if cause == nil {
		cause = context.Cause(ctx)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(cause, context.DeadlineExceeded) {
			w.skipOptional()
		}
	}
	if pending := w.pending(); len(pending) > 0 {
		return &PendingError{pending, cause}
	}
	return nil
}

// growStack makes the stack of a new goroutine as large as most attempts need. Otherwise the
// runtime would double it in several steps, each of which copies all frames. In a wait for 200
// targets that are ready, these copies would take 5 to 8 % of the CPU time.
//
//go:noinline
func growStack() {
	var frame [5 << 10]byte
	runtime.KeepAlive(&frame)
}

// A waiter holds the state of one call of Wait. Only the goroutine that called Wait
// changes it. The goroutines of the targets send to the channel results.
type waiter struct {
	start   time.Time
	observe func(Update)
	status  []Status
	results chan result // unbuffered; read until every goroutine has sent its final result
}

// A result is one message from the goroutine of a target to Wait.
type result struct {
	target    int
	attempts  int   // how many attempts have started
	attempted bool  // an attempt has ended, with the error err, and was not interrupted
	err       error // the error of that attempt; nil after a success
	final     bool  // the last result of this goroutine
	ready     bool  // the target is ready
	expired   bool  // the target's within= or optional= has expired
}

// probeUntilReady probes target i until it is ready, ctx ends, or the target's within= or
// optional= expires.
func (w *waiter) probeUntilReady(ctx context.Context, i int, a Attempt) {
	t := w.status[i].Target
	if own := t.Within + t.Optional; own > 0 { // one of the two is 0: Parse rejects a target that has both
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, own, errTargetLimit)
		defer cancel()
	}
	a.Timeout = t.Timeout
	delays := backoff{interval: t.Interval}
	r := result{target: i}
	for inARow := 0; ; {
		r.attempts++
		begun := time.Now()
		err := t.Probe.Ask(ctx, a)
		if err != nil && ctx.Err() != nil {
			r.attempted = false // the end of ctx has interrupted the attempt, so err says nothing about the target
			break
		}
		r.attempted, r.err = true, err
		if inARow++; err != nil {
			inARow = 0
		}
		if r.ready = err == nil && inARow >= t.Successes; r.ready {
			break
		}
		w.results <- r
		if now := time.Now(); sleep(ctx, delays.next(err, now.Sub(begun), now)) != nil {
			r.attempted = false
			break
		}
	}
	r.final, r.expired = true, !r.ready && context.Cause(ctx) == errTargetLimit
	w.results <- r
}

// record updates the status of a target and notifies the observer. It returns an error if the
// whole wait must end, because the target's within= has expired.
func (w *waiter) record(r result) error {
	s := &w.status[r.target]
	s.Attempts, s.Since = r.attempts, time.Since(w.start)
	if r.attempted {
		s.Last = r.err
		w.notify(TargetTried, s)
	}
	switch {
	case r.ready:
		s.Ready = true
		w.notify(TargetReady, s)
	case r.expired && s.Target.Optional > 0:
		s.Skipped = true
		w.notify(TargetSkipped, s)
	case r.expired:
		return &WithinError{s.Target}
	}
	return nil
}

func (w *waiter) notify(kind UpdateKind, s *Status) {
	w.observe(Update{Kind: kind, Status: *s, Elapsed: time.Since(w.start)})
}

// skipOptional skips the optional targets that are not ready.
func (w *waiter) skipOptional() {
	for i := range w.status {
		if s := &w.status[i]; !s.Ready && !s.Skipped && s.Target.Optional > 0 {
			s.Skipped = true
			w.notify(TargetSkipped, s)
		}
	}
}

// pending lists the targets that are neither ready nor skipped.
func (w *waiter) pending() []Status {
	var list []Status
	for _, s := range w.status {
		if !s.Ready && !s.Skipped {
			s.Since = time.Since(w.start)
			list = append(list, s)
		}
	}
	return list
}
