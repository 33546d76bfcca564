package probes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Status is how far a target has come.
type Status struct {
	Target   *Target
	Attempts int           // begun so far
	Since    time.Duration // how long it has been, or had been, waited for
	Last     error         // the last answer; nil after a yes
	Done     bool          // it has said yes often enough
	Optional bool          // it was optional, and has been given up
}

// UpdateKind says what an [Update] is about.
type UpdateKind int

const (
	Tried    UpdateKind = iota // an attempt has ended; Status.Last is its answer
	Yes                        // a target has said yes often enough
	GaveUp                     // an optional target is waited for no longer
	Progress                   // Pending lists who has not said yes: at 5 s, then every 30 s
)

// Update is one thing that happened while waiting.
type Update struct {
	Kind    UpdateKind
	Status  Status        // of the target; empty for Progress
	Pending []Status      // for Progress, in the order of the targets
	Elapsed time.Duration // since the beginning of the wait
}

// When a wait without news is reported.
const (
	firstProgress = 5 * time.Second
	nextProgress  = 30 * time.Second
)

// PendingError says that a wait ended before every target had said yes.
type PendingError struct {
	Pending []Status // exactly those that had not, in the order of the targets
	Cause   error    // the context's cause, or a *WithinError
}

// Error names every pending target, with its last error, attempts and age.
func (e *PendingError) Error() string {
	parts := []string{e.Cause.Error()}
	for _, s := range e.Pending {
		parts = append(parts, s.String())
	}
	return strings.Join(parts, "; ")
}

// Unwrap gives the cause.
func (e *PendingError) Unwrap() error { return e.Cause }

// String is one clause about a target that is waited for.
func (s Status) String() string {
	last := "not yet that often in a row"
	if s.Last != nil {
		last = s.Last.Error()
	}
	plural := "s"
	if s.Attempts == 1 {
		plural = ""
	}
	return fmt.Sprintf("%s: %s (%d attempt%s in %v)", s.Target.Name, last, s.Attempts, plural, s.Since.Round(100*time.Millisecond))
}

// WithinError says that the within= of a target has passed.
type WithinError struct{ Target *Target }

func (e *WithinError) Error() string {
	return fmt.Sprintf("%s was not ready within %v", e.Target.Name, e.Target.Within)
}

var (
	// errLimit is the cause of a target's own limit, within= or optional=.
	errLimit = errors.New("the target's own limit has passed")
	// errNoAnswer stands for the answer of a first attempt that was cut short.
	errNoAnswer = errors.New("no answer yet")
)

// Wait asks all targets at the same time until each has said yes, as often in
// a row as its Successes say. Each attempt is a, with the target's own timeout.
//
// It returns nil when all have. A target whose Optional has passed, or that is
// optional and pending when the deadline of ctx passes, is given up and counts
// as if it had. Otherwise, when ctx ends or the Within of a target passes, it
// returns a [*PendingError].
//
// observe may be nil. It is called by the goroutine that called Wait and by
// no other; while it runs no attempt is begun anew. When Wait returns no
// attempt is under way: a probe returns soon after its context has ended.
func Wait(ctx context.Context, targets []Target, a Attempt, observe func(Update)) error {
	if observe == nil {
		observe = func(Update) {}
	}
	asking, stop := context.WithCancel(ctx)
	defer stop()
	w := &wait{begun: time.Now(), observe: observe, status: make([]Status, len(targets)), news: make(chan news)}
	for i := range targets {
		w.status[i].Target = &targets[i]
		w.status[i].Last = errNoAnswer
		if targets[i].Kind == "file" {
			w.status[i].Last = hinted{errNoAnswer, hintMount}
		}
		go w.ask(asking, i, a)
	}
	var cause error
	progress := time.NewTimer(firstProgress)
	defer progress.Stop()
	for running := len(targets); running > 0; {
		select {
		case n := <-w.news:
			if n.last {
				running--
			}
			if passed := w.hear(n); passed != nil && cause == nil {
				cause = passed
				stop()
			}
		case <-progress.C:
			progress.Reset(nextProgress)
			w.observe(Update{Kind: Progress, Pending: w.pending(), Elapsed: time.Since(w.begun)})
		}
	}
	if cause == nil {
		cause = context.Cause(ctx)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(cause, context.DeadlineExceeded) {
			w.giveUpOptional()
		}
	}
	if pending := w.pending(); len(pending) > 0 {
		return &PendingError{pending, cause}
	}
	return nil
}

