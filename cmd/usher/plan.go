package main

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

// plan is the whole timeline in text, with the numbers that Run would use, and
// warnings of what will hurt. Nothing secret is in it: targets come with the
// name that logs have for them, and the command with its own.
func plan(o *options) string {
	c := &o.config
	p := planner{Config: c, budget: c.Budget(), health: o.health, app: "nothing"}
	if len(c.Command) > 0 {
		p.app = probes.CommandName(c.Command[0])
	}
	p.wayUp()
	p.interrupts()
	switch {
	case len(c.Command) == 0 || c.Exec:
	case c.Grace > 0:
		p.wayDown()
	default:
		p.wayDownWithoutDeadline()
	}
	p.picture()
	p.warnings()
	return p.text.String()
}

type planner struct {
	*supervisor.Config
	budget supervisor.Budget
	health string
	app    string
	late   []string // hooks that may find no time left
	text   strings.Builder
}

func (p *planner) title(format string, a ...any) {
	if p.text.Len() > 0 {
		p.text.WriteByte('\n')
	}
	fmt.Fprintf(&p.text, format+"\n", a...)
}

// row is one step: what stands in the first column, and what happens.
func (p *planner) row(first, format string, a ...any) {
	fmt.Fprintf(&p.text, "  %-12s  %s\n", first, fmt.Sprintf(format, a...))
}

// wayUp is everything until the app runs. No step of it has a fixed moment.
func (p *planner) wayUp() {
	p.title("On the way up")
	if p.health != "" {
		p.row("health", "/livez and /readyz on %s", p.health)
	}
	for _, t := range p.Wait {
		p.row("wait", "%s%s", t.Name, asked(&t, p.WaitTimeout, "exit 124"))
	}
	for _, t := range p.PreStart {
		p.row("pre-start", "%s%s; fails: exit 125", t.Name, atMost(t.Timeout))
	}
	switch {
	case len(p.Command) == 0:
		p.row("exit", "0, once all of that has been done")
		return
	case p.Exec:
		p.row("exec", "%s takes usher's place", p.app)
		return
	}
	p.row("start", "%s", p.app)
	for _, t := range p.Ready {
		p.row("ready", "%s%s", t.Name, asked(&t, 0, "the app is stopped, exit 124"))
	}
	for _, t := range p.PostStart {
		p.row("post-start", "%s%s; fails: the app is stopped, exit 125", t.Name, atMost(t.Timeout))
	}
	p.row("run", "until %s ends, or %s comes", p.app, strings.Join(p.stopSignals(), " or "))
}

// interrupts is what a stop signal does to a hook of the start.
func (p *planner) interrupts() {
	if len(p.PreStart)+len(p.PostStart) == 0 {
		return
	}
	p.title("If a stop signal comes while one of these hooks runs; its own timeout= still counts")
	limit := func(d, without time.Duration) string {
		switch {
		case p.Grace > 0:
			return fmt.Sprintf("SIGTERM to the hook, after %s SIGKILL", formatDuration(d))
		case without > 0:
			return fmt.Sprintf("SIGTERM to the hook, after %s SIGKILL", formatDuration(without))
		}
		return "SIGTERM to the hook, which may take as long as it needs"
	}
	if len(p.PreStart) > 0 {
		p.row("pre-start", "%s; exit 128 and the signal's number", limit(p.budget.Kill, 0))
	}
	if len(p.PostStart) > 0 {
		p.row("post-start", "%s; then as below", limit(p.budget.Drain, time.Second))
	}
}

// asked is how long a target may take to say yes, and what if it does not.
func asked(t *probes.Target, all time.Duration, then string) string {
	switch {
	case t.Optional > 0:
		return fmt.Sprintf(" says yes, or is given up after %s", formatDuration(t.Optional))
	case t.Within > 0 && (all == 0 || t.Within < all):
		return fmt.Sprintf(" says yes within %s, else %s", formatDuration(t.Within), then)
	case all > 0:
		return fmt.Sprintf(" says yes within %s, else %s", formatDuration(all), then)
	}
	return " says yes, whenever that is"
}

func atMost(d time.Duration) string {
	if d == 0 {
		return ", with no limit"
	}
	return ", " + formatDuration(d) + " at most"
}

