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

// plan returns the text that --plan prints: the timeline with the times that supervisor.Run
// would use, and warnings about likely problems. As in the log, targets and the command are
// printed by their names only, because the rest may be secret.
func plan(o *options) string {
	c := &o.config
	p := planner{Config: c, budget: c.Budget(), health: o.health, app: "nothing"}
	if len(c.Command) > 0 {
		p.app = probes.CommandName(c.Command[0])
	}
	p.startup()
	p.interruptedHooks()
	switch {
	case len(c.Command) == 0 || c.Exec:
	case c.Grace > 0:
		p.shutdown()
	default:
		p.shutdownWithoutDeadline()
	}
	p.diagram()
	p.warnings()
	return p.text.String()
}

type planner struct {
	*supervisor.Config
	budget supervisor.Budget
	health string
	app    string
	late   []string // names of the hooks that may have no time left
	text   strings.Builder
}

func (p *planner) title(format string, a ...any) {
	if p.text.Len() > 0 {
		p.text.WriteByte('\n')
	}
	fmt.Fprintf(&p.text, format+"\n", a...)
}

// row writes a step. The first column is usually the phase of the step, or the latest time at
// which the step starts.
func (p *planner) row(first, format string, a ...any) {
	fmt.Fprintf(&p.text, "  %-12s  %s\n", first, fmt.Sprintf(format, a...))
}

// startup writes the phases up to and including the phase "run". Their steps have no fixed
// times.
func (p *planner) startup() {
	p.title("Startup")
	if p.health != "" {
		p.row("health", "/livez, /readyz and /servingz on %s", p.health)
	}
	for _, t := range p.Wait {
		p.row("wait", "%s", formatProbe(&t, p.WaitTimeout, "exit 124"))
	}
	for _, t := range p.PreStart {
		p.row("pre-start", "hook %s, %s; if it fails: exit 125", t.Name, formatLimit(t.Timeout))
	}
	switch {
	case len(p.Command) == 0:
		p.row("exit", "with 0")
		return
	case p.Exec:
		p.row("exec", "replace usher with %s (execve)", p.app)
		return
	}
	p.row("start", "%s", p.app)
	for _, t := range p.Ready {
		p.row("ready", "%s", formatProbe(&t, 0, "stop the app, exit 124"))
	}
	for _, t := range p.PostStart {
		p.row("post-start", "hook %s, %s; if it fails: stop the app, exit 125", t.Name, formatLimit(t.Timeout))
	}
	p.row("run", "until %s exits, or usher receives %s", p.app, strings.Join(p.stopSignals(), " or "))
}

// interruptedHooks writes how a stop signal ends a hook that is running during the
// startup.
func (p *planner) interruptedHooks() {
	if len(p.PreStart)+len(p.PostStart) == 0 {
		return
	}
	p.title("A stop signal while a hook of the startup is running; its timeout= still counts")
	stop := func(limit, limitWithoutGrace time.Duration) string {
		if p.Grace == 0 {
			limit = limitWithoutGrace
		}
		if limit == 0 {
			return "SIGTERM to the hook, no time limit"
		}
		return fmt.Sprintf("SIGTERM to the hook, SIGKILL after %s", formatDuration(limit))
	}
	if len(p.PreStart) > 0 {
		p.row("pre-start", "%s; exit 128 + signal number", stop(p.budget.Kill, 0))
	}
	if len(p.PostStart) > 0 {
		p.row("post-start", "%s; then the shutdown below", stop(p.budget.Drain, time.Second))
	}
}

// formatProbe describes how long a target is probed. total is the limit for all targets
// together; 0 means no limit. onExpiry says what happens when total or the within= of the
// target expires.
func formatProbe(t *probes.Target, total time.Duration, onExpiry string) string {
	limit := total
	if t.Within > 0 && (total == 0 || t.Within < total) {
		limit = t.Within
	}
	switch {
	case t.Optional > 0:
		return fmt.Sprintf("until %s is ready; after %s continue without it", t.Name, formatDuration(t.Optional))
	case limit > 0:
		return fmt.Sprintf("until %s is ready; after %s: %s", t.Name, formatDuration(limit), onExpiry)
	}
	return fmt.Sprintf("until %s is ready, no time limit", t.Name)
}

