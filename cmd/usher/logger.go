package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/supervisor"
)

// logger prints events to stderr, as text or as JSON.
type logger struct {
	out      *output
	json     *slog.Logger // nil: text
	jsonHook *slog.Logger // for the output of hooks
	least    slog.Level
	app      string
	grace    time.Duration

	progress    *progressLine // nil: there is none
	termination terminationMessage
}

func newLogger(out *output, o options) *logger {
	// The standard library's package log would print to stderr in its own form, and
	// would block.
	stdlog.SetOutput(io.Discard)
	l := &logger{out: out, least: levelWarning, grace: o.config.Grace, termination: terminationMessage{path: o.terminationLog}}
	if len(o.config.Command) > 0 {
		l.app = probes.CommandName(o.config.Command[0])
	}
	switch {
	case o.quiet:
		l.least = levelError
	case o.verbose:
		l.least = levelDebug
	case hasDuties(&o.config) || o.install != "":
		l.least = levelInfo
	}
	if !o.json && l.least == levelInfo && out.isTerminal() {
		l.progress = &progressLine{out: out}
	}
	if o.json {
		l.json, l.jsonHook = newJSONLog(out), newJSONLog(out.hooks())
		out.setNotice(jsonNotice)
	}
	return l
}

// hasDuties reports whether usher is asked for more than an init does. Only then it
// logs what succeeds: otherwise stderr is the app's alone.
func hasDuties(c *supervisor.Config) bool {
	targets := len(c.Wait) + len(c.PreStart) + len(c.Ready) + len(c.PostStart) + len(c.Drain) + len(c.PostStop)
	return targets > 0 || c.Grace > 0 || c.Readiness != nil
}

func newJSONLog(to io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: levelDebug}))
}

// observe logs an event of package supervisor.
func (l *logger) observe(e supervisor.Event) {
	if l.progress != nil {
		l.progress.observe(&e)
		if e.Kind == supervisor.WaitProgress {
			return // the progress line shows it all the time
		}
	}
	l.log(e)
	if e.Kind == supervisor.StartupFailed {
		l.pending(&e)
	}
}

// log prints an event as its row says.
func (l *logger) log(e supervisor.Event) {
	r := rowOf(&e)
	if r.event == "" || r.level < l.least {
		return
	}
	text := r.message(l, &e)
	if r.level == levelError {
		l.termination.add(text)
	}
	if l.json == nil {
		l.out.Write([]byte("usher: " + levelWord(r.level) + text + "\n"))
		return
	}
	l.json.LogAttrs(context.Background(), r.level, text, r.attrs(l, &e)...)
}

// levelWord stands in front of a line of text.
func levelWord(level slog.Level) string {
	switch level {
	case levelWarning:
		return "warning: "
	case levelError:
		return "error: "
	}
	return ""
}

// pending logs each target that a failed wait was still waiting for.
func (l *logger) pending(e *supervisor.Event) {
	all := (*probes.PendingError)(nil)
	if !errors.As(e.Err, &all) {
		return
	}
	for _, s := range all.Pending {
		l.log(supervisor.Event{Kind: targetPending, Phase: e.Phase, Target: s.Target, Attempts: s.Attempts, Took: s.Since,
			Err: lastError(s), Text: l.targetHint(s)})
	}
}

// targetHint is what to check first, where there is a usual cause.
func (l *logger) targetHint(s probes.Status) string {
	start := (*supervisor.StartError)(nil)
	switch started := !errors.As(s.Last, &start); {
	case !started && start.NotFound && !strings.Contains(start.Name, "/") && probes.CommandHint(start.Name) == "":
		return "is it a command? A port is written tcp://HOST:PORT"
	case s.Target.Kind == "command" && s.Last != nil && started && l.least > levelDebug:
		return "--verbose shows what it prints"
	}
	return probes.Hint(s.Last)
}

// hookOutput prints a line of a hook's command. One of a probe's command, which
// runs again and again, is printed only with --verbose. --quiet is for usher's own
// lines, not for these.
func (l *logger) hookOutput(line supervisor.Line) {
	probe := line.Phase == supervisor.Wait || line.Phase == supervisor.Ready || line.Phase == supervisor.Idle
	if probe && l.least > levelDebug {
		return
	}
	if l.json == nil {
		b := make([]byte, 0, len(line.Text)+64)
		b = fmt.Appendf(b, "usher: %v %s| ", line.Phase, line.Name)
		_, _ = l.out.hooks().Write(append(append(b, strings.TrimSuffix(string(line.Text), "\r")...), '\n'))
		return
	}
	e := supervisor.Event{Kind: hookLine, Phase: line.Phase, Target: &probes.Target{Name: line.Name}}
	r := rowOf(&e)
	l.jsonHook.LogAttrs(context.Background(), r.level, string(line.Text), r.attrs(l, &e)...)
}

// installed logs the result of --install and returns the exit status.
func (l *logger) installed(path string, err error) int {
	if err == nil {
		l.log(supervisor.Event{Kind: installed, Text: path})
		return 0
	}
	l.log(supervisor.Event{Kind: installFailed, Err: err})
	return stopCode(err, supervisor.CodeFault)
}

// probed logs why --probe failed, a line for each target, and returns the exit
// status.
func (l *logger) probed(err error) int {
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		l.log(supervisor.Event{Kind: probeFailed, Err: errors.New(line)})
	}
	return stopCode(err, 1)
}

// stopCode is 128+n if err is that signal n was received, else code.
func stopCode(err error, code int) int {
	if stop := (supervisor.StopError{}); errors.As(err, &stop) {
		return supervisor.Exit{Signal: stop.Signal}.Code()
	}
	return code
}

// usageErrors logs what is wrong with the command line, a line for each error.
func (l *logger) usageErrors(err error) {
	all := []error{err}
	if several := (*multierror.Error)(nil); errors.As(err, &several) {
		all = several.Errors
	}
	for _, err := range all {
		l.log(supervisor.Event{Kind: usageError, Err: err})
	}
	l.log(supervisor.Event{Kind: notStarted})
}

// textNotice is the line in place of n lines that were dropped, because stderr was
// not read fast enough or because writing failed.
func textNotice(n int, failure error) []byte {
	e := supervisor.Event{Kind: linesDropped, Count: n, Err: failure}
	r := rowOf(&e)
	return []byte("usher: " + levelWord(r.level) + r.message(nil, &e) + "\n")
}

// jsonNotice is the same as a record.
func jsonNotice(n int, failure error) []byte {
	e := supervisor.Event{Kind: linesDropped, Count: n, Err: failure}
	r := rowOf(&e)
	var line bytes.Buffer
	newJSONLog(&line).LogAttrs(context.Background(), r.level, r.message(nil, &e), r.attrs(nil, &e)...)
	return line.Bytes()
}
