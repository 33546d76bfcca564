package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/supervisor"
)

// progressLine is a line at the bottom of a terminal that is redrawn during the wait.
// It shows the targets that are not ready, with their last errors.
type progressLine struct {
	out     *output
	pending []probes.Status
	drawnAt time.Duration // time of the last update, since the start of Run; 0: no line is shown
}

// progressInterval is the minimum time from an update of the line to the next one that a
// failed attempt causes, so that the line can be read. When a target has become ready or is
// skipped, the line is updated at once.
const progressInterval = 100 * time.Millisecond

func (p *progressLine) observe(e *supervisor.Event) {
	switch {
	case e.Phase != supervisor.Wait || e.Kind == supervisor.StartupFailed || e.Kind == supervisor.StopRequested:
		p.pending = nil
	case e.Kind == supervisor.TargetReady || e.Kind == supervisor.TargetSkipped:
		p.pending = slices.DeleteFunc(p.pending, func(s probes.Status) bool { return s.Target == e.Target })
	case e.Kind == supervisor.TargetTried && e.Err != nil:
		p.update(probes.Status{Target: e.Target, Attempts: e.Attempts, Last: e.Err})
		if p.drawnAt > 0 && e.At-p.drawnAt < progressInterval {
			return
		}
	default:
		return
	}
	if len(p.pending) == 0 {
		if p.drawnAt > 0 {
			p.out.showProgress("")
		}
		p.drawnAt = 0
		return
	}
	p.drawnAt = e.At
	p.out.showProgress(fmt.Sprintf("usher: wait: %s: %s", formatDuration(e.At.Round(progressInterval)), formatPending(p.pending)))
}

func (p *progressLine) update(s probes.Status) {
	i := slices.IndexFunc(p.pending, func(old probes.Status) bool { return old.Target == s.Target })
	if i < 0 {
		p.pending = append(p.pending, s)
		return
	}
	p.pending[i] = s
}

func formatPending(pending []probes.Status) string {
	var all []string
	for _, s := range pending {
		all = append(all, fmt.Sprintf("%s: %v (%s)", s.Target.Name, lastError(s), formatCount(s.Attempts, "attempt")))
	}
	return strings.Join(all, ", ")
}

// errTooFewSuccesses is shown for a target whose last attempt succeeded. The target is not
// ready yet, because successes= requires more successes in a row.
var errTooFewSuccesses = errors.New("ready, but not yet often enough in a row")

// lastError returns the reason why a target is not ready.
func lastError(s probes.Status) error {
	if s.Last == nil {
		return errTooFewSuccesses
	}
	return s.Last
}