func formatLimit(d time.Duration) string {
	if d == 0 {
		return "no time limit"
	}
	return formatDuration(d) + " at most"
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

func (p *planner) stopSignal() string {
	sig := "the received signal"
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

// shutdown writes the phases after the phase "run" if there is --grace: first those after a
// stop signal, then those after the app's own exit. Most rows begin with the latest time of
// their step, counted from the start of the shutdown.
func (p *planner) shutdown() {
	p.title("Shutdown after a stop signal: %s at most; each step ends when its work is done", formatDuration(p.budget.Grace))
	var at time.Duration
	// step returns the latest start of a step of the drain, and adds the limit of the step
	// to the variable at. A step without a limit may use all of the time that is left for
	// the drain.
	step := func(limit time.Duration) (start string) {
		start = formatDuration(at)
		if limit == 0 {
			limit = p.budget.Drain
		}
		at = min(at+limit, p.budget.Drain)
		return start
	}
	if p.DrainDelay > 0 {
		p.row(step(p.DrainDelay), "drain-delay: %s keeps serving for %s", p.app, formatDuration(min(p.DrainDelay, p.budget.Drain)))
	}
	for _, t := range p.Drain {
		left := p.budget.Drain - at
		p.row(step(t.Timeout), "drain: hook %s, %s", t.Name, p.formatHookLimit(&t, left))
	}
	if left := p.budget.Drain - at; p.DrainIdle > 0 {
		p.row(step(0), "drain-idle: %s keeps serving until no request is open and no client has been active for %s, %s at most", p.app, formatDuration(p.DrainIdle), formatDuration(left))
	}
	p.row(formatDuration(at), "stop: %s, which has at least %s to exit", p.stopSignal(), formatDuration(p.budget.Reserve))
	if p.StopSignal == supervisor.NoSignal {
		p.row("", "leftovers: the received signal to the processes that %s left running", p.app)
	} else {
		p.row("", "leftovers: the same signal to the processes that %s left running, at once or after half of the time", p.app)
	}
	p.row(formatDuration(lastCall(at, p.budget.Kill)), "last call: SIGTERM to every process that has had no signal yet")
	p.row(formatDuration(p.budget.Kill), "SIGKILL to %s and all leftover processes", p.app)
	p.postStop(p.budget.Kill)
	p.row(formatDuration(p.budget.Grace), "usher has exited")

	p.title("Shutdown after %s has exited by itself: %s at most", p.app, formatDuration(p.budget.Grace))
	reserve := min(p.budget.Reserve, p.budget.Kill)
	p.row("0s", "leftovers: %s to the processes that %s left running", p.leftoverSignal(), p.app)
	p.row(formatDuration(lastCall(0, reserve)), "last call: SIGTERM to every process that has had no signal yet")
	p.row(formatDuration(reserve), "SIGKILL to all leftover processes")
	p.postStop(p.budget.Reserve)
}

// lastCall returns the time of the last call, at which every process that has had no signal
// yet gets SIGTERM: when four fifths of the time from stop to kill have passed.
func lastCall(stop, kill time.Duration) time.Duration { return stop + (kill-stop)*4/5 }

// leftoverSignal returns the name of the signal that leftovers get after the app has
// exited by itself.
func (p *planner) leftoverSignal() string {
	if p.StopSignal > 0 {
		return signals.Name(p.StopSignal)
	}
	return signals.Name(syscall.SIGTERM)
}

func (p *planner) postStop(at time.Duration) {
	for _, t := range p.PostStop {
		p.row(formatDuration(at), "post-stop: hook %s, %s", t.Name, p.formatHookLimit(&t, p.budget.Grace-at))
		if t.Timeout == 0 {
			at = p.budget.Grace
		}
		at = min(at+t.Timeout, p.budget.Grace)
	}
}

// formatHookLimit describes the limit of a hook, which is its own timeout, or the time that
// is left if that is shorter. If no time may be left, formatHookLimit adds the hook to p.late,
// from which warnings makes a warning.
func (p *planner) formatHookLimit(t *probes.Target, left time.Duration) string {
	switch {
	case left <= 0:
		if !slices.Contains(p.late, t.Name) {
			p.late = append(p.late, t.Name)
		}
		return "no time may be left for it"
	case t.Timeout == 0 || left < t.Timeout:
		return formatLimit(left)
	}
	return formatLimit(t.Timeout)
}

// shutdownWithoutDeadline writes the phases after the phase "run" if there is no --grace.
// Without --grace, only hooks have time limits.
func (p *planner) shutdownWithoutDeadline() {
	p.title("Shutdown after a stop signal, or after %s has exited by itself: no deadline without --grace", p.app)
	p.row("stop", "%s, then usher waits until it has exited", p.stopSignal())
	for _, t := range p.PostStop {
		p.row("post-stop", "hook %s, %s", t.Name, formatLimit(t.Timeout))
	}
	p.row("exit", "if usher is PID 1, the kernel kills all remaining processes")
}

// diagramWidth is the number of columns that stand for the whole time of --grace. The
// diagram is wider if the name or the start time of a short phase needs more columns.
const diagramWidth = 64

// diagram draws, to scale, when the drain, the app's stop and post-stop start at the latest.
// Below, it writes the time that the platform must wait before SIGKILL.
func (p *planner) diagram() {
	if p.budget.Grace == 0 || len(p.Command) == 0 {
		return
	}
	p.title("The latest start of each phase")
	type part struct {
		from time.Duration
		name string
	}
	var parts []part
	if p.budget.Drain > 0 && (p.DrainDelay > 0 || len(p.Drain) > 0 || p.DrainIdle > 0) {
		parts = append(parts, part{0, "drain"})
	}
	stop := time.Duration(0)
	if len(parts) > 0 {
		stop = p.budget.Drain
	}
	parts = append(parts, part{stop, p.app})
	if p.budget.Kill < p.budget.Grace {
		parts = append(parts, part{p.budget.Kill, "post-stop"})
	}
	column := func(d time.Duration) int { return int(int64(d) * diagramWidth / int64(p.budget.Grace)) }
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
	// killTimeout is --grace plus the 2 s that usher(1) recommends, because the kubelet may
	// send SIGKILL up to a second early. The sum is rounded up to whole seconds, because
	// terminationGracePeriodSeconds and docker stop -t take whole seconds.
	killTimeout := int((p.budget.Grace + 2*time.Second + time.Second - 1) / time.Second)
	fmt.Fprintf(&p.text, "  needs terminationGracePeriodSeconds: %d or more, plus the time of a preStop hook; docker stop -t %[1]d\n", killTimeout)
}

// warnings writes warnings about likely problems.
func (p *planner) warnings() {
	var all []string
	if p.Grace == 0 && len(p.Command) > 0 && !p.Exec {
		all = append(all, "without --grace nothing is ever killed: if the app ignores its stop signal, the platform kills the container, and post-stop hooks do not run")
	}
	all = append(all, p.Warnings()...)
	if len(p.late) > 0 {
		all = append(all, fmt.Sprintf("%s may never run, because the hooks before may use all of the time: give each hook a timeout=", strings.Join(p.late, " and ")))
	}
	// With --grace, a shell that the stop signal kills is no problem, because usher then
	// signals the shell's children. But a shell with a trap runs the trap only after its
	// foreground child has exited, and usher signals that child only late in the grace period
	// (at the last call, see supervisor/leftovers.go).
	if len(p.Command) > 0 && !p.Exec && !p.Group && p.isShellWithChild() && (p.Grace == 0 || strings.Contains(p.script(), "trap ")) {
		all = append(all, fmt.Sprintf("%s is a shell and may not forward signals to its child: end the script with exec", p.app))
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

// isShellWithChild reports whether the app is a shell that probably runs the server as its
// child. A shell without arguments counts as such. "sh -c SCRIPT" does, unless SCRIPT
// contains exec or is a single simple command, which most shells execute without a fork. The
// script in a file is not read, so "sh FILE" does not count.
func (p *planner) isShellWithChild() bool {
	c := p.Command
	if !slices.Contains(shells, p.app) {
		return false
	}
	if len(c) < 2 {
		return true
	}
	script := p.script()
	return !slices.Contains(strings.Fields(script), "exec") && strings.ContainsAny(script, ";&|\n")
}

// script returns SCRIPT if the command is "sh -c SCRIPT", else the command's last argument.
func (p *planner) script() string {
	c := p.Command
	if i := slices.Index(c, "-c"); i >= 0 && i+1 < len(c) {
		return c[i+1]
	}
	return c[len(c)-1]
}
