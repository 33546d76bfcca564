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
	json     *slog.Logger // nil: the log is text
	jsonHook *slog.Logger // like json, but for the output of hooks and probes, which may be endless: it can use only a part of the queue in out
	minLevel slog.Level
	app      string // name of the app
	grace    time.Duration

	progress    *progressLine // nil unless stderr is a terminal and the log is text with the level info
	termination terminationMessage
}

func newLogger(out *output, o options) *logger {
	// A library that uses package log would write to stderr in another format, and the write
	// might block.
	stdlog.SetOutput(io.Discard)
	l := &logger{out: out, minLevel: levelWarning, grace: o.config.Grace, termination: terminationMessage{path: o.terminationLog}}
	if len(o.config.Command) > 0 {
		l.app = probes.CommandName(o.config.Command[0])
	}
	switch {
	case o.quiet:
		l.minLevel = levelError
	case o.verbose:
		l.minLevel = levelDebug
	case hasDuties(&o.config) || o.install != "":
		l.minLevel = levelInfo
	}
	if !o.json && l.minLevel == levelInfo && out.isTerminal() {
		l.progress = &progressLine{out: out}
	}
	if o.json {
		l.json, l.jsonHook = newJSONLog(out), newJSONLog(out.hooks())
		out.setNotice(jsonNotice)
	}
	return l
}

// hasDuties reports whether usher does more than a plain init, because it has targets,
// --grace or --health. A plain init logs only warnings and errors by default.
func hasDuties(c *supervisor.Config) bool {
	return len(allTargets(c)) > 0 || c.Grace > 0 || c.Readiness != nil
}

func newJSONLog(to io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: levelDebug}))
}

// observe handles an event of package supervisor.
func (l *logger) observe(e supervisor.Event) {
	if l.progress != nil {
		l.progress.observe(&e)
		if e.Kind == supervisor.WaitProgress && e.Phase == supervisor.Wait {
			return // no log line is needed, because the progress line shows which --wait targets are not ready
		}
	}
	l.log(e)
	if e.Kind == supervisor.StartupFailed {
		l.pending(&e)
	}
}

// log prints an event with the level, the text and the fields of its row in logRows. It omits an
// event without a row, and one whose level is below minLevel. It also adds the text of an error
// to the termination message.
func (l *logger) log(e supervisor.Event) {
	r := findRow(&e)
	if r.event == "" || r.level < l.minLevel {
		return
	}
	text := r.message(l, &e)
	if r.level == levelError {
		l.termination.add(text)
	}
	if l.json == nil {
		l.out.Write([]byte("usher: " + levelPrefix(r.level) + text + "\n"))
		return
	}
	l.json.LogAttrs(context.Background(), r.level, text, r.attrs(l, &e)...)
}

// levelPrefix returns the prefix of warnings and errors in a text log.
func levelPrefix(level slog.Level) string {
	switch level {
	case levelWarning:
		return "warning: "
	case levelError:
		return "error: "
	}
	return ""
}

// pending logs each target that was not ready, if the startup failed because of such targets.
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

// targetHint returns a hint for a target that is not ready, or "".
func (l *logger) targetHint(s probes.Status) string {
	start := (*supervisor.StartError)(nil)
	switch notStarted := errors.As(s.Last, &start); {
	case notStarted && start.NotFound && !strings.Contains(start.Name, "/") && probes.CommandHint(start.Name) == "":
		return "is it a command? A port is written tcp://HOST:PORT"
	case s.Target.Kind == "command" && s.Last != nil && !notStarted && l.minLevel > levelDebug:
		return "--verbose shows what it prints"
	}
	return probes.Hint(s.Last)
}

// hookOutput prints a line of output from the command of a hook or a probe. It prints
// output of hooks even with --quiet. It prints output of probes only with --verbose,
// because probes run again and again.
func (l *logger) hookOutput(line supervisor.Line) {
	probe := line.Phase == supervisor.Wait || line.Phase == supervisor.Ready || line.Phase == supervisor.Idle
	if probe && l.minLevel > levelDebug {
		return
	}
	if l.json == nil {
		b := make([]byte, 0, len(line.Text)+64)
		b = fmt.Appendf(b, "usher: %v %s| ", line.Phase, line.Name)
		_, _ = l.out.hooks().Write(append(append(b, strings.TrimSuffix(string(line.Text), "\r")...), '\n'))
		return
	}
	e := supervisor.Event{Kind: hookLine, Phase: line.Phase, Target: &probes.Target{Name: line.Name}}
	r := findRow(&e)
	l.jsonHook.LogAttrs(context.Background(), r.level, string(line.Text), r.attrs(l, &e)...)
}

// installed logs the result of --install and returns usher's exit status.
func (l *logger) installed(path string, err error) int {
	if err == nil {
		l.log(supervisor.Event{Kind: installed, Text: path})
		return 0
	}
	l.log(supervisor.Event{Kind: installFailed, Err: err})
	return exitCode(err, supervisor.CodeFault)
}

// probed logs why --probe failed, one line per target, and returns usher's exit status.
func (l *logger) probed(err error) int {
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		l.log(supervisor.Event{Kind: probeFailed, Err: errors.New(line)})
	}
	return exitCode(err, 1)
}

// exitCode returns 128+n if err is a StopError for signal n, else code.
func exitCode(err error, code int) int {
	if stop := (supervisor.StopError{}); errors.As(err, &stop) {
		return supervisor.Exit{Signal: stop.Signal}.Code()
	}
	return code
}

// usageErrors logs the errors in the command line and the environment, one line each, and
// then that nothing was started.
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

// textNotice formats the notice that replaces n dropped lines. failure is the error of the
// write, or nil if stderr was not read fast enough.
func textNotice(n int, failure error) []byte {
	e := supervisor.Event{Kind: linesDropped, Count: n, Err: failure}
	r := findRow(&e)
	return []byte("usher: " + levelPrefix(r.level) + r.message(nil, &e) + "\n")
}

// jsonNotice returns the notice of textNotice as a JSON record.
func jsonNotice(n int, failure error) []byte {
	e := supervisor.Event{Kind: linesDropped, Count: n, Err: failure}
	r := findRow(&e)
	var line bytes.Buffer
	newJSONLog(&line).LogAttrs(context.Background(), r.level, r.message(nil, &e), r.attrs(nil, &e)...)
	return line.Bytes()
}
