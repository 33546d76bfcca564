package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// HookError is a failed hook.
type HookError struct {
	Name string
	Err  error
}

func (e *HookError) Error() string { return fmt.Sprintf("hook %s failed: %v", e.Name, e.Err) }
func (e *HookError) Unwrap() error { return e.Err }

// hook does one target once, with its retries, in its own time and at most
// until ctx ends. early ends it too.
func (l *life) hook(ctx context.Context, t *probes.Target, early func() bool) error {
	l.emit(Event{Kind: HookStarted, Target: t})
	began := time.Now()
	attempt := l.attempt(l.phase, l.facts(ctx, t))
	err := l.during(ctx, early, func(ctx context.Context) error {
		return probes.Do(ctx, *t, attempt)
	})
	l.emit(Event{Kind: HookEnded, Target: t, Took: time.Since(began), Err: err})
	return err
}

// attempt is what targets are asked and done with in a phase. What it captures of
// the life is fixed here, because commands run their output outside of the loop.
func (l *life) attempt(phase Phase, facts []probes.Fact) probes.Attempt {
	env, output := l.Env, l.Output
	run := func(ctx context.Context, c probes.Command) error {
		return l.exec(ctx, env, c, func(line []byte) {
			if output != nil {
				output(Line{phase, c.Name, line})
			}
		})
	}
	return probes.Attempt{Facts: facts, Run: run, Resolver: l.resolver}
}

// facts is what a hook is told: why the end came, and what it has to work with.
func (l *life) facts(ctx context.Context, t *probes.Target) []probes.Fact {
	var facts []probes.Fact
	tell := func(name, value string) { facts = append(facts, probes.Fact{Name: name, Value: value}) }

	ending := l.phase == Drain || l.phase == PostStop
	if ending {
		tell("USHER_REASON", reasonOf(l.why))
	}
	if stop := (StopError{}); ending && errors.As(l.why, &stop) {
		tell("USHER_SIGNAL", signals.Name(stop.Signal))
	}
	if l.app.pid != 0 && !l.appEnded() {
		tell("USHER_APP_PID", strconv.Itoa(l.app.pid))
	}
	if l.phase == PostStop {
		tell("USHER_EXIT_CODE", strconv.Itoa(l.code()))
	}
	if left, ok := timeLeft(ctx, t.Timeout); ok {
		tell("USHER_TIME_LEFT", strconv.Itoa(int(left/time.Second)))
	}
	return facts
}

// timeLeft is how long a hook may take: its own timeout, or less if its part of
// the budget ends sooner; false means there is no limit.
func timeLeft(ctx context.Context, timeout time.Duration) (time.Duration, bool) {
	by, limited := ctx.Deadline()
	switch {
	case !limited:
		return timeout, timeout > 0
	case timeout > 0:
		return max(0, min(timeout, time.Until(by))), true
	}
	return max(0, time.Until(by)), true
}

// withFacts is env with the facts in it, in place of what bore their names.
func withFacts(env []string, facts []probes.Fact) []string {
	all := make([]string, 0, len(env)+len(facts))
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(facts, func(f probes.Fact) bool { return f.Name == name }) {
			all = append(all, kv)
		}
	}
	for _, f := range facts {
		all = append(all, f.Name+"="+f.Value)
	}
	return all
}
