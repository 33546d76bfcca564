package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

// A flagRow is one row of the flag table. The table defines how the command line and the
// environment are parsed, and the texts of --help and usher(1). To add a flag, add a row
// and the code that implements the flag, then run "make docs".
type flagRow struct {
	name    string
	short   string // one letter, or ""
	arg     string // placeholder of the value in --help and usher(1); "": the flag is a switch
	section string
	traits  trait
	field   string // the field of supervisor.Config that set writes (--health writes a second one); "": none

	// help is the description in --help, without a full stop. In usher(1) it is the first
	// sentence; the field more holds the sentences after it. Literal words are in backquotes.
	// Sentences about traits, such as "Needs --grace.", are generated.
	help, more string

	// set parses one value and stores the result in the options. The caller puts the name of
	// the flag or variable in front of the error. The error shows no more of the value than
	// probes.Redact returns, because the rest may be secret.
	set func(o *options, value string) error
}

// A trait is a property that several flags share. Each trait is one bit, so that a flag can
// have several.
type trait int

const (
	repeatable   trait = 1 << iota // may be given several times
	noVariable                     // has no environment variable
	needsGrace                     // is refused without --grace
	needsApp                       // is refused without a command
	actsAfter                      // takes effect after the app's start, so it is refused with --exec
	withAnything                   // may be combined with --probe and --install
	anyText                        // its value may contain :// or =; without this trait, such a value is refused as a misplaced target
)

func (f *flagRow) is(t trait) bool { return f.traits&t != 0 }

// variable returns the name of the flag's environment variable.
func (f *flagRow) variable() string {
	return "USHER_" + strings.ToUpper(strings.ReplaceAll(f.name, "-", "_"))
}

// Sections of --help and usher(1).
const (
	beforeApp   = "Before the app starts"
	whileApp    = "While the app runs"
	afterStop   = "After a stop signal"
	signalsCode = "Signals and exit code"
	onStderr    = "Output, on stderr"
	other       = "Other"
)

// defaultWaitTimeout is the default of --wait-timeout. If a dependency is missing, the
// container exits after this time instead of waiting forever, and the platform shows the
// restart.
const defaultWaitTimeout = 60 * time.Second

