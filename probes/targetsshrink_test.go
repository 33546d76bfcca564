package probes

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// report shrinks a trial in which a promise was broken, prints it, and fails the test.
// TARGETS_SHRINK=no turns shrinking off.
func (tr *trial) report(t *testing.T, certs *certificates, seed, number uint64, problem string) {
	t.Helper()
	again := fmt.Sprintf("SEED=%d TARGET=%d TARGETS=1 go test ./probes -run TestTargets", seed, number)
	if os.Getenv("TARGETS_SHRINK") == "no" {
		t.Fatalf("trial %d broke a promise: %s\n%s", number, problem, again)
	}
	kind := kindOf(problem)
	var shown *observation
	var text string
	fails := func(c *trial) bool {
		for range 4 { // a trial may fail only sometimes, because the jitter and the order of events at one instant are random
			o := c.run(t, certs)
			for _, p := range o.check() {
				if kindOf(p) == kind {
					shown, text = o, p
					return true
				}
			}
		}
		return false
	}
	small := tr.shrink(time.Now().Add(30*time.Second), fails)
	if text == "" {
		t.Fatalf("trial %d of seed %d broke a promise, but not again: %s\n%s\n\n%s", number, seed, problem, again, tr)
	}
	t.Fatalf("trial %d of seed %d broke a promise: %s\n%s\nIn short:\n\n%s\n\n%s\n%s", number, seed, problem, again, text, small, shown.history())
}

// numbersAndNames matches the parts of a problem's text that may differ between two trials
// with the same problem.
var numbersAndNames = regexp.MustCompile(`(?s)goroutine.*|\[?[\w:.]*\d[^ ]*|".*"|target .*?: `)

// kindOf returns the text of a problem without the parts that may differ between two problems
// of the same kind.
func kindOf(problem string) string { return numbersAndNames.ReplaceAllString(problem, "#") }

// shrink removes parts of a trial that are not needed to make fails return true. It stops at the
// time limit.
func (tr *trial) shrink(limit time.Time, fails func(*trial) bool) *trial {
	for {
		smaller := slices.IndexFunc(tr.smaller(), func(c *trial) bool { return time.Now().Before(limit) && fails(c) })
		if smaller < 0 {
			return tr
		}
		tr = tr.smaller()[smaller]
	}
}

func (tr *trial) clone() *trial {
	c := &trial{use: tr.use, limit: tr.limit}
	for _, t := range tr.targets {
		copied := *t
		copied.hosts, copied.secrets = slices.Clone(t.hosts), slices.Clone(t.secrets)
		c.targets = append(c.targets, &copied)
	}
	for _, s := range tr.servers {
		copied := &serverPlan{address: s.address}
		for _, p := range s.phases {
			phase := *p
			copied.phases = append(copied.phases, &phase)
		}
		c.servers = append(c.servers, copied)
	}
	for _, n := range tr.names {
		c.names = append(c.names, &namePlan{n.name, slices.Clone(n.phases)})
	}
	return c
}

