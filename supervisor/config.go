package supervisor

import (
	"fmt"
	"os"
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

// A FieldError is one mistake in a Config.
type FieldError struct {
	Field string // the field that is wrong
	text  string // with $Name for each field that it mentions
}

// Error calls the fields by their names in Config.
func (e *FieldError) Error() string { return e.Text(func(field string) string { return field }) }

// Text is the message with other names for the fields: a program that fills a Config
// from flags, or from a file, can call them as its user does.
func (e *FieldError) Text(name func(field string) string) string { return os.Expand(e.text, name) }

// Fields returns every field that the mistake depends on, Field among them.
func (e *FieldError) Fields() []string {
	fields := []string{e.Field}
	e.Text(func(field string) string {
		fields = append(fields, field)
		return ""
	})
	return fields
}

// A validation collects the mistakes in a Config.
type validation struct{ errs *multierror.Error }

// addError reports a field. In format, $Name stands for the name of a field.
func (v *validation) addError(field, format string, args ...any) {
	v.errs = multierror.Append(v.errs, &FieldError{field, fmt.Sprintf(format, args...)})
}

// Validate reports every mistake at once, as a *multierror.Error that holds a
// *FieldError for each; nil when there is none.
func (c *Config) Validate() error {
	var v validation
	if len(c.Command) == 0 && len(c.Wait) == 0 {
		v.addError("Command", "no command (ENTRYPOINT clears the image's CMD)")
	}
	negative := false
	for _, d := range []struct {
		field string
		time.Duration
	}{
		{"WaitTimeout", c.WaitTimeout}, {"DrainDelay", c.DrainDelay}, {"DrainIdle", c.DrainIdle},
		{"Grace", c.Grace}, {"StopReserve", c.StopReserve},
	} {
		if d.Duration < 0 {
			negative = true
			v.addError(d.field, "$%s: %v is negative", d.field, d.Duration)
		}
	}
	if !negative { // else the sums mean nothing
		c.validateDeadline(&v)
	}
	c.validateSignals(&v)
	c.validateExec(&v)
	for _, code := range c.SuccessExit {
		if code < 0 || code > 255 {
			v.addError("SuccessExit", "$SuccessExit: %d is not an exit code: write numbers from 0 to 255, such as 143", code)
		}
	}
	return v.errs.ErrorOrNil()
}

// validateDeadline refuses what needs a grace period where there is none, and
// written numbers that add up to more than the grace period.
func (c *Config) validateDeadline(v *validation) {
	if c.Grace == 0 {
		for _, part := range []struct {
			field string
			given bool
		}{
			{"DrainDelay", c.DrainDelay > 0}, {"Drain", len(c.Drain) > 0},
			{"DrainIdle", c.DrainIdle > 0}, {"StopReserve", c.StopReserve > 0},
		} {
			if part.given {
				v.addError(part.field, "$%s needs $Grace: 25s under Kubernetes' 30s, 8s under docker stop's 10s", part.field)
			}
		}
		return
	}
	if sum := c.written(); c.Grace > 0 && sum > c.Grace {
		v.addError("Grace", "$Grace %v is too short: $DrainDelay, $DrainIdle, $StopReserve and the timeout= of the hooks add up to %v: raise $Grace%s, or shorten them",
			c.Grace, sum, c.enough(" to %v"))
	}
}

func (c *Config) validateSignals(v *validation) {
	if c.StopSignal == NoSignal && c.Grace == 0 {
		v.addError("StopSignal", "$StopSignal none needs $Grace: without a signal, only the deadline stops an app that nothing else stops")
	}
	if c.StopSignal != 0 && c.StopSignal != NoSignal && !validSignal(c.StopSignal) {
		v.addError("StopSignal", "$StopSignal: %d is not a signal: write a name such as QUIT, or a number from 1 to 64", int(c.StopSignal))
	}
	for _, sig := range c.StopOn {
		if err := signals.CheckReceivable(sig); err != nil {
			v.addError("StopOn", "$StopOn: %v: choose another, such as QUIT", err)
		}
	}
	stops := append([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT}, c.StopOn...)
	for _, sig := range stops {
		if _, ok := c.Rewrite[sig]; ok {
			v.addError("Rewrite", "$Rewrite: %s is a stop signal: use $StopSignal for the signal that the app gets instead", signals.Name(sig))
		}
	}
}

// validateExec refuses what usher does after the start, because after Exec it no
// longer exists.
func (c *Config) validateExec(v *validation) {
	if !c.Exec {
		return
	}
	for _, act := range []struct {
		field string
		given bool
	}{
		{"Ready", len(c.Ready) > 0}, {"PostStart", len(c.PostStart) > 0}, {"Readiness", c.Readiness != nil},
		{"DrainDelay", c.DrainDelay > 0}, {"Drain", len(c.Drain) > 0}, {"DrainIdle", c.DrainIdle > 0},
		{"StopSignal", c.StopSignal != 0}, {"Grace", c.Grace > 0}, {"StopReserve", c.StopReserve > 0},
		{"PostStop", len(c.PostStop) > 0}, {"Group", c.Group}, {"Rewrite", len(c.Rewrite) > 0}, {"SuccessExit", len(c.SuccessExit) > 0},
	} {
		if act.given {
			v.addError(act.field, "$%s cannot be combined with $Exec: it acts after the app has replaced usher: leave one of them out", act.field)
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

// Warnings returns what is allowed but will surprise, one line each.
func (c *Config) Warnings() []string {
	if c.Grace == 0 {
		return nil
	}
	var all []string
	b := c.Budget()
	if need := c.drainNeeds(); need > b.Drain {
		all = append(all, fmt.Sprintf("the drain may need %v, but must end after %v: of the grace period of %v, %v are reserved for the app and %v for post-stop%s",
			need, b.Drain, c.Grace, b.Reserve, b.Grace-b.Kill, c.enough("; all of it would need %v")))
	}
	return all
}

// hasTargets reports whether there is anything to probe or to run beside the app.
func (c *Config) hasTargets() bool {
	return len(c.Wait)+len(c.PreStart)+len(c.Ready)+len(c.PostStart)+len(c.Drain)+len(c.PostStop) > 0
}