// wait is one call of Wait. All but news belongs to the goroutine that made it.
type wait struct {
	begun   time.Time
	observe func(Update)
	status  []Status
	news    chan news // unbuffered; read until the last goroutine has said its last
}

// news is what a goroutine has to tell about its target.
type news struct {
	target int
	begun  int   // attempts so far
	tried  bool  // an attempt has ended, with err
	err    error // nil is a yes
	last   bool  // nothing will follow
	done   bool  // because it has said yes often enough
	limit  bool  // because its own limit has passed
}

// ask asks one target until there is nothing left to ask.
func (w *wait) ask(ctx context.Context, i int, a Attempt) {
	t := w.status[i].Target
	if own := t.Within + t.Optional; own > 0 { // Parse lets only one of them be
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, own, errLimit)
		defer cancel()
	}
	a.Timeout = t.Timeout
	between := pauses{interval: t.Interval}
	n := news{target: i}
	for inARow := 0; ; {
		n.begun++
		err := t.Probe.Ask(ctx, a)
		if err != nil && ctx.Err() != nil {
			n.tried = false // cut short: it is no answer of the target
			break
		}
		n.tried, n.err = true, err
		if inARow++; err != nil {
			inARow = 0
		}
		if n.done = err == nil && inARow >= t.Successes; n.done {
			break
		}
		w.news <- n
		if sleep(ctx, between.after(err, time.Now())) != nil {
			n.tried = false
			break
		}
	}
	n.last, n.limit = true, !n.done && context.Cause(ctx) == errLimit
	w.news <- n
}

// hear writes down what a goroutine tells, and passes it on. It returns an error
// when that ends the wait for all.
func (w *wait) hear(n news) error {
	s := &w.status[n.target]
	s.Attempts, s.Since = n.begun, time.Since(w.begun)
	if n.tried {
		s.Last = n.err
		w.tell(Tried, s)
	}
	switch {
	case n.done:
		s.Done = true
		w.tell(Yes, s)
	case n.limit && s.Target.Optional > 0:
		s.Optional = true
		w.tell(GaveUp, s)
	case n.limit:
		return &WithinError{s.Target}
	}
	return nil
}

func (w *wait) tell(kind UpdateKind, s *Status) {
	w.observe(Update{Kind: kind, Status: *s, Elapsed: time.Since(w.begun)})
}

// giveUpOptional gives up what is optional and still pending.
func (w *wait) giveUpOptional() {
	for i := range w.status {
		if s := &w.status[i]; !s.Done && !s.Optional && s.Target.Optional > 0 {
			s.Optional = true
			w.tell(GaveUp, s)
		}
	}
}

// pending lists the targets that are still waited for.
func (w *wait) pending() []Status {
	var list []Status
	for _, s := range w.status {
		if !s.Done && !s.Optional {
			s.Since = time.Since(w.begun)
			list = append(list, s)
		}
	}
	return list
}

// Do does a hook: once, and after a failure again as often as its Retries say,
// with the pauses of a wait, all within its one Timeout. It returns the error of
// the last try, or "timed out after 10s" and what was the matter before; when
// ctx ends first, its cause. a.Timeout is not used.
func Do(ctx context.Context, t Target, a Attempt) error {
	ctx, cancel := limit(ctx, t.Timeout)
	defer cancel()
	a.Timeout = 0 // the limit is the whole hook's, its lookups included
	between := pauses{interval: t.Interval}
	var last error
	for tries := 0; ; tries++ {
		err := t.Probe.Ask(ctx, a)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			if last == nil {
				return orCause(ctx, err)
			}
			break
		}
		if last = err; tries >= t.Retries {
			return last
		}
		if sleep(ctx, between.after(err, time.Now())) != nil {
			break
		}
	}
	return fmt.Errorf("%w, the last try before: %w", context.Cause(ctx), last)
}
