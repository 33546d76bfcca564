package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

func findRow(e *supervisor.Event) *logRow {
	for i := range logRows {
		if r := &logRows[i]; r.kind == e.Kind && (r.when == nil || r.when(e)) {
			return r
		}
	}
	return &logRow{} // an event without a row is not logged; TestEachEventHasARow checks that each event has one
}

// message returns the text of an event, without "usher: " and the level.
func (r *logRow) message(l *logger, e *supervisor.Event) string {
	var b strings.Builder
	r.eachPart(func(s string) { b.WriteString(s) }, func(name, noun string) {
		b.WriteString(formatValue(findField(name).value(l, e), noun))
	})
	if hint := r.hintText(l, e); hint != "" {
		b.WriteString(" (" + hint + ")")
	}
	return strings.ReplaceAll(b.String(), "\n", " ")
}

func (r *logRow) hintText(l *logger, e *supervisor.Event) string {
	if r.hint == nil {
		return ""
	}
	return r.hint(l, e)
}

// eachPart splits the row's text and calls literal or placeholder for each part, in
// order.
func (r *logRow) eachPart(literal func(string), placeholder func(name, noun string)) {
	for rest := r.text; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		literal(before)
		if !found {
			return
		}
		var inner string
		inner, rest, _ = strings.Cut(after, "}")
		name, noun, _ := strings.Cut(inner, " ")
		placeholder(name, noun)
	}
}

func findField(name string) *field {
	i := slices.IndexFunc(logFields, func(f field) bool { return f.name == name })
	if i < 0 {
		return nil
	}
	return &logFields[i]
}

// fieldUse is a field of the JSON records of a row.
type fieldUse struct {
	*field
	optional bool // some records do not have the field
}

// fields returns the fields of a row's JSON records, in the order of logFields. Events
// of package supervisor, whose kinds are not negative, always have a phase.
func (r *logRow) fields() (all []fieldUse) {
	use := map[string]bool{}
	if r.kind >= 0 {
		use["phase"] = false
	}
	r.eachPart(func(string) {}, func(name, _ string) { use[name] = false })
	for name := range strings.FieldsSeq(r.more) {
		name, optional := strings.CutSuffix(name, "?")
		use[name] = optional
	}
	if r.hint != nil {
		use["hint"] = true
	}
	for i := range logFields {
		if optional, ok := use[logFields[i].name]; ok && logFields[i].about != "" {
			all = append(all, fieldUse{&logFields[i], optional})
		}
	}
	return all
}

// attrs returns the fields of a JSON record with their values.
func (r *logRow) attrs(l *logger, e *supervisor.Event) []slog.Attr {
	all := []slog.Attr{slog.String("event", r.event)}
	for _, f := range r.fields() {
		var value any
		if f.name == "hint" {
			if hint := r.hintText(l, e); hint != "" {
				value = hint
			}
		} else {
			value = f.value(l, e)
		}
		if value != nil {
			all = append(all, formatAttr(f.name, value))
		}
	}
	return all
}

func nilIfZero(d time.Duration) any {
	if d == 0 {
		return nil
	}
	return d
}

func processName(name, app string) string {
	if name == "" {
		return app
	}
	return sanitizeName(name)
}

// countOf returns the number of pending targets if the error lists them, else the event's
// Count. It returns nil if Count is negative, because the number is then unknown.
func countOf(e *supervisor.Event) any {
	pending := (*probes.PendingError)(nil)
	switch {
	case errors.As(e.Err, &pending):
		return len(pending.Pending)
	case e.Count < 0:
		return nil
	}
	return e.Count
}

// errorOf returns the event's error without the phase, the list of targets, and the words
// "interrupted by SIGTERM" of a hook's error, because the log has these elsewhere: the phase in
// the field phase, each target in an event target_pending, and the signal, if the hook got one,
// in an event hook_interrupted.
func errorOf(e *supervisor.Event) error {
	pending := (*probes.PendingError)(nil)
	if errors.As(e.Err, &pending) {
		return pending.Cause
	}
	switch err := e.Err.(type) {
	case *supervisor.PhaseError:
		return err.Err
	case *supervisor.InterruptedError:
		return err.Err
	}
	return e.Err
}

// processNames is a list of distinct names of processes.
type processNames struct {
	names []string
	more  bool // true: names were left out, because the list has a maximum length
}

func newProcessNames(all []string) (p processNames) {
	const most = 10
	for _, name := range all {
		if name = sanitizeName(name); slices.Contains(p.names, name) {
			continue
		}
		if len(p.names) == most {
			p.more = true
			break
		}
		p.names = append(p.names, name)
	}
	return p
}

// sanitizeName replaces unprintable characters, because a process can set its name to any
// text, for example with newlines or escape sequences.
func sanitizeName(name string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, name)
}

// formatValue formats a value for the text. After a number it writes the noun, unless noun is
// empty.
func formatValue(value any, noun string) string {
	switch v := value.(type) {
	case nil:
		return ""
	case int:
		if noun != "" {
			return formatCount(v, noun)
		}
	case time.Duration:
		return formatDuration(v)
	case syscall.Signal:
		return signals.Name(v)
	case []probes.Status:
		return formatPending(v)
	case processNames:
		if v.more {
			v.names = append(v.names, "…")
		}
		return strings.Join(v.names, ", ")
	}
	return fmt.Sprint(value)
}

// pendingRecord is one target in the list of the JSON field pending.
type pendingRecord struct {
	Target   string `json:"target"`
	Attempts int    `json:"attempts"`
	Error    string `json:"error"`
}

// formatAttr formats a value for a JSON record. Durations are numbers of seconds.
func formatAttr(name string, value any) slog.Attr {
	switch v := value.(type) {
	case time.Duration:
		value = v.Seconds()
	case syscall.Signal:
		value = signals.Name(v)
	case error:
		value = v.Error()
	case processNames:
		value = v.names
	case []probes.Status:
		var all []pendingRecord
		for _, s := range v {
			all = append(all, pendingRecord{s.Target.Name, s.Attempts, lastError(s).Error()})
		}
		value = all
	}
	return slog.Any(name, value)
}

// formatCount formats a number with a noun in the singular or plural.
func formatCount(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// formatBytes formats a memory limit: 64 MiB, 1.5 GiB.
func formatBytes(n int64) string {
	size, unit := float64(n)/(1<<20), "MiB"
	if n >= 1<<30 {
		size, unit = size/(1<<10), "GiB"
	}
	return strings.TrimSuffix(strconv.FormatFloat(size, 'f', 1, 64), ".0") + " " + unit
}