// flags is the flag table. The flags for phases come first, in the order of the timeline.
// --help, usher(1) and the errors about values follow the order of the table.
var flags = []flagRow{
	{name: "wait", arg: "TARGET", section: beforeApp, traits: repeatable | anyText, field: "Wait",
		set:  addTarget(probes.ForWait, func(c *supervisor.Config) *[]probes.Target { return &c.Wait }),
		help: "probe until it is ready; all `--wait` targets at the same time"},
	{name: "wait-timeout", arg: "D", section: beforeApp, field: "WaitTimeout",
		set:  setDuration(func(c *supervisor.Config) *time.Duration { return &c.WaitTimeout }),
		help: "limit of all `--wait` targets together (60s); then exit 124"},
	{name: "pre-start", arg: "TARGET", section: beforeApp, traits: repeatable | anyText, field: "PreStart",
		set:  addTarget(probes.ForStart, func(c *supervisor.Config) *[]probes.Target { return &c.PreStart }),
		help: "hook, run in order; if one fails: exit 125, and the app is not started"},
	{name: "exec", section: beforeApp, traits: needsApp, field: "Exec",
		set:  setBool(func(o *options) *bool { return &o.config.Exec }),
		help: "replace usher with the app (execve): no forwarding, reaping, draining or stopping afterwards",
		more: "The app has usher's process ID. A signal that was received before and did not end the wait is lost, with a warning."},

	{name: "ready", arg: "TARGET", section: whileApp, traits: repeatable | needsApp | actsAfter | anyText, field: "Ready",
		set:  addTarget(probes.ForReady, func(c *supervisor.Config) *[]probes.Target { return &c.Ready }),
		help: "probe until it is ready; if its `within=` expires: stop the app, exit 124",
		more: "If NOTIFY_SOCKET is set, usher also notifies systemd or podman, and the app does not get this variable."},
	{name: "post-start", arg: "TARGET", section: whileApp, traits: repeatable | needsApp | actsAfter | anyText, field: "PostStart",
		set:  addTarget(probes.ForStart, func(c *supervisor.Config) *[]probes.Target { return &c.PostStart }),
		help: "hook, run in order once the `--ready` targets are ready; if one fails: stop the app, exit 125"},
	{name: "health", arg: "ADDR", section: whileApp, traits: needsApp | actsAfter, field: "Readiness",
		set:  setHealth,
		help: "serve HTTP at `:PORT` or `IP:PORT`: `/livez` 200; `/readyz` 200 while the `--ready` targets are ready, 503 before that and from the start of the shutdown; `/servingz` the same, but 503 only from the app's stop signal on",
		more: "`/livez` is for a livenessProbe: it is 200 as long as usher runs, also while it waits. " +
			"`/readyz` is for load balancers that request it themselves: from the start of the shutdown its 503 tells them to send requests elsewhere, while the app still serves. " +
			"`/servingz` is for a readinessProbe of Kubernetes, which takes a pod out of its Services when it deletes the pod, and sends requests to it only if no other pod is left and this one is still ready: so it is 200 until the app gets its stop signal or exits. " +
			"The targets are probed when `/readyz` or `/servingz` is requested, at most once a second, however many requests there are. " +
			"During the drain they are not probed, because a probe would be a client for `--drain-idle`; `/servingz` keeps the last result from before. " +
			"The body of a 503 gives the reason: the app has not started, is not ready, a target failed, or the shutdown has started. Only the log names the target. " +
			"If 64 open connections have not sent a request, the oldest of them are closed."},

	{name: "drain-delay", arg: "D", section: afterStop, traits: needsGrace | needsApp | actsAfter, field: "DrainDelay",
		set:  setDuration(func(c *supervisor.Config) *time.Duration { return &c.DrainDelay }),
		help: "the app keeps serving for this long",
		more: "In that time load balancers and clients stop sending new requests to it."},
	{name: "drain", arg: "TARGET", section: afterStop, traits: repeatable | needsGrace | needsApp | actsAfter | anyText, field: "Drain",
		set:  addTarget(probes.ForEnd, func(c *supervisor.Config) *[]probes.Target { return &c.Drain }),
		help: "hook, run in order while the app still serves"},
	{name: "drain-idle", arg: "D", section: afterStop, traits: needsGrace | needsApp | actsAfter, field: "DrainIdle",
		set:  setDuration(func(c *supervisor.Config) *time.Duration { return &c.DrainIdle }),
		help: "after the hooks, the app keeps serving until no request is open and no client has been active for this long",
		more: "It lasts at most until the end of the drain's share of `--grace`. " +
			"A request is open until the client has received the whole answer. A client is active if it sends or receives a byte, or opens a connection. " +
			"Connections that are only kept open do not count. The section IDLE CLIENTS says how usher sees that, which clients count, and which time to choose."},
	{name: "stop-signal", arg: "SIG", section: afterStop, traits: needsApp | actsAfter, field: "StopSignal",
		set:  setStopSignal,
		help: "the signal that stops the app; default: the stop signal that usher received; `none`: no signal",
		more: "With `none`, a drain hook must stop the app, else the deadline does; `--grace` is then needed."},
	{name: "stop-on", arg: "SIG", section: afterStop, traits: repeatable, field: "StopOn",
		set:  addStopOn,
		help: "a stop signal in addition to TERM and INT: the image's STOPSIGNAL",
		more: "The STOPSIGNAL is QUIT for nginx and php-fpm, WINCH for httpd, USR1 for haproxy."},
	{name: "grace", arg: "D", section: afterStop, traits: actsAfter, field: "Grace",
		set:  setDuration(func(c *supervisor.Config) *time.Duration { return &c.Grace }),
		help: "one deadline for the whole shutdown: 25s under Kubernetes (30s), 8s under docker stop (10s); without it nothing is ever killed"},
	{name: "stop-reserve", arg: "D", section: afterStop, traits: needsGrace | needsApp | actsAfter, field: "StopReserve",
		set:  setStopReserve,
		help: "time that the app always has between its stop signal and SIGKILL; default: half of `--grace`, at most 10s"},
	{name: "post-stop", arg: "TARGET", section: afterStop, traits: repeatable | actsAfter | anyText, field: "PostStop",
		set:  addTarget(probes.ForEnd, func(c *supervisor.Config) *[]probes.Target { return &c.PostStop }),
		help: "hook, run in order on every way out, also after a crash or a failed wait"},

	{name: "group", section: signalsCode, traits: needsApp | actsAfter, field: "Group",
		set:  setBool(func(o *options) *bool { return &o.config.Group }),
		help: "send signals to the app's whole process group; not for prefork servers",
		more: "The master of a prefork server (gunicorn, celery, php-fpm, Apache) lets its workers finish; with `--group` they would get the signal too, and stop at once. " +
			"For a script that starts programs use `--grace` instead."},
	{name: "rewrite", arg: "FROM:TO", section: signalsCode, traits: repeatable | needsApp | actsAfter, field: "Rewrite",
		set:  addRewrite,
		help: "forward signal TO instead of FROM; 0 drops it; not for stop signals",
		more: "It does not change the signal that stops the app; `--stop-signal` does."},
	{name: "success-exit", arg: "N,...", section: signalsCode, traits: needsApp | actsAfter, field: "SuccessExit",
		set:  setSuccessExit,
		help: "these exit codes of an app that was stopped by a stop signal become 0",
		more: "For example `130,143`. The code of an app that usher had to kill is never changed."},

	{name: "log", arg: "text|json", section: onStderr, traits: withAnything,
		set:  setLog,
		help: "format of the log; default: text"},
	{name: "quiet", section: onStderr, traits: withAnything,
		set:  setBool(func(o *options) *bool { return &o.quiet }),
		help: "only errors, and what hooks print"},
	{name: "verbose", section: onStderr, traits: withAnything,
		set:  setBool(func(o *options) *bool { return &o.verbose }),
		help: "also every attempt and every reaped orphan"},
	{name: "termination-log", arg: "FILE", section: onStderr, traits: anyText,
		set:  setTerminationLog,
		help: "also write usher's errors to this file, if it exists and the app has left it empty; default: /dev/termination-log",
		more: "Errors are, for example, a wait that timed out, a hook that failed, a command that was not found, SIGKILL at the deadline. At most 4096 bytes are written. The path must be absolute. " +
			"The kubelet creates /dev/termination-log, and `kubectl describe pod` shows its content as the Message of the terminated container."},

	{name: "plan", section: other,
		set:  setBool(func(o *options) *bool { return &o.plan }),
		help: "print the timeline with its times, and warnings, and start nothing"},
	{name: "probe", arg: "TARGET", section: other, traits: repeatable | noVariable | anyText,
		set: func(o *options, value string) error {
			target, err := o.parseTarget(value, probes.ForProbe)
			o.probe = append(o.probe, target)
			return err
		},
		help: "probe once, for 1s at most: exit 0 if it is ready, else 1 with the reason",
		more: "Several targets are probed at the same time, and all must be ready. `timeout=` changes the limit. " +
			"It is for a HEALTHCHECK, or for an exec probe in an image without a shell. It can be combined only with the flags of the log, and ignores the variables of the flags."},
	{name: "install", arg: "PATH", section: other, traits: noVariable | anyText,
		set:  setInstall,
		help: "copy usher to PATH, or into it if it is a directory",
		more: "So an init container can add usher to another image. The copy has mode 0755, and is renamed to its place when it is complete. " +
			"A regular file is replaced; anything else is refused. It can be combined only with the flags of the log, and reads no environment variables."},
	{name: "version", section: other, traits: noVariable,
		set:  setBool(func(o *options) *bool { return &o.version }),
		help: "print the version, whatever else is given"},
	{name: "help", short: "h", section: other, traits: noVariable,
		set:  setBool(func(o *options) *bool { return &o.help }),
		help: "print this help, whatever else is given"},
}

