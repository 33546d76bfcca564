package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// errAppExited is the error of a step that is skipped or ended early because the app has
// exited, and the reason why usher ignores a signal after that.
var errAppExited = errors.New("the app has exited")

func never() bool { return false }

// wait probes the Wait targets concurrently until all are ready.
func (s *supervisor) wait(startCtx context.Context) error {
	if len(s.cfg.Wait) == 0 {
		return nil
	}
	s.enter(Wait)
	return s.runUntil(startCtx, never, s.probing(s.cfg.Wait, s.cfg.WaitTimeout))
}

// probing returns a function that probes targets until all are ready or limit has passed.
// A limit of 0 means that there is no limit.
func (s *supervisor) probing(targets []probes.Target, limit time.Duration) func(context.Context) error {
	phase, attempt := s.phase, s.attempt(s.phase, nil)
	return func(ctx context.Context) error {
		if limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("timed out after %v", limit))
			defer cancel()
		}
		err := probes.Wait(ctx, targets, attempt, func(u probes.Update) {
			s.loop.post(func() { s.emit(targetEvent(u)) })
		})
		if err != nil {
			return &PhaseError{phase, err}
		}
		return nil
	}
}

func targetEvent(u probes.Update) Event {
	e := Event{Kind: TargetTried, Target: u.Status.Target, Attempts: u.Status.Attempts,
		Err: u.Status.Last, Took: u.Status.Since, Pending: u.Pending}
	switch u.Kind {
	case probes.TargetReady:
		e.Kind = TargetReady
	case probes.TargetSkipped:
		e.Kind = TargetSkipped
	case probes.WaitProgress:
		e.Kind, e.Took = WaitProgress, u.Elapsed
	}
	return e
}

// runUntil runs f in a goroutine. It returns
//
//   - f's error, if f returns first (ctx's cause, if f has failed and ctx has ended too);
//   - ctx's cause, if ctx ends first;
//   - nil, if the function early returns true first.
//
// In the last two cases it cancels the context of f, and waits for f to return, but at most two
// seconds (cancelTime), or less with --grace (see untilEnded).
func (s *supervisor) runUntil(ctx context.Context, early func() bool, f func(context.Context) error) error {
	fCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	j := s.loop.spawn(func() error { return f(fCtx) })
	err := s.loop.until(ctx, func() bool { return j.done || early() })
	if !j.done {
		cancel()
		s.loop.terminateEnded()
		s.untilEnded(j)
		return err
	}
	// If ctx has ended, the job probably failed because of that, so return ctx's cause.
	if j.err == nil || ctx.Err() == nil {
		return j.err
	}
	return context.Cause(ctx)
}

// cancelTime is how long usher waits for a cancelled step of the startup to return. It is
// longer than hookKillDelay (1 s), after which a command that ignores SIGTERM gets SIGKILL.
const cancelTime = 2 * hookKillDelay

// untilEnded is called when a job of the startup has been cancelled or its command has exited.
// It waits until the job's goroutine has returned too, for at most cancelTime (2 s). With --grace it also stops
// waiting when the drain would have to end (Budget.Drain), so that the app still has the time
// Budget.Reserve to stop.
func (s *supervisor) untilEnded(j *job) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cancelTime())
	defer cancel()
	s.loop.until(ctx, j.hasEnded)
}

func (s *supervisor) cancelTime() time.Duration {
	if s.cfg.Grace == 0 {
		return cancelTime
	}
	start := s.shutdownStart
	if start.IsZero() {
		start = time.Now()
	}
	if s.appExited() && s.app.exited.Before(start) {
		start = s.app.exited
	}
	return min(cancelTime, time.Until(start.Add(s.budget.Drain)))
}

