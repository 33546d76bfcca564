package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io"
	stdlog "log"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/supervisor"
)

// The part of usher(1) between these markers is generated from logRows and logFields.
const (
	manLogBegin = `.\" events: written by make docs` + "\n"
	manLogEnd   = `.\" end of events` + "\n"
)

// "make docs" runs this test with -update.
func TestManualListsTheEventsAndFieldsOfTheLog(t *testing.T) {
	page, err := os.ReadFile("usher.1")
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(page), manLogBegin)
	require.True(t, ok)
	got, after, ok := strings.Cut(rest, manLogEnd)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile("usher.1", []byte(before+manLogBegin+manLog()+manLogEnd+after), 0o644))
		return
	}
	assert.Equal(t, manLog(), got, "usher.1 is out of date: run make docs")
}

// manLog returns the list of events and the list of fields for usher.1, in mdoc(7).
func manLog() string {
	var b strings.Builder
	b.WriteString(".Bl -tag -width Ds\n")
	var events []string
	for _, r := range logRows {
		if r.event != "" && !slices.Contains(events, r.event) {
			events = append(events, r.event)
		}
	}
	for _, event := range events {
		var levels, lines []string
		for i := range logRows {
			if r := &logRows[i]; r.event == event {
				level := map[string]string{"DEBUG": "debug", "INFO": "info", "WARN": "warning", "ERROR": "error"}[r.level.String()]
				if !slices.Contains(levels, level) {
					levels = append(levels, level)
				}
				lines = append(lines, manText(r))
			}
		}
		fmt.Fprintf(&b, ".It Li %s\n%s", event, strings.Join(levels, " or "))
		if fields := fieldsOf(event); len(fields) > 0 {
			fmt.Fprintf(&b, ": %s", strings.Join(fields, ", "))
		}
		b.WriteString("\n" + strings.Join(slices.Compact(lines), ""))
	}
	b.WriteString(".El\n.Pp\nFields:\n.Bl -tag -width Ds\n")
	for _, f := range logFields {
		if f.about != "" {
			fmt.Fprintf(&b, ".It Li %s\n%s.\n", f.name, strings.ReplaceAll(f.about, "--", `\-\-`))
		}
	}
	b.WriteString(".El\n")
	return b.String()
}

// manText returns the example of a row's log line in usher.1. It is the row's text with the
// name of each field, in italics, in place of the field's value. In place of the summary it
// has manSummary.
func manText(r *logRow) string {
	var b strings.Builder
	italics := func(s string) { b.WriteString(`\fI` + s + `\fP`) }
	r.eachPart(func(s string) { b.WriteString(s) }, func(name, noun string) {
		switch name {
		case "deadline":
			b.WriteString("[ (deadline ")
			italics("grace_seconds")
			b.WriteString(")]")
			return
		case "summary":
			b.WriteString(formatSummary(&manSummary))
			return
		}
		italics(name)
		if noun != "" {
			b.WriteString(strings.TrimPrefix(formatCount(2, noun), "2"))
		}
	})
	if r.hint != nil {
		b.WriteString(" (")
		italics("hint")
		b.WriteString(")")
	}
	text := strings.ReplaceAll(strings.ReplaceAll(b.String(), `\fI`, "\x00"), "--", `\-\-`)
	return ".Dl " + levelPrefix(r.level) + strings.ReplaceAll(text, "\x00", `\fI`) + "\n"
}

// manSummary is the summary that usher.1 shows as an example.
var manSummary = supervisor.Summary{Started: true, AppLifetime: 3*time.Hour + 2*time.Minute, Grace: 25 * time.Second, Shutdown: 5800 * time.Millisecond,
	Drain: 5010 * time.Millisecond, Stop: 700 * time.Millisecond, PostStop: 110 * time.Millisecond}

// fieldsOf returns the fields that the records of an event have. A field that only some of
// the records have is in brackets.
func fieldsOf(event string) (all []string) {
	rows := 0
	some, always := map[string]bool{}, map[string]int{}
	for i := range logRows {
		if r := &logRows[i]; r.event == event {
			rows++
			for _, use := range r.fields() {
				some[use.name] = true
				if !use.optional {
					always[use.name]++
				}
			}
		}
	}
	for _, f := range logFields {
		switch {
		case always[f.name] == rows && rows > 0:
			all = append(all, f.name)
		case some[f.name]:
			all = append(all, "["+f.name+"]")
		}
	}
	return all
}

