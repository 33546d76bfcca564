package supervisor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// HookError is the error of a failed hook.
type HookError struct {
	Name string
	Err  error
}

func (e *HookError) Error() string { return fmt.Sprintf("hook %s failed: %v", e.Name, e.Err) }
func (e *HookError) Unwrap() error { return e.Err }

// InterruptedError is the result of a pre-start or post-start hook that was running
// when a stop signal was received.
type InterruptedError struct {
	Signal syscall.Signal // always SIGTERM, which usher sent to the hook's command; a hook that runs no command was cancelled instead
	Err    error          // the hook's own error; nil: it succeeded, or was cancelled because of the stop signal
}

func (e *InterruptedError) Error() string {
	text := "interrupted by " + signals.Name(e.Signal)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *InterruptedError) Unwrap() error { return e.Err }

// startHook starts a hook in a goroutine. The hook is cancelled when ctx ends or when the
// hook's timeout has passed. The timeout bounds all attempts of the hook together.
func (s *supervisor) startHook(ctx context.Context, t *probes.Target) *job {
	s.emit(Event{Kind: HookStarted, Target: t})
	attempt := s.attempt(s.phase, s.hookVars(ctx, t))
	return s.loop.spawn(func() error { return probes.RunHook(ctx, *t, attempt) })
}

// runHook runs a hook of the shutdown. When ctx ends, runHook returns without waiting for
// the hook to exit.
func (s *supervisor) runHook(ctx context.Context, t *probes.Target) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	j := s.startHook(ctx, t)
	s.loop.until(ctx, j.hasEnded)
	err := j.err
	if ctx.Err() != nil && (!j.done || err != nil) {
		err = context.Cause(ctx)
		s.loop.terminateEnded()
	}
	s.emit(Event{Kind: HookFinished, Target: t, Took: time.Since(began), Err: err})
}

// skipHook emits the event HookSkipped with the reason.
func (s *supervisor) skipHook(ctx context.Context, t *probes.Target) {
	err := context.Cause(ctx)
	switch err {
	case nil:
		err = errAppExited
	case errShare:
		err = errNoTime
	}
	s.emit(Event{Kind: HookSkipped, Target: t, Err: err})
}

// attempt returns the settings for probing or running the targets of a phase. Commands run in
// other goroutines, which must not read s.phase, so they report their output with the
// parameter phase.
func (s *supervisor) attempt(phase Phase, vars []probes.HookVar) probes.Attempt {
	env, output := s.cfg.Env, s.cfg.Output
	run := func(ctx context.Context, c probes.Command) error {
		return s.loop.runCommand(ctx, phase, env, c, func(line []byte) {
			if output != nil {
				output(Line{phase, c.Name, line})
			}
		})
	}
	return probes.Attempt{HookVars: vars, Run: run, Resolver: s.resolver}
}

// hookVars returns the USHER_ variables of a hook (see README.md).
func (s *supervisor) hookVars(ctx context.Context, t *probes.Target) []probes.HookVar {
	var vars []probes.HookVar
	set := func(name, value string) { vars = append(vars, probes.HookVar{Name: name, Value: value}) }

	if s.phase == Drain || s.phase == PostStop {
		set("USHER_REASON", reasonOf(s.reason))
	}
	if sig := s.stopSignalReceived(); sig != 0 {
		set("USHER_SIGNAL", signals.Name(sig))
	}
	if s.app.pid != 0 && !s.appExited() {
		set("USHER_APP_PID", strconv.Itoa(s.app.pid))
	}
	if s.phase == PostStop {
		set("USHER_EXIT_CODE", strconv.Itoa(s.code()))
	}
	if left, ok := timeLeft(ctx, t.Timeout); ok {
		set("USHER_TIME_LEFT", strconv.Itoa(int(left/time.Second)))
	}
	return vars
}

// timeLeft returns the time that a hook has left: its own timeout, or the time until ctx
// ends if that is shorter. It returns false if there is no limit.
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

// withVars returns env with vars added. A variable in vars replaces one of the same name
// in env.
func withVars(env []string, vars []probes.HookVar) []string {
	all := make([]string, 0, len(env)+len(vars))
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(vars, func(f probes.HookVar) bool { return f.Name == name }) {
			all = append(all, kv)
		}
	}
	for _, f := range vars {
		all = append(all, f.Name+"="+f.Value)
	}
	return all
}