// smaller returns copies of the trial, each of which lacks one part, such as a target, a phase
// of a server or an option. The copies that lack the largest parts come first, roughly.
func (tr *trial) smaller() (all []*trial) {
	before := tr.String()
	try := func(change func(c *trial)) {
		c := tr.clone()
		change(c)
		if c.String() != before {
			all = append(all, c)
		}
	}
	for i := range tr.targets {
		if len(tr.targets) > 1 {
			try(func(c *trial) { c.targets = slices.Delete(c.targets, i, i+1) })
		}
	}
	for i := range tr.servers {
		if !strings.HasPrefix(tr.servers[i].address, "check") {
			try(func(c *trial) { c.servers = slices.Delete(c.servers, i, i+1) })
		}
		for j := range tr.servers[i].phases {
			if len(tr.servers[i].phases) > 1 {
				try(func(c *trial) {
					s := c.servers[i]
					s.phases = slices.Delete(s.phases, j, j+1)
					s.phases[0].from = 0
				})
			}
		}
	}
	for i := range tr.names {
		try(func(c *trial) { c.names = slices.Delete(c.names, i, i+1) })
		for j := range tr.names[i].phases {
			if len(tr.names[i].phases) > 1 {
				try(func(c *trial) {
					n := c.names[i]
					n.phases = slices.Delete(n.phases, j, j+1)
					n.phases[0].from = 0
				})
			}
			try(func(c *trial) { c.names[i].phases[j].delay = 0 })
			if addrs := tr.names[i].phases[j].addrs; len(addrs) > 1 {
				try(func(c *trial) { c.names[i].phases[j].addrs = addrs[:1] })
				try(func(c *trial) { c.names[i].phases[j].addrs = addrs[1:] })
			}
		}
	}
	for i, t := range tr.targets {
		for _, change := range []func(t *targetPlan){
			func(t *targetPlan) { t.timeout = 0 },
			func(t *targetPlan) { t.interval = 0 },
			func(t *targetPlan) { t.within = 0 },
			func(t *targetPlan) { t.optional = 0 },
			func(t *targetPlan) { t.successes = min(t.successes, 1) },
			func(t *targetPlan) { t.retries = 0 },
			func(t *targetPlan) { t.status = "" },
			func(t *targetPlan) { t.match = false },
			func(t *targetPlan) { t.secrets = nil },
			func(t *targetPlan) { t.send = false },
			func(t *targetPlan) { t.expect = false },
			func(t *targetPlan) { t.user = "" },
			func(t *targetPlan) { t.query = "" },
			func(t *targetPlan) { t.serverName = "" },
		} {
			try(func(c *trial) { change(c.targets[i]) })
		}
		if len(t.hosts) > 1 {
			for j := range t.hosts {
				try(func(c *trial) { c.targets[i].hosts = slices.Delete(c.targets[i].hosts, j, j+1) })
			}
		}
	}
	for i, s := range tr.servers {
		for j := range s.phases {
			for _, change := range []func(p *serverPhase){
				func(p *serverPhase) { p.delay = 0 },
				func(p *serverPhase) { p.stall, p.stallAt = 0, 0 },
				func(p *serverPhase) { p.piece = 0 },
				func(p *serverPhase) { p.ends, p.endAt = "", 0 },
				func(p *serverPhase) { p.lingers = false },
				func(p *serverPhase) { p.interim = false },
				func(p *serverPhase) { p.matchAt = -1 },
				func(p *serverPhase) { p.size, p.matchAt = 0, min(p.matchAt, 0) },
				func(p *serverPhase) { p.variant = 0 },
				func(p *serverPhase) { p.location = "" },
				func(p *serverPhase) { *p = serverPhase{from: p.from, listens: isClosed, matchAt: -1} },
			} {
				try(func(c *trial) { change(c.servers[i].phases[j]) })
			}
		}
	}
	return all
}

// history lists what happened in a trial.
func (o *observation) history() string {
	type event struct {
		at   time.Duration
		text string
	}
	var events []event
	add := func(at time.Duration, format string, args ...any) {
		events = append(events, event{at, fmt.Sprintf(format, args...)})
	}
	for i, attempts := range o.attempts {
		for _, a := range attempts {
			add(a.begin, "target %d: an attempt begins", i+1)
			add(a.end, "target %d: it ends: %v", i+1, a.err)
		}
	}
	for _, d := range o.dials {
		add(d.at, "dial %s: %s, %d bytes read", d.address, d.listens, d.read)
	}
	for _, l := range o.lookups {
		add(l.begun, "lookup of %s begins", l.name)
		add(l.end, "lookup of %s ends: %s %v", l.name, l.result.answer, l.result.addrs)
	}
	for _, a := range o.answers {
		add(a.at, "%s has answered, ready %v, status %d, TLS %v", a.address, a.ready, a.status, a.secure)
	}
	for _, u := range o.updates {
		if u.Kind != TargetTried {
			add(u.at, "update: %v", []string{"", "ready", "skipped", "progress"}[u.Kind])
		}
	}
	add(o.ended, "the call returns: %v", o.result)
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	var b strings.Builder
	for i, e := range events {
		if len(events) > 80 && i == 40 {
			fmt.Fprintf(&b, "  … %d more …\n", len(events)-80)
		}
		if len(events) <= 80 || i < 40 || i >= len(events)-40 {
			fmt.Fprintf(&b, "%12v  %s\n", e.at, e.text)
		}
	}
	return b.String()
}
