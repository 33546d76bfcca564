package supervisor

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// wait asks every Wait target, all at once, until each has said yes.
func (l *life) wait(life context.Context) error {
	if len(l.Wait) == 0 {
		return nil
	}
	l.enter(Wait)
	return l.during(life, never, l.asking(l.Wait, l.WaitTimeout))
}

// asking is the work of asking targets until all have said yes, at most for
// limit; 0 means no limit.
func (l *life) asking(targets []probes.Target, limit time.Duration) func(context.Context) error {
	phase, attempt := l.phase, l.attempt(l.phase, nil)
	return func(ctx context.Context) error {
		if limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("timed out after %v", limit))
			defer cancel()
		}
		err := probes.Wait(ctx, targets, attempt, func(u probes.Update) {
			l.post(func() { l.emit(targetEvent(u)) })
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
	case probes.Yes:
		e.Kind = TargetReady
	case probes.GaveUp:
		e.Kind = TargetGivenUp
	case probes.Progress:
		e.Kind, e.Took = WaitProgress, u.Elapsed
	}
	return e
}

// hooksUp does the hooks of a phase on the way up, in order; the first that
// fails ends the life. early ends them without blame.
func (l *life) hooksUp(life context.Context, phase Phase, hooks []probes.Target, early func() bool) error {
	if len(hooks) == 0 {
		return nil
	}
	l.enter(phase)
	for i := range hooks {
		err := l.hook(life, &hooks[i], early)
		if early() {
			return nil
		}
		if err != nil && life.Err() == nil {
			return &PhaseError{phase, &HookError{hooks[i].Name, err}}
		}
		if err != nil {
			return context.Cause(life)
		}
	}
	return nil
}

// startApp starts the app. Its exit is recorded in the loop, whatever the life
// is doing at that moment.
func (l *life) startApp() error {
	l.enter(Start)
	started := time.Now()
	p := process{argv: l.Command, env: l.Env, app: true, detach: l.Detach, self: l.Self}
	c, err := l.start(p, func(e Exit) {
		l.app.exit, l.app.ended = e, time.Now()
		l.noLongerReady()
		l.sys.appGone()
		l.emit(Event{Kind: AppEnded, PID: l.app.pid, Exit: e, Took: l.app.ended.Sub(started)})
	})
	if err != nil {
		return &PhaseError{Start, err}
	}
	l.app.pid, l.app.started, l.app.terminal = c.pid, started, c.terminal
	l.emit(Event{Kind: AppStarted, PID: c.pid})
	return nil
}

// replace puts the app in usher's place. It returns only if that fails.
func (l *life) replace() error {
	l.enter(Start)
	for _, sig := range l.kept {
		l.emit(Event{Kind: Warned, Text: signals.Name(sig) + " came before the app and is lost: with --exec nobody is left to pass it on"})
	}
	if l.reap(); !l.alone {
		l.emit(Event{Kind: Warned, Text: "what the hooks have left running becomes the app's child, and what it prints is lost: with --exec nobody is left to read it"})
	}
	l.emit(Event{Kind: AppReplaces, PID: os.Getpid()})
	return &PhaseError{Start, l.sys.replace(process{argv: l.Command, env: l.Env, app: true})}
}

// comeUp asks the Ready targets, then does the post-start hooks, while the app
// runs. If the app ends first, its own exit is what counts.
func (l *life) comeUp(life context.Context) error {
	if len(l.Ready) > 0 {
		l.enter(Ready)
		err := l.during(life, l.appEnded, l.asking(l.Ready, 0))
		if err != nil && !l.appEnded() {
			return err
		}
	}
	if l.appEnded() {
		return nil
	}
	l.readiness.reached, l.readiness.at = true, time.Now()
	return l.hooksUp(life, PostStart, l.PostStart, l.appEnded)
}

// childStopped continues an app that read or wrote its terminal in the moment
// between its exec and the hand-over of the foreground. Any other stop is the
// user's business, or the app's.
func (l *life) childStopped(pid int, sig syscall.Signal) {
	onTheWay := pid == l.app.pid && l.app.terminal && !l.app.continued
	if onTheWay && (sig == syscall.SIGTTIN || sig == syscall.SIGTTOU) {
		l.app.continued = true
		l.sys.kill(-pid, syscall.SIGCONT)
	}
}
