package supervisor

import (
	"context"
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// Run supervises one app: it waits for the Wait targets, starts the app, acts as its
// init, and shuts it down. It returns the exit status that the process should exit with,
// and the reason for the shutdown: nil if the app exited by itself, or if Command is empty and
// the Wait targets are ready; StopError after a stop signal; *PhaseError if a step of the
// startup failed. If c is not valid, or Run cannot open an inbox for the signals, it starts
// nothing and returns CodeFault and the error.
//
// When ctx ends, Run shuts down as after a SIGTERM. Run reaps every child of the process.
// So a program can have only one Run at a time, and its other code must not wait for
// children, as os/exec does. During a fork Run pauses the garbage collector and raises
// GOMAXPROCS from 1 to 2, unless c has no targets, no hooks and no Grace; the documentation of
// the package gives the reason.
func Run(ctx context.Context, c Config) (int, error) {
	if err := c.Validate(); err != nil {
		return CodeFault, err
	}
	if c.Signals == nil {
		inbox, err := signals.Open(c.StopOn...)
		if err != nil {
			return CodeFault, err
		}
		defer inbox.Close()
		c.Signals = inbox
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	return run(ctx, c, newSystem())
}

// supervisor is the state of one Run or Ask. Only the goroutine of Run or Ask changes it.
// Other goroutines post functions to the loop, and read cfg and loop.sys, which never change.
type supervisor struct {
	loop     *loop
	cfg      Config
	budget   Budget
	resolver *probes.Resolver

	began          time.Time
	phase          Phase
	app            app
	pendingSignals []syscall.Signal // signals to forward once the app has started, in order; a 0 at the end means that later signals were lost
	laterStops     []syscall.Signal // the stop signals after the first one, until drain or stopApp handles them; before the app has started, SIGHUP and SIGQUIT count as stop signals
	readiness      readiness

	stop          func(error) // cancels startCtx, the context of the startup in run, with a StopError
	reason        error       // why the shutdown began; nil: the app exited by itself, or Command is empty and nothing failed
	shutdownStart time.Time   // when the shutdown began; the times in budget count from it
	leftovers     leftovers
	pid1          bool

	summary Summary
}

// app is the state of the process that executes Config.Command.
type app struct {
	pid       int
	started   time.Time
	exited    time.Time
	exit      Exit
	killed    bool // usher sent SIGKILL at the deadline
	stopped   bool // a signal such as SIGSTOP stopped it, so it handles no signal but SIGKILL until SIGCONT
	terminal  bool // its process group became the terminal's foreground group
	continued bool // the kernel stopped the app because it used the terminal too early, and childStopped has sent SIGCONT; it does this only once

	// The pid of an app whose start took too long: a stop signal was received, and after
	// cancelTime usher no longer waited for the start. If the app was started nevertheless, it is
	// a leftover. 0: there is no such app.
	abandoned int

	// The last signal that was forwarded before the app got its stop signal. If the app exits
	// within a minute, the sender probably meant to stop the app. Then usher suggests --stop-on,
	// if Grace is set. SIGCONT does not count, because systemd sends it right after a stop signal
	// (systemd.kill(5)).
	lastForwarded   syscall.Signal
	lastForwardedAt time.Time
	stopOnTimed     bool // hintStopOnLater has started its timer
	stopOnHinted    bool
}

func (s *supervisor) appExited() bool { return !s.app.exited.IsZero() }

// run goes through the timeline in doc.go from start to end. The first stop signal ends
// startCtx, so that the waits of the startup end. With Grace, parts of the budget bound the
// waits of the shutdown.
func run(ctx context.Context, c Config, sys kernel) (int, error) {
	s := newSupervisor(c, sys)
	defer close(s.loop.done)
	ctx, cancel := context.WithCancel(stopOnEnd(ctx, s))
	defer cancel()
	startCtx, stop := context.WithCancelCause(ctx)
	s.stop = stop
	s.loop.onSignal = s.signalBeforeApp
	s.loop.onQuestion = func(q question) { s.answerReadiness(startCtx, q) }
	s.emitStartupWarnings(startCtx)

	// The startup. Each step runs only if the step before it succeeded.
	err := s.wait(startCtx)
	if err == nil {
		err = s.runStartHooks(startCtx, PreStart, c.PreStart, never)
	}
	if err == nil {
		err = context.Cause(startCtx) // a stop signal may have been received although the last step returned nil
	}
	if err == nil && c.Exec {
		err = s.execApp()
	}
	if err == nil && len(c.Command) > 0 {
		err = s.startApp(startCtx)
	}
	if err == nil && s.app.pid != 0 {
		s.loop.onSignal = s.signalInRun
		s.forwardPending()
		err = s.waitReady(startCtx)
	}
	if err == nil && s.app.pid != 0 && !s.appExited() {
		s.enter(Running)
		err = s.loop.until(startCtx, s.appExited)
	}
	if err == nil {
		err = context.Cause(startCtx) // a stop signal may have been received just before the app exited, although until returned nil
	}

	// The shutdown. A failed step does not prevent the later ones. With Grace, one budget,
	// which counts from shutdownStart, bounds all steps together.
	s.beginShutdown(err)
	if s.app.pid != 0 && !s.appExited() {
		s.drain(ctx)
		s.stopApp(ctx)
	}
	s.loop.onSignal = s.ignore
	s.reportOutOfMemory(ctx)
	s.endLeftovers(ctx)
	s.postStop(ctx)
	return s.finish(), s.reason
}

// stopOnEnd calls requestStop with SIGTERM when ctx ends, unless the shutdown has begun or
// the app has exited. It returns a context that does not end when ctx ends, because the
// shutdown must be able to wait after the end of ctx.
func stopOnEnd(ctx context.Context, s *supervisor) context.Context {
	context.AfterFunc(ctx, func() {
		s.loop.post(func() {
			if s.shutdownStart.IsZero() && !s.appExited() {
				s.requestStop(syscall.SIGTERM)
			}
		})
	})
	return context.WithoutCancel(ctx)
}

func newSupervisor(c Config, sys kernel) *supervisor {
	s := &supervisor{loop: newLoop(sys, c.Signals), cfg: c, budget: c.Budget(), began: time.Now(), resolver: &probes.Resolver{}}
	s.loop.onOrphan = func(pid int, e Exit) { s.emit(Event{Kind: OrphanReaped, PID: pid, Exit: e}) }
	s.loop.onStopped = s.childStopped
	s.loop.responsive = c.hasTargets() || c.Grace > 0
	s.loop.onFailed = func(pid int, name string, sig syscall.Signal, err error) {
		s.emit(Event{Kind: SignalFailed, PID: pid, Name: name, Signal: sig, Err: err})
	}
	if c.Readiness != nil {
		s.loop.questions = c.Readiness.questions
	}
	return s
}

// emitStartupWarnings warns of effects of this configuration or this environment that the
// user may not expect. It also makes usher a subreaper if usher is not PID 1.
func (s *supervisor) emitStartupWarnings(startCtx context.Context) {
	pid1, seesAll, err := s.loop.sys.becomeSubreaper()
	s.pid1 = pid1
	switch {
	case err != nil:
		s.warn("usher is not PID 1, and cannot become a subreaper: it neither reaps nor stops orphaned descendants: " + err.Error())
	case !pid1:
		s.emit(Event{Kind: Subreaper})
	}
	if !seesAll && s.cfg.Grace > 0 {
		s.warn("usher is not PID 1, and /proc does not show its PID namespace: at the deadline it can kill only the app's process group")
	}
	if s.cfg.DrainIdle > 0 {
		j := s.loop.spawn(func() error {
			_, err := s.loop.sys.network()
			return err
		})
		if s.loop.until(startCtx, j.hasEnded); j.err != nil {
			s.warn(cannotCount + j.err.Error())
		}
	}
	for _, text := range s.cfg.Warnings() {
		s.warn(text)
	}
}

func (s *supervisor) warn(text string) { s.emit(Event{Kind: Warned, Text: text}) }

func (s *supervisor) emit(e Event) {
	e.At, e.Phase = time.Since(s.began), s.phase
	if s.cfg.Observe != nil {
		s.cfg.Observe(e)
	}
}

func (s *supervisor) enter(p Phase) {
	s.phase = p
	s.emit(Event{Kind: Entered})
}

// finish is the last step of the shutdown. It sends SIGKILL to the process groups that have
// got SIGTERM and would get SIGKILL later (loop.pending), and passes the rest of the commands'
// output to Config.Output. Then it emits the event Exited with the summary, and returns the
// exit status.
func (s *supervisor) finish() int {
	for pgid := range s.loop.pending {
		s.loop.killPendingGroup(pgid)
	}
	if s.loop.reap(); s.cfg.Grace > 0 && !s.loop.noChildren && len(s.cfg.PostStop) > 0 {
		// Kill a post-stop hook that was still running at the deadline, and the processes that
		// post-stop hooks have left running.
		ctx, cancel := context.WithTimeout(context.Background(), settleTime)
		s.killLeftovers(ctx, true)
		cancel()
	}
	s.loop.sys.flushOutput()
	s.enter(Done)
	sum := &s.summary
	sum.Code, sum.Reason, sum.Started, sum.App, sum.Killed = s.code(), s.reason, s.app.pid != 0, s.app.exit, s.app.killed
	sum.NoApp = len(s.cfg.Command) == 0
	sum.AppLifetime, sum.Grace, sum.Shutdown = s.app.exited.Sub(s.app.started), s.cfg.Grace, time.Since(s.shutdownStart)
	s.emit(Event{Kind: Exited, Summary: sum})
	return sum.Code
}

// code returns usher's exit status. SuccessExit applies to an app that exited after a
// stop signal, not to an app that usher killed.
func (s *supervisor) code() int {
	code := codeOf(s.reason, s.app.pid != 0, s.app.exit)
	if s.stopSignalReceived() != 0 && s.app.pid != 0 && !s.app.killed && slices.Contains(s.cfg.SuccessExit, code) {
		return 0
	}
	return code
}

// stopSignalReceived returns the stop signal that began the shutdown, or 0.
func (s *supervisor) stopSignalReceived() syscall.Signal {
	var stop StopError
	if errors.As(s.reason, &stop) {
		return stop.Signal
	}
	return 0
}

// measure returns a function that sets d to the time since the call of measure:
//
//	defer measure(&d)()
func measure(d *time.Duration) func() {
	began := time.Now()
	return func() { *d = time.Since(began) }
}