// Each kind of event of package supervisor has a row without a condition, after the kind's
// other rows. So every event matches a row.
func TestEachEventHasARow(t *testing.T) {
	for i, name := range kindNames(t) {
		kind := supervisor.Kind(i)
		last := slices.IndexFunc(logRows, func(r logRow) bool { return r.kind == kind && r.when == nil })
		if assert.GreaterOrEqual(t, last, 0, "supervisor.%s has no row without a condition", name) {
			assert.False(t, slices.ContainsFunc(logRows[last+1:], func(r logRow) bool { return r.kind == kind }),
				"a row of supervisor.%s follows the row without a condition, and is never used", name)
		}
	}
	for _, r := range logRows {
		assert.Equal(t, r.event != "", r.text != "", "%+v", r)
		assert.Regexp(t, `^[a-z_]*$`, r.event)
		if r.event == "" {
			continue
		}
		r.eachPart(func(string) {}, func(name, _ string) { assert.NotNil(t, findField(name), "%s of %s", name, r.event) })
		for name := range strings.FieldsSeq(r.more) {
			assert.NotNil(t, findField(strings.TrimSuffix(name, "?")), "%s of %s", name, r.event)
		}
	}
}

// kindNames returns the names of the constants of supervisor.Kind, in order.
func kindNames(t *testing.T) (names []string) {
	file, err := goparser.ParseFile(token.NewFileSet(), "../../supervisor/event.go", nil, 0)
	require.NoError(t, err)
	for _, decl := range file.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		first := block.Specs[0].(*ast.ValueSpec)
		if kind, ok := first.Type.(*ast.Ident); !ok || kind.Name != "Kind" {
			continue
		}
		for _, spec := range block.Specs {
			names = append(names, spec.(*ast.ValueSpec).Names[0].Name)
		}
	}
	require.Greater(t, len(names), 30)
	return names
}

// fullEvents returns for each row an event that matches the row. It sets nearly all fields of
// the event, and then tries changes until one of them makes the event match the row.
func fullEvents() []supervisor.Event {
	target := &probes.Target{Name: "db"}
	refused := errors.New("connection refused")
	pending := []probes.Status{{Target: target, Attempts: 2, Last: refused}}
	summary := &supervisor.Summary{Code: 7, Started: true, App: supervisor.Exit{Status: 7}, AppLifetime: 2 * time.Second, Grace: 8 * time.Second,
		Shutdown: time.Second, Drain: 1, Stop: 1, Leftovers: 1, PostStop: 1}
	full := supervisor.Event{Phase: supervisor.Drain, Target: target, Pending: pending, Attempts: 3, Took: 1500 * time.Millisecond, PID: 20, Count: 2, Limit: 64 << 20,
		Exit: supervisor.Exit{Signal: syscall.SIGKILL}, Signal: syscall.SIGTERM, Sent: syscall.SIGUSR1, Name: "sh", Names: []string{"node", "sh\n", "node"},
		Err: syscall.EPERM, Text: "text", Summary: summary}
	var all []supervisor.Event
	for i := range logRows {
		e := full
		e.Kind = logRows[i].kind
		for _, change := range []func(*supervisor.Event){
			func(*supervisor.Event) {},
			func(e *supervisor.Event) { e.Err = nil },
			func(e *supervisor.Event) { e.Exit = supervisor.Exit{Status: 3} },
			func(e *supervisor.Event) { e.Exit = supervisor.Exit{Status: 137} },
			func(e *supervisor.Event) { e.Took = 0 },
			func(e *supervisor.Event) { e.Count, e.Names = -1, nil },
			func(e *supervisor.Event) { e.Count, e.Names = 0, nil },
			func(e *supervisor.Event) { e.Signal = supervisor.NoSignal },
			func(e *supervisor.Event) { e.Sent = e.Signal },
			func(e *supervisor.Event) { e.Phase = supervisor.Start },
			func(e *supervisor.Event) { e.Phase = supervisor.PreStart },
			func(e *supervisor.Event) { e.Phase, e.Err = supervisor.Running, nil },
			func(e *supervisor.Event) { e.Phase = supervisor.Running },
			func(e *supervisor.Event) {
				e.Err = &supervisor.PhaseError{Phase: supervisor.Wait, Err: &probes.PendingError{Pending: pending, Cause: refused}}
			},
			func(e *supervisor.Event) { e.Err = &supervisor.InterruptedError{Signal: syscall.SIGTERM} },
			func(e *supervisor.Event) { e.Err = &supervisor.InterruptedError{Signal: syscall.SIGTERM, Err: refused} },
		} {
			changed := e
			change(&changed)
			if findRow(&changed) == &logRows[i] {
				e = changed
				break
			}
		}
		all = append(all, e)
	}
	return all
}

