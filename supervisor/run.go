package supervisor

import (
	"context"
	"errors"
	"os"
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
	l.reportOutOfMemory(everything)
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