func (p *planner) stopSignals() []string {
	all := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}
	for _, sig := range p.StopOn {
		if !slices.Contains(all, sig) {
			all = append(all, sig)
		}
	}
	var names []string
	for _, sig := range all {
		names = append(names, signals.Name(sig))
	}
	return names
}

// signalled is the step in which the app gets its signal.
func (p *planner) signalled() string {
	sig := "the same signal"
	switch {
	case p.StopSignal == supervisor.NoSignal:
		return "no signal to " + p.app
	case p.StopSignal != 0:
		sig = signals.Name(p.StopSignal)
	}
	to := p.app
	if p.Group {
		to += "'s process group"
	}
	return sig + " to " + to
}

// wayDown is the end, with the latest moment of each step.
func (p *planner) wayDown() {
	p.title("After a stop signal, %s at most; a step ends when its work is done", formatDuration(p.budget.Grace))
	var at time.Duration
	// step is when one begins at the latest; without a limit of its own it may
	// take all that the drain has.
	step := func(d time.Duration) (begin string) {
		begin = formatDuration(at)
		if d == 0 {
			d = p.budget.Drain
		}
		at = min(at+d, p.budget.Drain)
		return begin
	}
	if p.DrainDelay > 0 {
		p.row(step(p.DrainDelay), "drain-delay: %s goes on serving for %s", p.app, formatDuration(min(p.DrainDelay, p.budget.Drain)))
	}
	for _, t := range p.Drain {
		left := p.budget.Drain - at
		p.row(step(t.Timeout), "drain: %s%s", t.Name, p.capped(&t, left))
	}
	if left := p.budget.Drain - at; p.DrainIdle > 0 {
		p.row(step(0), "drain-idle: %s goes on serving until nobody has been connected for %s, %s at most", p.app, formatDuration(p.DrainIdle), formatDuration(left))
	}
	p.row(formatDuration(at), "stop: %s, which has %s at least", p.signalled(), formatDuration(p.budget.Reserve))
	p.row("", "leftovers: the same signal to the processes that it has left, at once or after half of the time")
	p.row(formatDuration(lastCall(at, p.budget.Kill)), "last call: SIGTERM to everything that was not asked yet")
	p.row(formatDuration(p.budget.Kill), "SIGKILL to %s, if it still lives, and to all that it has left", p.app)
	p.postStop(p.budget.Kill)
	p.row(formatDuration(p.budget.Grace), "usher has exited")

	p.title("If %s ends by itself, %s at most", p.app, formatDuration(p.budget.Grace))
	reserve := min(p.budget.Reserve, p.budget.Kill)
	p.row("0s", "leftovers: %s to the processes that it has left", p.leftoverSignal())
	p.row(formatDuration(lastCall(0, reserve)), "last call: SIGTERM to everything that was not asked yet")
	p.row(formatDuration(reserve), "SIGKILL to what is left")
	p.postStop(p.budget.Reserve)
}

// lastCall is when four fifths of the time from stop to kill have passed.
func lastCall(stop, kill time.Duration) time.Duration { return stop + (kill-stop)*4/5 }

// leftoverSignal is what leftovers get after an app that exited by itself.
func (p *planner) leftoverSignal() string {
	if p.StopSignal > 0 {
		return signals.Name(p.StopSignal)
	}
	return signals.Name(syscall.SIGTERM)
}

func (p *planner) postStop(at time.Duration) {
	for _, t := range p.PostStop {
		p.row(formatDuration(at), "post-stop: %s%s", t.Name, p.capped(&t, p.budget.Grace-at))
		if t.Timeout == 0 {
			at = p.budget.Grace
		}
		at = min(at+t.Timeout, p.budget.Grace)
	}
}

// capped is what a hook may take: its own timeout, or less if no more is left.
func (p *planner) capped(t *probes.Target, left time.Duration) string {
	switch {
	case left <= 0:
		if !slices.Contains(p.late, t.Name) {
			p.late = append(p.late, t.Name)
		}
		return ", for which no time is left"
	case t.Timeout == 0 || left < t.Timeout:
		return atMost(left)
	}
	return atMost(t.Timeout)
}