// runStartHooks runs the hooks of a phase of the startup in order, until one fails. When
// the function early returns true, runStartHooks cancels the running hook and returns nil.
// When startCtx ends, it interrupts the running hook and returns startCtx's cause.
func (s *supervisor) runStartHooks(startCtx context.Context, phase Phase, hooks []probes.Target, early func() bool) error {
	if len(hooks) == 0 {
		return nil
	}
	s.enter(phase)
	for i := range hooks {
		err := s.runStartHook(startCtx, &hooks[i], early)
		if startCtx.Err() != nil {
			return context.Cause(startCtx)
		}
		if early() {
			return nil
		}
		if err != nil {
			return &PhaseError{phase, &HookError{hooks[i].Name, err}}
		}
	}
	return nil
}

// runStartHook runs one hook. After a stop signal the hook's command gets SIGTERM and some
// time to exit (see interruptLimit), because a migration must be able to roll back. A hook that
// runs no command is cancelled at once. When the function early returns true, the hook is
// cancelled too.
func (s *supervisor) runStartHook(startCtx context.Context, t *probes.Target, early func() bool) error {
	hookCtx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	began := time.Now()
	j := s.startHook(hookCtx, t)
	stopped := s.loop.until(startCtx, func() bool { return j.done || early() }) != nil
	cause, signalled := errAppExited, false
	if stopped {
		cause, signalled = s.interruptHook(t, j, context.Cause(startCtx))
	}
	if !j.done {
		cancel(cause)
		s.loop.terminateEnded()
		s.untilEnded(j)
	}
	err := j.err
	if !j.done {
		err = cause
	}
	if stopped {
		err = s.interruptResult(err, signalled)
	}
	s.emit(Event{Kind: HookFinished, Target: t, Took: time.Since(began), Err: err})
	return err
}

// interruptHook sends SIGTERM to a hook's command and waits until the command has exited or
// has used up its time (interruptLimit). If the job of the hook has not ended by then, the
// caller cancels it with the returned cause.
//
// If the hook has no running command, interruptHook returns at once, with signalled=false.
func (s *supervisor) interruptHook(t *probes.Target, j *job, stop error) (cause error, signalled bool) {
	running := func() bool { return s.loop.interrupt(s.phase, syscall.SIGTERM) }
	if !running() {
		return stop, false
	}
	limitCtx, cancel := s.interruptLimit()
	defer cancel()
	s.emit(Event{Kind: HookInterrupted, Target: t, Signal: syscall.SIGTERM, Took: timeUntil(limitCtx)})
	if err := s.loop.until(limitCtx, func() bool { return j.done || !running() }); err != nil {
		return err, true
	}
	if t.Retries == 0 {
		s.untilEnded(j) // the command has exited, so the job ends soon, with the command's own result instead of a cancellation
	}
	return stop, true // the caller cancels the job, so the hook is not retried
}

// interruptResult returns the result of a hook that was interrupted. signalled reports
// whether the hook's command got SIGTERM. If the command was not killed by a signal, it may
// have handled SIGTERM and signalled its children. So interruptResult records the current time
// in leftovers.handledAt, and usher does not signal those children at once.
func (s *supervisor) interruptResult(err error, signalled bool) error {
	var exit exitError
	if killed := errors.As(err, &exit) && exit.Signal != 0; signalled && !killed {
		s.leftovers.handledAt = time.Now()
	}
	if errors.As(err, new(StopError)) {
		err = nil
	}
	return &InterruptedError{syscall.SIGTERM, err}
}

// interruptLimit returns a context that ends when the command of an interrupted hook has used
// up its time. With --grace a pre-start hook may run until usher sends SIGKILL to all processes
// (Budget.Kill), and a post-start hook until the drain would have to end (Budget.Drain), so
// that the app still has the time Budget.Reserve to stop. Without --grace a pre-start hook has
// no limit, and a post-start hook may run for one second.
func (s *supervisor) interruptLimit() (context.Context, context.CancelFunc) {
	switch {
	case s.phase == PreStart:
		return s.limit(context.Background(), s.budget.Kill)
	case s.cfg.Grace == 0:
		return context.WithTimeoutCause(context.Background(), hookKillDelay, errShare)
	}
	return s.limit(context.Background(), s.budget.Drain)
}

func timeUntil(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(0, time.Until(deadline))
}

