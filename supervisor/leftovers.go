package supervisor

import (
	"context"
	"syscall"
	"time"
)

// leftovers ends what else still lives: politely for the reserve, then with
// SIGKILL. Without --grace nothing is killed; the kernel ends the rest with
// PID 1, as under any small init.
func (l *life) leftovers(all context.Context) {
	l.commandsEnd()
	l.reap()
	alone := func() bool { return l.alone }
	count := 0
	if !alone() {
		count = l.sys.others() // 0: they are ending already
	}
	if count != 0 && l.app.pid != 0 && l.why == nil {
		l.emit(Event{Kind: LeftBehind, Count: count})
	}
	if l.Grace == 0 {
		return
	}
	if !alone() {
		l.enter(Leftovers)
		defer l.took(&l.account.Leftovers)()
	}
	if count != 0 {
		l.emit(Event{Kind: LeftoversFound, Count: count})
	}
	// As PID 1 this also reaches what came in by exec and is nobody's child.
	// SIGCONT, because a stopped process acts on no signal.
	l.sys.killOthers(syscall.SIGTERM)
	l.sys.killOthers(syscall.SIGCONT)

	by, release := l.limit(all, min(time.Since(l.endAt)+l.budget.Reserve, l.budget.Kill))
	defer release()
	if l.until(by, alone) == nil {
		return
	}
	l.emit(Event{Kind: LeftoversKilled})
	last, release := l.limit(all, l.budget.settled())
	defer release()
	l.killAll(last)
}

// commandsEnd gives usher's own commands some patience to end, as they have been
// told to: what asks whether the app is ready may be under way, and is nothing that
// the app has left.
func (l *life) commandsEnd() {
	limit, release := context.WithTimeout(context.Background(), l.patience())
	defer release()
	l.until(limit, func() bool { return len(l.commands) == 0 })
}

// killAll ends everything else, and goes on to after each exit: they may still
// be forking.
func (l *life) killAll(ctx context.Context) {
	l.until(ctx, func() bool {
		if !l.alone {
			l.sys.killOthers(syscall.SIGKILL)
		}
		return l.alone
	})
}