// wayDownWithoutDeadline has no numbers but the hooks' own.
func (p *planner) wayDownWithoutDeadline() {
	p.title("After a stop signal, or when %s ends by itself; without --grace there is no deadline", p.app)
	p.row("stop", "%s, and then usher waits for it", p.signalled())
	for _, t := range p.PostStop {
		p.row("post-stop", "%s%s", t.Name, atMost(t.Timeout))
	}
	p.row("exit", "what still lives is ended by the kernel, if usher is PID 1")
}

// pictureWidth is how many columns stand for the grace period.
const pictureWidth = 64

// picture draws the budget to scale.
func (p *planner) picture() {
	if p.budget.Grace == 0 || len(p.Command) == 0 {
		return
	}
	p.title("The deadline: each step at the latest")
	type part struct {
		from time.Duration
		name string
	}
	var parts []part
	if p.budget.Drain > 0 && (p.DrainDelay > 0 || len(p.Drain) > 0 || p.DrainIdle > 0) {
		parts = append(parts, part{0, "drain"})
	}
	begin := time.Duration(0)
	if len(parts) > 0 {
		begin = p.budget.Drain
	}
	parts = append(parts, part{begin, p.app})
	if p.budget.Kill < p.budget.Grace {
		parts = append(parts, part{p.budget.Kill, "post-stop"})
	}
	column := func(d time.Duration) int { return int(int64(d) * pictureWidth / int64(p.budget.Grace)) }
	above, line := "", ""
	for i, part := range parts {
		until := p.budget.Grace
		if i+1 < len(parts) {
			until = parts[i+1].from
		}
		width := max(column(until)-column(part.from), utf8.RuneCountInString(part.name)+4, len(formatDuration(part.from))+1)
		above += fmt.Sprintf("%-*s", width, formatDuration(part.from))
		fill := width - utf8.RuneCountInString(part.name) - 3
		line += "├" + strings.Repeat("─", fill/2) + " " + part.name + " " + strings.Repeat("─", fill-fill/2)
	}
	fmt.Fprintf(&p.text, "  %s%s\n  %s┤\n", above, formatDuration(p.budget.Grace), line)
	// The kubelet counts in whole seconds, and its SIGKILL may come one early.
	orchestrator := int((p.budget.Grace + 2*time.Second + time.Second - 1) / time.Second)
	fmt.Fprintf(&p.text, "  needs terminationGracePeriodSeconds: %d or more, and a preStop's time on top; docker stop -t %[1]d\n", orchestrator)
}

// warnings are what will hurt.
func (p *planner) warnings() {
	var all []string
	if p.Grace == 0 && len(p.Command) > 0 && !p.Exec {
		all = append(all, "without --grace nothing is ever killed: an app that ignores its stop signal is ended by the orchestrator, and no post-stop hook is done then")
	}
	all = append(all, p.Warnings()...)
	if len(p.late) > 0 {
		all = append(all, fmt.Sprintf("%s may never be done, for the hooks before may take all the time: give each a timeout=", strings.Join(p.late, " and ")))
	}
	if len(p.Command) > 0 && !p.Exec && !p.Group && p.holdsBackSignals() {
		all = append(all, fmt.Sprintf("%s is a shell and may not pass its signal on: end its script with exec", p.app))
	}
	if len(all) == 0 {
		return
	}
	p.title("Warnings")
	for _, w := range all {
		fmt.Fprintf(&p.text, "  %s\n", w)
	}
}

var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"}

// holdsBackSignals reports whether the app is a shell that keeps its signals from the
// command that it runs. "sh -c SCRIPT" does not if the script contains exec, or is a
// single simple command, which a shell executes without a fork.
func (p *planner) holdsBackSignals() bool {
	c := p.Command
	if !slices.Contains(shells, p.app) {
		return false
	}
	if len(c) < 2 {
		return true
	}
	script := c[len(c)-1]
	if i := slices.Index(c, "-c"); i >= 0 && i+1 < len(c) {
		script = c[i+1]
	}
	return !slices.Contains(strings.Fields(script), "exec") && strings.ContainsAny(script, ";&|\n")
}