// startApp starts the app. The loop calls recordAppExit when the app has exited.
func (s *supervisor) startApp(startCtx context.Context) error {
	s.enter(Start)
	began := time.Now()
	p := process{argv: s.cfg.Command, env: s.cfg.Env, app: true, detach: s.cfg.Detach, self: s.cfg.Self}
	var failed error
	abandoned := false
	s.loop.start(p, func(c child, err error) {
		if abandoned {
			s.app.abandoned = c.pid
			return
		}
		failed = err
		if err == nil {
			s.app.pid, s.app.started, s.app.terminal = c.pid, began, c.terminal
			s.emit(Event{Kind: AppStarted, PID: c.pid})
		}
	}, func(e Exit) {
		if !abandoned {
			s.recordAppExit(e)
		}
	})
	started := func() bool { return failed != nil || s.app.pid != 0 }
	if err := s.loop.until(startCtx, started); err != nil {
		// A stop signal was received during the start. A start usually takes a
		// millisecond, so wait for its end, and then stop the app as usual. If the start
		// does not return, for example because a file system does not respond, abandon it.
		// A process that it has already forked is then a leftover.
		ctx, cancel := context.WithTimeout(context.Background(), s.cancelTime())
		defer cancel()
		if s.loop.until(ctx, started) != nil {
			abandoned = true
			return err
		}
	}
	if failed != nil {
		return &PhaseError{Start, failed}
	}
	return nil
}

// recordAppExit is called in the loop when the app has been reaped.
func (s *supervisor) recordAppExit(e Exit) {
	s.app.exit, s.app.exited = e, time.Now()
	s.stopServing()
	s.loop.sys.appExited()
	s.emit(Event{Kind: AppExited, PID: s.app.pid, Exit: e, Took: s.app.exited.Sub(s.app.started)})
}

// execApp replaces usher with the app. It returns only if the app cannot be executed.
func (s *supervisor) execApp() error {
	s.enter(Start)
	for _, sig := range s.pendingSignals {
		s.warn(signals.Name(sig) + " was received before the app started and is lost: with --exec usher cannot forward it")
	}
	if s.loop.reap(); !s.loop.noChildren {
		s.warn("processes that the hooks have left running become children of the app, and their output is lost: with --exec usher cannot read it")
	}
	s.emit(Event{Kind: AppExec, PID: os.Getpid()})
	return &PhaseError{Start, s.loop.sys.replace(process{argv: s.cfg.Command, env: s.cfg.Env, app: true})}
}

// waitReady probes the Ready targets and then runs the post-start hooks, while the app
// runs. If the app exits meanwhile, waitReady returns nil, because the reason for the
// shutdown is the app's exit.
func (s *supervisor) waitReady(startCtx context.Context) error {
	if len(s.cfg.Ready) > 0 {
		s.enter(Ready)
		err := s.runUntil(startCtx, s.appExited, s.probing(s.cfg.Ready, 0))
		if err != nil && !s.appExited() {
			return err
		}
	}
	if s.appExited() {
		return nil
	}
	s.readiness.reached, s.readiness.at = true, time.Now()
	return s.runStartHooks(startCtx, PostStart, s.cfg.PostStart, s.appExited)
}

// childStopped records whether the app is stopped. sig is the signal that stopped the child
// pid; 0: the child was continued. If the app uses the terminal before its group is the
// foreground group, the kernel stops it by SIGTTIN or SIGTTOU. childStopped sends SIGCONT
// after the first such stop. It sends none after any other stop, because the user or the app
// itself wanted that stop.
func (s *supervisor) childStopped(pid int, sig syscall.Signal) {
	if pid != s.app.pid {
		return
	}
	s.app.stopped = sig != 0
	tooEarly := s.app.terminal && !s.app.continued && (sig == syscall.SIGTTIN || sig == syscall.SIGTTOU)
	if tooEarly {
		s.app.continued = true
		s.loop.sys.kill(-pid, syscall.SIGCONT)
	}
}