// findFlag returns the row of a flag, or nil if there is none.
func findFlag(name string) *flagRow {
	return findFlagBy(func(f *flagRow) bool { return f.name == name })
}

// flagOfField returns the row of the flag that sets a field of supervisor.Config, or nil.
func flagOfField(field string) *flagRow {
	return findFlagBy(func(f *flagRow) bool { return f.field == field })
}

func findFlagBy(match func(*flagRow) bool) *flagRow {
	for i := range flags {
		if match(&flags[i]) {
			return &flags[i]
		}
	}
	return nil
}

// flagsWith lists the flags that have a trait.
func flagsWith(t trait) (names []string) {
	for _, f := range flags {
		if f.is(t) {
			names = append(names, "--"+f.name)
		}
	}
	return names
}

// addTarget returns a function for flagRow.set. The function appends a target to a list of
// the config.
func addTarget(use probes.Use, list func(*supervisor.Config) *[]probes.Target) func(*options, string) error {
	return func(o *options, value string) error {
		target, err := o.parseTarget(value, use)
		if err == nil {
			all := list(&o.config)
			*all = append(*all, target)
		}
		return err
	}
}

func setDuration(field func(*supervisor.Config) *time.Duration) func(*options, string) error {
	return func(o *options, value string) (err error) {
		*field(&o.config), err = probes.ParseDuration(value)
		return err
	}
}

func setBool(field func(*options) *bool) func(*options, string) error {
	return func(o *options, value string) error {
		if !slices.Contains([]string{"true", "false", "1", "0"}, value) {
			return fmt.Errorf("%s is not a boolean: write true, false, 1 or 0", quote(value, ""))
		}
		*field(o) = isTrue(value)
		return nil
	}
}

func isTrue(value string) bool { return value == "true" || value == "1" }

