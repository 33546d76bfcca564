package supervisor

import (
	"context"
	"errors"
	"path"
	"slices"
	"syscall"
	"time"
)

// Causes of contexts that end on the way down; hooks that overran are logged
// with them.
var (
	errDeadline = errors.New("its time within --grace is over")
	errHurry    = errors.New("skipped after SIGINT")
)

// beginEnd fixes why and when the end began: with a stop signal that has been
// recorded, with the app's own exit, or now.
func (l *life) beginEnd(why error) {
	l.why = why
	l.noLongerReady()
	if l.endAt.IsZero() {
		l.endAt = time.Now()
		if l.appEnded() {
			l.endAt = l.app.ended
		}
	}
	if phaseOf(why) != Idle {
		l.emit(Event{Kind: Failed, Err: why})
	}
	soon := l.app.ended.Sub(l.app.meantAt) < stopOnWindow
	if why == nil && l.Grace > 0 && l.app.meant != 0 && soon {
		l.emit(Event{Kind: StopOnHint, Signal: l.app.meant})
	}
}

// stopOnWindow is how soon after a forwarded signal the app's end suggests that
// the signal was meant to stop it.
const stopOnWindow = time.Minute

// limit is the context of a part of the budget: it ends d after the end began,
// or never without --grace.
func (l *life) limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if l.Grace == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, l.endAt.Add(d), errDeadline)
}

// drain lets the app go on serving: for the delay, while the drain hooks are done,
// and until it is quiet.
func (l *life) drain(all context.Context) {
	if l.DrainDelay == 0 && len(l.Drain) == 0 && l.DrainQuiet == 0 {
		return
	}
	l.enter(Drain)
	defer l.took(&l.account.Drain)()
	ports := l.servedAtFirst()
	by, release := l.limit(all, l.budget.Drain)
	defer release()
	by, hurry := context.WithCancelCause(by)
	defer hurry(nil)
	l.onSignal = func(sig syscall.Signal) { l.signalInDrain(sig, hurry) }

	for _, sig := range l.takeAgain() {
		l.onSignal(sig)
	}
	l.delay(by)
	for i := range l.Drain {
		if by.Err() != nil || l.appEnded() {
			l.emit(Event{Kind: HookSkipped, Target: &l.Drain[i]})
			continue
		}
		l.hook(by, &l.Drain[i], never)
	}
	l.quiet(by, ports)
}

func (l *life) delay(by context.Context) {
	if l.DrainDelay == 0 {
		return
	}
	began := time.Now()
	l.emit(Event{Kind: DelayStarted, Took: l.DrainDelay})
	over, release := context.WithTimeout(by, l.DrainDelay)
	defer release()
	l.until(over, l.appEnded)
	l.emit(Event{Kind: DelayEnded, Took: time.Since(began)})
}

// stopApp gives the app its stop signal and, at the deadline only, SIGKILL.
func (l *life) stopApp(all context.Context) {
	l.onSignal = l.signalInStop
	if l.appEnded() {
		return
	}
	l.enter(Stop)
	defer l.took(&l.account.Stop)()
	sig := l.stopSignal()
	l.emit(Event{Kind: AppSignalled, Signal: sig, Err: l.signalApp(sig)})
	for _, sig := range l.takeAgain() {
		l.onSignal(sig)
	}
	l.watchShell()

	began := time.Now()
	by, release := l.limit(all, l.budget.Kill)
	defer release()
	if l.until(by, l.appEnded) == nil {
		return
	}
	l.app.killed = true
	l.emit(Event{Kind: DeadlineKill, Took: time.Since(began)})
	l.sys.kill(l.app.pid, syscall.SIGKILL)
	last, release := l.limit(all, l.budget.settled())
	defer release()
	if l.until(last, l.appEnded) != nil {
		// Not even SIGKILL ends a process that waits for a dead disk.
		l.app.exit, l.app.ended = Exit{Signal: syscall.SIGKILL}, time.Now()
	}
}

// stopSignal is what the app gets at the stop.
func (l *life) stopSignal() syscall.Signal {
	var first StopError
	switch {
	case l.StopSignal != 0:
		return l.StopSignal
	case errors.As(l.why, &first):
		return first.Signal
	}
	return syscall.SIGTERM // usher itself wants the end
}

// shellPatience is how long a shell may take before the log says what most
// likely keeps it: it waits for a child that got no signal.
const shellPatience = 5 * time.Second

var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"}

// IsShell reports whether a command of that name runs others and does not pass
// its signals on to them, as shells do.
func IsShell(name string) bool { return slices.Contains(shells, path.Base(name)) }

func (l *life) watchShell() {
	if l.Group || !IsShell(l.Command[0]) {
		return
	}
	l.after(shellPatience, func() {
		if !l.appEnded() {
			l.emit(Event{Kind: ShellHint})
		}
	})
}

// postStop does the post-stop hooks, whatever has happened before.
func (l *life) postStop(all context.Context) {
	if len(l.PostStop) == 0 {
		return
	}
	l.enter(PostStop)
	defer l.took(&l.account.PostStop)()
	by, release := l.limit(all, l.budget.Grace)
	defer release()
	for i := range l.PostStop {
		if by.Err() != nil {
			l.emit(Event{Kind: HookSkipped, Target: &l.PostStop[i]})
			continue
		}
		l.hook(by, &l.PostStop[i], never)
	}
}

// end draws up the account and names the exit status.
func (l *life) end() int {
	for pgid := range l.condemned {
		l.execute(pgid)
	}
	if l.reap(); l.Grace > 0 && !l.alone {
		// A post-stop hook at the deadline, and its children.
		moment, release := context.WithTimeout(context.Background(), settleTime)
		l.killAll(moment)
		release()
	}
	l.sys.drain()
	l.enter(Done)
	a := &l.account
	a.Code, a.Why, a.Started, a.App, a.Killed = l.code(), l.why, l.app.pid != 0, l.app.exit, l.app.killed
	a.Life, a.Grace, a.End = l.app.ended.Sub(l.app.started), l.Grace, time.Since(l.endAt)
	l.emit(Event{Kind: Ended, Account: a})
	return a.Code
}

// code is usher's exit status. --success-exit is for an app that was asked to
// stop and did; never for one that had to be killed.
func (l *life) code() int {
	code := codeOf(l.why, l.app.pid != 0, l.app.exit)
	var stop StopError
	if errors.As(l.why, &stop) && l.app.pid != 0 && !l.app.killed && slices.Contains(l.SuccessExit, code) {
		return 0
	}
	return code
}

// took is to be deferred: it measures the rest of the function.
func (l *life) took(d *time.Duration) func() {
	began := time.Now()
	return func() { *d = time.Since(began) }
}
