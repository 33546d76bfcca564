package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// Run lives one life: it waits, starts the app, looks after it, and takes it
// down. It returns the exit status that the process should end with, and why
// the life ended: nil when the app ended by itself, StopError after a stop
// signal, *PhaseError when usher ended it, and c.Validate's error, with
// CodeFault, when nothing was started at all.
//
// The end of ctx counts as a SIGTERM. Run reaps every child of the process, so
// one program can run one life at a time, and nothing else in it may wait for
// children (os/exec does).
func Run(ctx context.Context, c Config) (int, error) {
	if err := c.Validate(); err != nil {
		return CodeFault, err
	}
	if c.Signals == nil {
		c.Signals = signals.Open()
		defer c.Signals.Close()
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	return run(ctx, c, newSystem())
}

// life is what Run knows. All of it belongs to the goroutine of Run.
type life struct {
	loop
	Config
	budget   Budget
	resolver *probes.Resolver

	began time.Time
	phase Phase
	app   app
	kept  []syscall.Signal // received before the app existed, in order
	again []syscall.Signal // stop signals after the first, before the drain or the stop

	readiness readiness

	stop  func(error) // ends what comes before the drain, with a StopError
	why   error       // the reason of the end
	endAt time.Time   // when the end began: all of the budget counts from here

	account Account
}

// app is the process that the life is about.
type app struct {
	pid       int
	started   time.Time
	ended     time.Time
	exit      Exit
	killed    bool // by usher, at the deadline
	terminal  bool // it was given the terminal's foreground
	continued bool // it has once been continued after it stopped on the way there

	// The last signal it got that was no stop signal: perhaps it was meant as one.
	meant   syscall.Signal
	meantAt time.Time
}

func (l *life) appEnded() bool { return !l.app.ended.IsZero() }

// run is the timeline of the contract from top to bottom. Until the app has
// started, and while it runs, every wait is under life and ends with the first
// stop signal; from then on every wait is under a limit of the budget.
func run(ctx context.Context, c Config, sys kernel) (int, error) {
	l := newLife(c, sys)
	defer close(l.done)
	everything, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	life, stop := context.WithCancelCause(everything)
	l.stop = stop
	defer context.AfterFunc(ctx, func() { l.post(func() { l.askToStop(syscall.SIGTERM) }) })()
	l.onSignal = l.signalBeforeApp
	l.onQuestion = func(reply chan<- error) { l.question(life, reply) }
	l.introduce()

	// The way up: each step only if the one before it went well.
	err := l.wait(life)
	if err == nil {
		err = l.hooksUp(life, PreStart, c.PreStart, never)
	}
	if err == nil {
		err = context.Cause(life) // a stop that came together with the last yes
	}
	if err == nil && c.Exec {
		err = l.replace()
	}
	if err == nil && len(c.Command) > 0 {
		err = l.startApp()
	}
	if err == nil && l.app.pid != 0 {
		l.onSignal = l.signalInRun
		l.deliverKept()
		err = l.comeUp(life)
	}
	if err == nil && l.app.pid != 0 && !l.appEnded() {
		l.enter(Running)
		err = l.until(life, l.appEnded)
	}
	if err == nil {
		err = context.Cause(life) // asked to stop, and gone before that was looked at
	}

	// The way down: every step, whatever the others brought, all within one
	// budget that began with the first stop signal or the app's own end.
	l.beginEnd(err)
	if l.app.pid != 0 && !l.appEnded() {
		l.drain(everything)
		l.stopApp(everything)
	}
	l.onSignal = l.signalTooLate
	l.leftovers(everything)
	l.postStop(everything)
	return l.end(), l.why
}

func newLife(c Config, sys kernel) *life {
	l := &life{Config: c, budget: c.Budget(), began: time.Now(), resolver: &probes.Resolver{}}
	l.loop = loop{
		sys: sys, inbox: c.Signals, children: map[int]func(Exit){}, condemned: map[int]bool{}, commands: map[int]context.Context{},
		calls: make(chan func()), done: make(chan struct{}),
		onOrphan:  func(pid int, e Exit) { l.emit(Event{Kind: OrphanReaped, PID: pid, Exit: e}) },
		onStopped: l.childStopped,
	}
	if c.Readiness != nil {
		l.questions = c.Readiness.questions
	}
	return l
}

// introduce says what is particular about this life.
func (l *life) introduce() {
	pid1, seesAll := l.sys.adopt()
	if !pid1 {
		l.emit(Event{Kind: Subreaper})
	}
	if !seesAll && l.Grace > 0 {
		l.emit(Event{Kind: Warned, Text: "without PID 1's rights and a /proc of this PID namespace only the app's process group can be ended at the deadline"})
	}
	if l.DrainQuiet > 0 {
		if _, err := l.sys.sockets(); err != nil {
			l.emit(Event{Kind: Warned, Text: cannotCount + err.Error()})
		}
	}
	for _, text := range l.Warnings() {
		l.emit(Event{Kind: Warned, Text: text})
	}
}

func (l *life) emit(e Event) {
	e.At, e.Phase = time.Since(l.began), l.phase
	if l.Observe != nil {
		l.Observe(e)
	}
}

func (l *life) enter(p Phase) {
	l.phase = p
	l.emit(Event{Kind: Entered})
}

// endPatience is how long a step of the way up that is ended early may take to do
// so: its command is killed after hookKillDelay.
const endPatience = 2 * hookKillDelay

// patience is endPatience, or what is left of the drain's part of the budget: the
// app's time is not to be waited away.
func (l *life) patience() time.Duration {
	if l.Grace == 0 {
		return endPatience
	}
	began := l.endAt
	if began.IsZero() {
		began = time.Now()
	}
	if l.appEnded() && l.app.ended.Before(began) {
		began = l.app.ended
	}
	return min(endPatience, time.Until(began.Add(l.budget.Drain)))
}

// errAppGone ends what was done for an app that has ended.
var errAppGone = errors.New("the app has ended")

func never() bool { return false }

// during runs f beside the loop until it has finished, ctx has ended or early
// says so. f's context ends with any of these; on the way up, f then has some
// patience to return.
func (l *life) during(ctx context.Context, early func() bool, f func(context.Context) error) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	j := l.spawn(func() error { return f(inner) })
	err := l.until(ctx, func() bool { return j.done || early() })
	if !j.done {
		cancel()
		l.overrunAll()
		if l.phase <= Running {
			limit, release := context.WithTimeout(context.Background(), l.patience())
			defer release()
			l.until(limit, j.ended)
		}
		if err == nil {
			err = errAppGone
		}
		return err
	}
	// A job that was ended from outside reports its own view of that: the cause
	// is what counts.
	if j.err == nil || ctx.Err() == nil {
		return j.err
	}
	return context.Cause(ctx)
}

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

// ---- the way down

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