// A JSON record has the fields that its row in logRows and usher(1) list. As usher(1) says, a
// field's name determines its type. msg is the log line without "usher: " and the level.
func TestRecordsHaveTheFieldsOfTheTable(t *testing.T) {
	for i, e := range fullEvents() {
		r := &logRows[i]
		if r.event == "" || r.kind == hookLine {
			continue
		}
		require.Same(t, r, findRow(&e), "no event matches the row of %s: %s", r.event, r.text)
		text, record := logged(t, e)
		assert.Equal(t, r.event, record["event"])
		assert.Equal(t, "usher: "+levelPrefix(r.level)+record["msg"].(string)+"\n", text)
		assert.Equal(t, r.level.String(), record["level"])
		assert.NotContains(t, text, "{")

		want := []string{"event", "level", "msg", "time"}
		for _, f := range r.fields() {
			if record[f.name] != nil || !f.optional {
				want = append(want, f.name)
			}
		}
		assert.ElementsMatch(t, want, slices.Collect(maps.Keys(record)), text)
		for name, value := range record {
			kind := "string"
			switch {
			case strings.HasSuffix(name, "seconds"), strings.HasSuffix(name, "exit_code"), name == "pid", name == "limit_bytes", name == "count", name == "active", name == "attempts":
				kind = "float64" // a number
			case name == "processes", name == "pending":
				kind = "[]interface {}"
			}
			assert.Equal(t, kind, fmt.Sprintf("%T", value), "%s of %s", name, r.event)
		}
	}
}

// logged logs an event as text and as JSON, and returns the line and the record.
func logged(t *testing.T, e supervisor.Event) (text string, record map[string]any) {
	t.Helper()
	print := func(json bool) string {
		p, r, w := newPipeOutput(t)
		o := options{json: json, verbose: true}
		o.config.Command, o.config.Grace = []string{"app"}, 8*time.Second
		newLogger(p, o).log(e)
		p.flushWithin(patience, patience, patience)
		w.Close()
		output, err := io.ReadAll(r)
		require.NoError(t, err)
		return string(output)
	}
	require.NoError(t, json.Unmarshal([]byte(print(true)), &record))
	return print(false), record
}

// In the JSON log of a whole run, each record has an event and the fields that logRows
// lists for this event.
func TestJSONLogOfARunHasOnlyRecordsOfTheTable(t *testing.T) {
	t.Parallel()
	r := launcher{}.usher(t, "--log", "json", "--verbose", "--grace", "20s", "--wait", "file:///", "--wait", "name=never optional=2s file:///no/such", "--pre-start", "name=say echo 'a \"quoted\" line'",
		"--drain-delay", "0.01s", "--drain", "name=wrong false", "--post-stop", "true", "--",
		"sh", "-c", "trap 'exit 7' TERM; trap : USR1; echo up; while :; do read line; done")
	r.stdout.expect("up")
	r.signal(syscall.SIGUSR1)
	r.stderr.expect(`"event":"signal_forwarded"`)
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 7, r.code())
	r.stderr.rest()
	var events []string
	for _, line := range r.stderr.all {
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &record), line)
		event, _ := record["event"].(string)
		events = append(events, event)
		known := fieldsOf(event)
		for name := range record {
			if !slices.Contains([]string{"time", "level", "msg", "event"}, name) {
				assert.True(t, slices.Contains(known, name) || slices.Contains(known, "["+name+"]"), "%s: %s", name, line)
			}
		}
		for _, name := range known {
			if !strings.HasPrefix(name, "[") {
				assert.Contains(t, record, name, line)
			}
		}
	}
	assert.Equal(t, "exited", events[len(events)-1])
	for _, event := range []string{"attempt_failed", "attempt_succeeded", "target_ready", "target_skipped", "hook_started", "hook_output", "hook_finished", "app_started", "shutdown_started",
		"drain_delay_started", "drain_delay_finished", "hook_failed", "stop_signal_sent", "app_exited"} {
		assert.Contains(t, events, event)
	}
	assert.Regexp(t, `"level":"INFO","msg":"a \\"quoted\\" line","event":"hook_output","phase":"pre-start","target":"say"}`, strings.Join(r.stderr.all, "\n"))
}

// Libraries that use package log must not write to stderr.
func TestPackageLogPrintsNothing(t *testing.T) {
	before := stdlog.Writer()
	defer stdlog.SetOutput(before)
	stdlog.SetOutput(os.Stderr)
	out, _, _ := newPipeOutput(t)
	newLogger(out, options{})
	assert.Equal(t, io.Discard, stdlog.Writer())
}

// The texts of logRows follow some of the rules at the top of log.go: no full stop at the end,
// no level at the beginning, and the phase first.
func TestLogTextsFollowTheRules(t *testing.T) {
	for _, r := range logRows {
		assert.NotRegexp(t, `\.$|^(warning|error):|says yes`, r.text)
		if strings.Contains(r.text, "{phase}") {
			assert.Regexp(t, regexp.MustCompile(`^\{phase\}(: | \{target\})`), r.text)
		}
	}
}