// setHealth refuses a host name, because it would need a lookup, and port 0, because
// clients could not find out which port the kernel chose.
func setHealth(o *options, value string) error {
	host, digits, err := net.SplitHostPort(value)
	port, portErr := strconv.ParseUint(digits, 10, 16)
	if _, ipErr := netip.ParseAddr(host); err != nil || host != "" && ipErr != nil || portErr != nil || port == 0 {
		return fmt.Errorf("%s is not an address to listen on: write :PORT or IP:PORT, as in :8086 or 127.0.0.1:8086", quoteAddress(value))
	}
	o.health, o.config.Readiness = value, supervisor.NewReadiness()
	o.config.IdleExcept = []uint16{uint16(port)} // so that --drain-idle does not count health checks as clients of the app
	return nil
}

func setStopSignal(o *options, value string) (err error) {
	if value == "none" {
		o.config.StopSignal = supervisor.NoSignal
		return nil
	}
	o.config.StopSignal, err = parseSignal(value)
	return err
}

func addStopOn(o *options, value string) error {
	if strings.Contains(value, ",") {
		return errors.New("takes one signal: write --stop-on for each, as in --stop-on QUIT --stop-on USR1")
	}
	sig, err := parseSignal(value)
	if err == nil {
		err = signals.CheckReceivable(sig)
	}
	if err == nil {
		o.config.StopOn = append(o.config.StopOn, sig)
	}
	return err
}

// setStopReserve refuses 0, because 0 in Config.StopReserve means the default.
func setStopReserve(o *options, value string) error {
	d, err := probes.ParseDuration(value)
	if err == nil && d == 0 {
		return errors.New("must be greater than 0: leave the flag out for the default, half of --grace, at most 10s")
	}
	o.config.StopReserve = d
	return err
}

func addRewrite(o *options, value string) error {
	from, to, err := signals.ParseRewrite(redactRewrite(value))
	if err != nil {
		return err
	}
	if _, ok := o.config.Rewrite[from]; ok {
		return fmt.Errorf("%s is rewritten twice", signals.Name(from))
	}
	if o.config.Rewrite == nil {
		o.config.Rewrite = signals.Rewrite{}
	}
	o.config.Rewrite[from] = to
	return nil
}

func setSuccessExit(o *options, value string) error {
	var errs []error
	for _, text := range strings.Split(value, ",") {
		text = strings.TrimSpace(text)
		code, err := strconv.ParseUint(text, 10, 8)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is not an exit code: write numbers from 0 to 255, as in 143 or 130,143", quote(text, "+-")))
			continue
		}
		o.config.SuccessExit = append(o.config.SuccessExit, int(code))
	}
	return errors.Join(errs...)
}

func setLog(o *options, value string) error {
	if value != "text" && value != "json" {
		return fmt.Errorf("%s is not a format: write text or json", quote(value, ""))
	}
	o.json = value == "json"
	return nil
}

// setTerminationLog refuses a relative path, because usher changes its working
// directory once the app has started.
func setTerminationLog(o *options, value string) error {
	if !path.IsAbs(value) {
		return fmt.Errorf("needs an absolute path, such as %s", defaultTerminationLog)
	}
	o.terminationLog = value
	return nil
}

func setInstall(o *options, value string) error {
	if value == "" {
		return errors.New("needs the path of a directory or a file")
	}
	o.install = value
	return nil
}

// quote quotes a wrong value for an error. It shows at most 40 characters, and stops at the
// first one that is neither a letter, a digit nor in allowed (see probes.Redact), because the
// value may be a secret that was meant for another flag. allowed holds the other characters
// that a correct value may contain.
func quote(value, allowed string) string { return fmt.Sprintf("%.40q", probes.Redact(value, allowed)) }

// quoteAddress quotes a wrong address for an error. If the text after the last colon is not a
// number, the value may hold a password, which may itself contain colons. So quoteAddress then
// shows only the text before the first colon.
func quoteAddress(value string) string {
	const host = ".-_[]%"
	if port := value[strings.LastIndexByte(value, ':')+1:]; strings.Trim(port, "0123456789") == "" {
		return quote(value, host+":")
	}
	return quote(value, host)
}

// parseSignal parses a signal. It first calls probes.Redact, so that the error contains no
// secret. Redact does not change a valid signal.
func parseSignal(value string) (syscall.Signal, error) {
	return signals.Parse(probes.Redact(value, "+-"))
}

// redactRewrite redacts the value FROM:TO of --rewrite. If FROM is not a signal, it removes
// TO, because the value may be USER:PASSWORD.
func redactRewrite(value string) string {
	from, _, colon := strings.Cut(value, ":")
	if _, err := signals.Parse(from); colon && err != nil {
		return probes.Redact(from, "+-") + ":…"
	}
	return probes.Redact(value, ":+-")
}
