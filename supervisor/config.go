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

// Config describes one [Run]. If only Command is set, Run is a plain init: it starts
// the app, forwards signals, reaps orphans and returns the app's exit status.
type Config struct {
	Command []string // the app and its arguments, passed on unchanged; empty: Run starts no app
	Env     []string // the environment of the app and of all commands; nil: the caller's environment

	Wait        []probes.Target // all must be ready, or skipped if they are optional, before the pre-start hooks and the app are started
	WaitTimeout time.Duration   // the limit for all of Wait together; 0: no limit

	PreStart  []probes.Target // hooks, in order, before the app is started
	Ready     []probes.Target // probed from the start of the app until all are ready
	PostStart []probes.Target // hooks, in order, after all of Ready have become ready
	Drain     []probes.Target // hooks, in order, after a stop signal, while the app serves
	PostStop  []probes.Target // hooks, in order, before Run returns, also after a failure

	DrainDelay time.Duration // the time between the stop signal and the drain hooks, while the app keeps serving
	// DrainIdle: after the drain hooks the app keeps serving until no client waits for an
	// answer or for bytes, and for this long no client has sent or received a byte or opened
	// a connection. So a connection that is only kept open does not count. 0: the app is
	// stopped after the hooks. A client is a TCP connection to a port on which a process of
	// the container listened when the drain began.
	DrainIdle time.Duration
	// IdleExcept lists the ports on which this program itself listens; connections to them
	// are not clients of the app. IdleAccepted returns the number of connections accepted
	// on these ports so far; nil: this program accepts no connections. DrainIdle needs that
	// number, because the kernel counts accepted connections for all ports together.
	// IdleAccepted must be safe for concurrent use.
	IdleExcept   []uint16
	IdleAccepted func() int64

	StopSignal syscall.Signal   // the signal that stops the app; 0: the stop signal that usher received, or SIGTERM if there was none; NoSignal: none
	StopOn     []syscall.Signal // stop signals besides SIGTERM and SIGINT

	Grace       time.Duration // the time limit of the whole shutdown; 0: no limit, and no SIGKILL for the app and the leftovers
	StopReserve time.Duration // the minimum time between the app's stop signal and SIGKILL; 0: half of Grace, at most DefaultReserve

	// Exec: after the wait and the pre-start hooks Command replaces this process by
	// execve(2). Run then returns only if that fails.
	Exec bool

	Group       bool            // the signals for the app go to its whole process group
	Rewrite     signals.Rewrite // applied to the signals that are forwarded before the app gets its stop signal
	SuccessExit []int           // exit codes of the app that Run turns into 0 if a stop signal began the shutdown and usher did not kill the app

	// Readiness reports to other goroutines whether the app is ready, and whether it serves;
	// nil: not needed.
	Readiness *Readiness

	// Signals is an inbox that the caller has opened; nil: Run opens one. A program should
	// open the inbox in its first statement, because until then SIGTERM ends the program.
	Signals *signals.Inbox
	// Detach: after the start of the app usher closes the descriptors from 3 on that it
	// inherited and, if it is not PID 1, replaces stdin and stdout by /dev/null. Otherwise
	// a process that reads a pipe from the app would not get end of file until usher exits.
	// usher also changes its working directory to /, so that the file system of the old one
	// can be unmounted, unless chdir(2) could hang there, as on NFS or FUSE. Set Detach only in
	// a program that does nothing but Run.
	Detach bool

	// Self is a command that starts this program again with Exec and no other option, for
	// example "/proc/self/exe --exec --". If LISTEN_PID (sd_listen_fds(3)) is this process's
	// pid, Run appends the app's command to Self, and starts that. The new process sets
	// LISTEN_PID to its own pid, and then replaces itself by the app, which keeps that pid.
	// nil: LISTEN_PID is not changed.
	Self []string

	// Observe is called for every event, always from the goroutine of Run.
	Observe func(Event)
	// Output is called for each line that a command of a hook or a probe prints. Each
	// command has its own goroutine for these calls. Output must not block. nil: the
	// output is dropped.
	Output func(Line)
}

// NoSignal is a value of Config.StopSignal: the app gets no stop signal, because
// something else stops it, such as a drain hook. An app that is still running at the
// deadline gets SIGKILL.
const NoSignal syscall.Signal = -1

// A FieldError is one error in a Config.
type FieldError struct {
	Field string // the field that is wrong
	text  string // the message, with $ in front of each field's name
}

// Error returns the message with the names of Config's fields.
func (e *FieldError) Error() string { return e.Text(func(field string) string { return field }) }

// Text returns the message with name(field) in place of each field's name. So a program
// that fills a Config from flags can print the names of its flags.
func (e *FieldError) Text(name func(field string) string) string { return os.Expand(e.text, name) }

// Fields returns Field and the names of all fields that the message mentions.
func (e *FieldError) Fields() []string {
	fields := []string{e.Field}
	e.Text(func(field string) string {
		fields = append(fields, field)
		return ""
	})
	return fields
}

// A validation collects the errors in a Config.
type validation struct{ errs *multierror.Error }

// addError adds an error about a field. In format, a field's name has a $ in front, as in
// $Grace, so that FieldError.Text can print the name of a flag instead.
func (v *validation) addError(field, format string, args ...any) {
	v.errs = multierror.Append(v.errs, &FieldError{field, fmt.Sprintf(format, args...)})
}

// Validate returns all errors in c at once, as a *multierror.Error of *FieldError; nil
// if there are none.
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
	if !negative { // sums of negative durations would give misleading messages
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

// validateDeadline rejects fields that need a grace period if there is none, and
// durations whose sum exceeds the grace period.
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
	if sum := c.written(); sum > c.Grace {
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

// validateExec rejects fields that act after the start of the app, because with Exec the
// app has replaced usher by then.
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

// enough returns, formatted with format, the shortest grace period in whole seconds that is at
// least the sum of the durations that the user wrote, and whose Budget.Drain is at least
// drainNeeds. If the written durations add up to more than a day, enough returns "", because
// the search, in steps of a second, would take long.
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

// Warnings returns one line for each setting that is valid but will not work as the user
// probably expects. At present there is only one such setting: a drain that must end early.
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

// hasTargets reports whether there are any probes or hooks.
func (c *Config) hasTargets() bool {
	return len(c.Wait)+len(c.PreStart)+len(c.Ready)+len(c.PostStart)+len(c.Drain)+len(c.PostStop) > 0
}
