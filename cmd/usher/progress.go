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

// progressLine is one line at the bottom of a terminal. It shows which targets a
// wait is still waiting for, and why.
type progressLine struct {
	out     *output
	pending []probes.Status
	drawnAt time.Duration // since the start of Run; 0: no line is shown
}

// progressInterval is how long a line stays at least, so that it can be read.
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
	p.out.showProgress(fmt.Sprintf("usher: wait: %s: %s", formatDuration(e.At.Round(progressInterval)), pendingText(p.pending)))
}

func (p *progressLine) update(s probes.Status) {
	i := slices.IndexFunc(p.pending, func(old probes.Status) bool { return old.Target == s.Target })
	if i < 0 {
		p.pending = append(p.pending, s)
		return
	}
	p.pending[i] = s
}

// pendingText lists the targets that are not ready, in one line.
func pendingText(pending []probes.Status) string {
	var all []string
	for _, s := range pending {
		all = append(all, fmt.Sprintf("%s: %v (%s)", s.Target.Name, lastError(s), count(s.Attempts, "attempt")))
	}
	return strings.Join(all, ", ")
}

var errNotOftenEnough = errors.New("ready, but not yet often enough in a row")

// lastError is why a target is not ready.
func lastError(s probes.Status) error {
	if s.Last == nil { // its successes= is not reached
		return errNotOftenEnough
	}
	return s.Last
}
