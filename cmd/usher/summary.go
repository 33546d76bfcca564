package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

// formatSummary formats the last line of the log: how the app exited, why it was not started
// or, if there is no app, how the wait ended. If a step of the shutdown took 1 ms or more, the
// line also has the duration of the shutdown and of each such step.
func formatSummary(s *supervisor.Summary) string {
	var b strings.Builder
	switch stop := (supervisor.StopError{}); {
	case s.Started:
		fmt.Fprintf(&b, "app %v after %s", s.App, formatDuration(s.AppLifetime))
	case s.NoApp && errors.As(s.Reason, &stop):
		fmt.Fprintf(&b, "stopped by %s during the wait", signals.Name(stop.Signal))
	case s.NoApp && s.Reason != nil:
		b.WriteString("not all targets are ready")
	case errors.As(s.Reason, &stop):
		fmt.Fprintf(&b, "stopped by %s before the app was started", signals.Name(stop.Signal))
	case s.Reason != nil:
		b.WriteString("the app was not started")
	default:
		b.WriteString("all targets are ready")
	}
	if s.Started && s.Code != s.App.Code() {
		fmt.Fprintf(&b, ", usher exits %d", s.Code)
	}
	var steps []string
	for _, step := range []struct {
		name string
		took time.Duration
	}{{"drain", s.Drain}, {"app", s.Stop}, {"leftovers", s.Leftovers}, {"post-stop", s.PostStop}} {
		if step.took >= time.Millisecond {
			steps = append(steps, step.name+" "+formatDuration(step.took))
		}
	}
	if len(steps) > 0 {
		fmt.Fprintf(&b, "; shutdown took %s", formatDuration(s.Shutdown))
		if s.Grace > 0 {
			fmt.Fprintf(&b, " of %s", formatDuration(s.Grace))
		}
		b.WriteString(": " + strings.Join(steps, ", "))
	}
	return b.String()
}

// formatDeadline formats the deadline, which is written after "shutting down".
func formatDeadline(grace time.Duration) string {
	if grace == 0 {
		return ""
	}
	return fmt.Sprintf(" (deadline %s)", formatDuration(grace))
}

// formatDuration formats a duration with the precision that a reader needs: 4ms, 0.7s,
// 25s, 3m20s, 3h2m.
func formatDuration(d time.Duration) string {
	switch {
	case d%time.Second == 0 && d < time.Minute:
		return d.String()
	case d < 100*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Minute)
	}
	if d%time.Minute == 0 {
		return strings.TrimSuffix(d.String(), "0s")
	}
	return d.String()
}
