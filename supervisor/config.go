package supervisor

import (
	"fmt"
	"syscall"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// Config is a life to be lived. Its zero value, with a Command, is a plain
// init: it starts the app, forwards signals, reaps orphans and exits as it does.
type Config struct {
	Command []string // the app, byte for byte; empty: only wait
	Env     []string // for the app and all hooks; nil means the caller's own

	Wait        []probes.Target // all must say yes before anything starts
	WaitTimeout time.Duration   // for all of Wait together; 0 means no limit

	PreStart  []probes.Target // hooks, in order, before the app
	Ready     []probes.Target // asked while the app runs
	PostStart []probes.Target // hooks, in order, once Ready says yes
	Drain     []probes.Target // hooks, in order, after a stop signal, while the app serves
	PostStop  []probes.Target // hooks, in order, on every way out

	DrainDelay time.Duration // the app goes on serving this long after the stop signal
	// DrainIdle: after the drain hooks the app goes on serving until for so long no
	// TCP connection to a port that was listened at in its network namespace has been
	// open, but at the ports of IdleExcept; 0: it does not.
	DrainIdle  time.Duration
	IdleExcept []uint16

	StopSignal syscall.Signal   // what the app gets at the stop; 0: the signal that began it; NoSignal: nothing
	StopOn     []syscall.Signal // stop signals beside SIGTERM and SIGINT

	Grace       time.Duration // one deadline for the whole end; 0: none, and nothing is ever killed
	StopReserve time.Duration // what the app always gets between stop signal and SIGKILL; 0: half of Grace, at most DefaultReserve

	// Exec: the process is replaced by Command, by execve(2), once the waiting and
	// the pre-start hooks are over. Run then returns only if that fails.
	Exec bool

	Group       bool            // signals go to the app's whole process group
	Rewrite     signals.Rewrite // what is forwarded outside the stop
	SuccessExit []int           // codes of an app stopped by a stop signal that become 0

	// Readiness is what other goroutines ask whether the app is ready; nil: nobody
	// can.
	Readiness *Readiness

	// Signals is the inbox that the caller opened as its first statement; nil:
	// Run opens one. A Go process that has none dies of SIGTERM.
	Signals *signals.Inbox
	// Detach: once the app runs, usher leaves the working directory for / and lets
	// go of stdin, stdout and every descriptor it inherited, so that nobody who
	// waits for the app's end of them waits for usher. For a process that is
	// nothing but an init.
	Detach bool

	// Self is how this program itself is run as one that does nothing but Exec of
	// what follows: "/proc/self/exe --exec --". So an app is started whose
	// LISTEN_PID (sd_listen_fds(3)) is this process's, to find its own pid there;
	// nil: it stays as it is.
	Self []string

	// Observe is called for every event, always from the goroutine of Run.
	Observe func(Event)
	// Output is called for each line that a command of a hook or a probe prints,
	// from a goroutine of its own; it must not block. nil drops the output.
	Output func(Line)
}

// NoSignal as Config.StopSignal: the app gets no stop signal, because something else
// ends it, such as a drain hook. Only the deadline ends it otherwise.
const NoSignal syscall.Signal = -1

// Validate reports every mistake at once, as a *multierror.Error whose messages
// name the flags of the usher command; nil when there is none.
func (c *Config) Validate() error {
	var all *multierror.Error
	wrong := func(format string, args ...any) { all = multierror.Append(all, fmt.Errorf(format, args...)) }

	if len(c.Command) == 0 && len(c.Wait) == 0 {
		wrong("no command (ENTRYPOINT clears the image's CMD)")
	}
	negative := false
	for _, d := range []struct {
		flag string
		time.Duration
	}{{"--wait-timeout", c.WaitTimeout}, {"--drain-delay", c.DrainDelay}, {"--drain-idle", c.DrainIdle}, {"--grace", c.Grace}, {"--stop-reserve", c.StopReserve}} {
		if d.Duration < 0 {
			negative = true
			wrong("%s: %v is negative", d.flag, d.Duration)
		}
	}
	if !negative { // else the sums mean nothing
		c.validateDeadline(wrong)
	}
	c.validateSignals(wrong)
	c.validateExec(wrong)
	for _, code := range c.SuccessExit {
		if code < 0 || code > 255 {
			wrong("--success-exit: %d is no exit status: write numbers from 0 to 255, such as 143", code)
		}
	}
	return all.ErrorOrNil()
}

// validateDeadline refuses what cannot come true: a part without the whole, and
// written numbers that add up to more than the whole.
func (c *Config) validateDeadline(wrong func(string, ...any)) {
	if c.Grace == 0 {
		const advice = "%s needs --grace: 25s under Kubernetes' 30s, 8s under docker stop's 10s"
		if c.DrainDelay > 0 {
			wrong(advice, "--drain-delay")
		}
		if len(c.Drain) > 0 {
			wrong(advice, "--drain")
		}
		if c.DrainIdle > 0 {
			wrong(advice, "--drain-idle")
		}
		if c.StopReserve > 0 {
			wrong(advice, "--stop-reserve")
		}
		return
	}
	if sum := c.written(); c.Grace > 0 && sum > c.Grace {
		wrong("--grace %v is too short for what it must hold: --drain-delay, --drain-idle, --stop-reserve and the hooks' timeout= add up to %v: raise --grace%s, or shorten them", c.Grace, sum, c.enough(" to %v"))
	}
}

func (c *Config) validateSignals(wrong func(string, ...any)) {
	if c.StopSignal == NoSignal && c.Grace == 0 {
		wrong("--stop-signal none needs --grace: without a signal only the deadline ends an app that nothing else ends")
	}
	if c.StopSignal != 0 && c.StopSignal != NoSignal && !validSignal(c.StopSignal) {
		wrong("--stop-signal: %d is no signal: write a name such as QUIT, or a number from 1 to 64", int(c.StopSignal))
	}
	for _, sig := range c.StopOn {
		if err := signals.Receivable(sig); err != nil {
			wrong("--stop-on: %w: choose another, such as QUIT", err)
		}
	}
	stops := append([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT}, c.StopOn...)
	for _, sig := range stops {
		if _, ok := c.Rewrite[sig]; ok {
			wrong("--rewrite: %s is a stop signal: use --stop-signal to say what the app gets for it", signals.Name(sig))
		}
	}
}

// validateExec refuses what nobody would be there to do.
func (c *Config) validateExec(wrong func(string, ...any)) {
	if !c.Exec {
		return
	}
	for _, act := range []struct {
		flag  string
		given bool
	}{
		{"--ready", len(c.Ready) > 0}, {"--post-start", len(c.PostStart) > 0},
		{"--drain-delay", c.DrainDelay > 0}, {"--drain", len(c.Drain) > 0}, {"--drain-idle", c.DrainIdle > 0}, {"--post-stop", len(c.PostStop) > 0},
		{"--stop-signal", c.StopSignal != 0}, {"--grace", c.Grace > 0}, {"--stop-reserve", c.StopReserve > 0},
		{"--group", c.Group}, {"--rewrite", len(c.Rewrite) > 0}, {"--success-exit", len(c.SuccessExit) > 0},
		{"--health", c.Readiness != nil},
	} {
		if act.given {
			wrong("%s: with --exec the app takes usher's place, and nobody is left to do this: leave one of them out", act.flag)
		}
	}
}

func validSignal(sig syscall.Signal) bool { return sig >= 1 && sig <= 64 }

// enough names the shortest grace period, in whole seconds, in which all written
// numbers hold, and the defaults beside them; "" if it is more than a day.
func (c *Config) enough(format string) string {
	all := *c
	all.Grace = c.written()
	if all.Grace > 24*time.Hour {
		return ""
	}
	all.Grace = (all.Grace + time.Second - 1).Truncate(time.Second)
	for all.drainNeeds() > all.Budget().Drain {
		all.Grace += time.Second
	}
	return fmt.Sprintf(format, all.Grace)
}

// Warnings is what is allowed but will surprise: a line each.
func (c *Config) Warnings() []string {
	if c.Grace == 0 {
		return nil
	}
	var all []string
	b := c.Budget()
	if need := c.drainNeeds(); need > b.Drain {
		all = append(all, fmt.Sprintf("the drain may take %v by its numbers but ends after %v: --grace %v keeps %v for the app (--stop-reserve) and %v for post-stop%s",
			need, b.Drain, c.Grace, b.Reserve, b.Grace-b.Kill, c.enough("; all of it would need %v")))
	}
	return all
}
