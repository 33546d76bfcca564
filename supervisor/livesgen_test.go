package supervisor

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// life is a random story: the description of one run of usher on the fake kernel, as in the
// files testdata/*.story. Each entry of flags is one flag with its value. Each entry of another
// slice is one line of the story's section with the slice's name. So shrink can shorten a
// failing life by leaving entries out.
type life struct {
	waitOnly  bool // no command: usher only waits
	flags     []string
	machine   []string
	processes []lifeProcess
	targets   []string
	events    []string
}

type lifeProcess struct {
	name    string
	clauses []string
}

// text returns the life as a story, without the section "trace".
func (l *life) text() string {
	var b strings.Builder
	words := append([]string{"usher"}, l.flags...)
	if !l.waitOnly {
		words = append(words, "-- app")
	}
	b.WriteString("-- usher --\n" + strings.Join(words, " ") + "\n")
	section := func(name string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "-- %s --\n%s\n", name, strings.Join(lines, "\n"))
		}
	}
	var processes []string
	for _, p := range l.processes {
		if len(p.clauses) > 0 {
			processes = append(processes, p.name+": "+strings.Join(p.clauses, "; "))
		}
	}
	section("machine", l.machine)
	section("processes", processes)
	section("targets", l.targets)
	section("events", l.events)
	return b.String()
}

// generator makes one life, from the random numbers of Rand.
type generator struct {
	*rand.Rand
	life
	grace time.Duration
	names int
}

// newLife returns the random story with number n of a seed. The same seed and number give the
// same story. Its configuration may be invalid.
func newLife(seed, n uint64) *life {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, n))}
	g.machineLines()
	g.configuration()
	g.app()
	g.eventLines()
	return &g.life
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// span returns a random duration of at most limit. Most durations are from a short list, so
// that several things often happen at the same instant.
func (g *generator) span(limit time.Duration) time.Duration {
	for {
		d := pick(g, time.Millisecond, 10*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond, 300*time.Millisecond, 500*time.Millisecond,
			time.Second, time.Second, 1500*time.Millisecond, 2*time.Second, 2*time.Second, 3*time.Second, 5*time.Second, 7*time.Second,
			10*time.Second, 12*time.Second, 20*time.Second, time.Duration(1+g.IntN(30_000))*time.Millisecond)
		if d <= limit {
			return d
		}
	}
}

func (g *generator) flag(format string, args ...any) {
	g.flags = append(g.flags, fmt.Sprintf(format, args...))
}

func (g *generator) machineLines() {
	if g.chance(30) {
		g.machine = append(g.machine, "not PID 1")
	}
	if g.chance(12) {
		g.machine = append(g.machine, "no /proc")
	}
	if g.chance(35) {
		g.machine = append(g.machine, "pids are reused")
	}
	if g.chance(10) {
		g.machine = append(g.machine, "reading /proc takes "+pick(g, "1ms", "10ms", "80ms", "300ms"))
	}
}

func (g *generator) configuration() {
	if g.chance(3) {
		g.waitOnly = true
		g.probes("wait", 1+g.IntN(3), true)
		if g.chance(50) {
			g.flag("--wait-timeout %v", g.span(time.Minute))
		}
		if g.chance(50) {
			g.flag("--grace %v", g.span(20*time.Second))
		}
		return
	}
	if g.chance(3) {
		g.flag("--exec")
		if g.chance(50) {
			g.hooks("pre-start", 1, 0)
		}
		return
	}
	if g.chance(75) {
		g.grace = pick(g, time.Second, 2*time.Second, 3*time.Second, 5*time.Second, 8*time.Second, 10*time.Second, 20*time.Second, 25*time.Second, 60*time.Second,
			time.Duration(500+g.IntN(20_000))*time.Millisecond)
		g.flag("--grace %v", g.grace)
	}
	if g.chance(30) {
		g.probes("wait", 1+g.IntN(3), true)
		if g.chance(50) {
			g.flag("--wait-timeout %v", g.span(time.Minute))
		}
	}
	if g.chance(25) {
		g.hooks("pre-start", 1+g.IntN(2), 0)
	}
	if g.chance(25) {
		g.probes("ready", 1+g.IntN(2), false)
	}
	if g.chance(25) {
		g.hooks("post-start", 1+g.IntN(2), 0)
	}
	if g.grace > 0 {
		if g.chance(30) {
			g.flag("--stop-reserve %v", g.span(g.grace))
		}
		if g.chance(30) {
			g.flag("--drain-delay %v", g.span(g.grace))
		}
		if g.chance(35) {
			g.hooks("drain", 1+g.IntN(3), g.grace)
		}
	}
	if g.chance(40) {
		g.hooks("post-stop", 1+g.IntN(3), g.grace)
	}
	switch {
	case g.chance(8) && g.grace > 0:
		g.flag("--stop-signal none")
	case g.chance(20):
		g.flag("--stop-signal %s", pick(g, "QUIT", "INT", "TERM", "WINCH", "USR1"))
	}
	if g.chance(20) {
		g.flag("--stop-on %s", pick(g, "QUIT", "WINCH", "USR1", "RTMIN+3", "HUP"))
	}
	if g.chance(25) {
		g.flag("--group")
	}
	if g.chance(15) {
		g.flag("--rewrite %s:%s", pick(g, "HUP", "USR2", "USR1", "41"), pick(g, "USR2", "HUP", "0", "40", "WINCH"))
	}
	if g.chance(15) {
		g.flag("--success-exit %s", pick(g, "143", "130,143", "3", "137", "1"))
	}
	if g.chance(25) {
		g.flag("--health :8086")
	}
}

// probes adds n flags of one name ("wait" or "ready"), each with a random target. If optional
// is true, some of the targets have the option optional=.
func (g *generator) probes(flag string, n int, optional bool) {
	for range n {
		options := ""
		if g.chance(20) {
			options += fmt.Sprintf("within=%v ", g.span(20*time.Second))
		} else if optional && g.chance(20) {
			options += fmt.Sprintf("optional=%v ", g.span(20*time.Second))
		}
		if g.chance(15) {
			options += "successes=2 "
		}
		if g.chance(30) {
			options += fmt.Sprintf("timeout=%v ", g.span(5*time.Second))
		}
		if g.chance(30) {
			name := g.newName("check")
			g.flag("--%s '%s%s'", flag, options, name)
			g.command(name, pick(g, 0, 0, 0, 1))
			continue
		}
		name := g.newName("tcp://t") + ":1"
		g.flag("--%s '%s%s'", flag, options, name)
		switch {
		case g.chance(12):
			g.targets = append(g.targets, name+": never ready")
		case g.chance(30):
			from := g.span(time.Minute)
			g.targets = append(g.targets, fmt.Sprintf("%s: %s from %v to %v", name, pick(g, "not ready", "hangs"), from, from+g.span(time.Minute)))
		case g.chance(25):
			g.targets = append(g.targets, fmt.Sprintf("%s: not ready from 0s to %v", name, g.span(time.Minute)))
		default:
			g.targets = append(g.targets, fmt.Sprintf("%s: ready after %v", name, g.span(5*time.Second)))
		}
	}
}

// hooks adds n flags of one name, such as "pre-start", each with a random hook. If a hook has
// the option timeout=, its value is at most the parameter within (if that is 0: at most 20 s).
func (g *generator) hooks(flag string, n int, within time.Duration) {
	for range n {
		limit := within
		if limit == 0 {
			limit = 20 * time.Second
		}
		options, bounded := "", flag == "drain" || flag == "post-stop"
		if g.chance(40) {
			options, bounded = fmt.Sprintf("timeout=%v ", g.span(limit)), true
		}
		retries := 0
		if g.chance(15) {
			retries = 1 + g.IntN(3)
			options += fmt.Sprintf("retries=%d ", retries)
		}
		if bounded && g.chance(20) {
			name := g.newName("tcp://t") + ":1"
			g.flag("--%s '%s%s'", flag, options, name)
			if g.chance(25) {
				g.targets = append(g.targets, name+": never ready")
			} else {
				g.targets = append(g.targets, fmt.Sprintf("%s: ready after %v", name, g.span(10*time.Second)))
			}
			continue
		}
		name := g.newName("hook")
		g.flag("--%s '%s%s'", flag, options, name)
		g.command(name, pick(g, 0, 0, 0, 0, 1))
	}
}

func (g *generator) newName(prefix string) string {
	g.names++
	return fmt.Sprintf("%s%d", prefix, g.names)
}

func (g *generator) processNames() (names []string) {
	for _, p := range g.processes {
		names = append(names, p.name)
	}
	return names
}

func (g *generator) process(name string, clauses ...string) {
	g.processes = append(g.processes, lifeProcess{name, clauses})
}

// command describes the process of a hook's or a probe's command.
func (g *generator) command(name string, code int) {
	var c []string
	switch {
	case g.chance(4):
		g.process(name, pick(g, "is not found", "cannot be forked", "cannot be executed"))
		return
	case g.grace > 0 && g.chance(12): // no clause "exits", so the process exits only on a signal
	default:
		c = append(c, fmt.Sprintf("exits %d after %v", code, g.span(pick(g, time.Second, 10*time.Second))))
	}
	c = append(c, g.reaction()...)
	if g.chance(20) {
		c = append(c, g.family(1)...)
	}
	if g.chance(8) {
		c = append(c, fmt.Sprintf("its start takes %v", g.span(10*time.Second)))
	}
	g.process(name, append(c, g.oddities()...)...)
}

// reaction describes what a process does on a stop signal.
func (g *generator) reaction() (c []string) {
	switch {
	case g.chance(35):
		return nil // without a clause, the stop signal kills the process
	case g.chance(12):
		return []string{"ignores signals"}
	case g.chance(25):
		c = append(c, fmt.Sprintf("on a stop signal exits %d", g.IntN(4)))
	default:
		c = append(c, fmt.Sprintf("on a stop signal exits %d after %v", g.IntN(4), g.span(20*time.Second)))
	}
	if g.chance(30) {
		c = append(c, "forwards it to its children")
	}
	if g.chance(20) {
		c = append(c, "waits for its children")
	}
	if g.chance(10) {
		c = append(c, "raises it again")
	}
	if g.chance(50) {
		c = append(c, "is killed by a second stop signal")
	}
	if g.chance(20) {
		c = append(c, "treats WINCH as a stop signal")
	}
	return c
}

// family adds the processes that a process forks, and returns the clauses that name them. depth
// is 1 for the app and for commands, 2 for their children and 3 for their grandchildren.
// Great-grandchildren fork no processes.
func (g *generator) family(depth int) (c []string) {
	some := func(prefix string) string {
		var names []string
		for range 1 + g.IntN(3) {
			name := g.newName(prefix)
			names = append(names, name)
			g.child(name, depth)
		}
		return strings.Join(names, " ")
	}
	if g.chance(50) {
		c = append(c, "children "+some("child"))
	}
	if g.chance(15) {
		c = append(c, "daemons "+some("daemon"))
	}
	if g.chance(12) {
		c = append(c, "leaves "+some("left")+" running")
	}
	if g.chance(12) {
		c = append(c, fmt.Sprintf("after %v forks %s", g.span(40*time.Second), some("late")))
	}
	return c
}

func (g *generator) child(name string, depth int) {
	c := g.reaction()
	if g.chance(6) { // like tee, it reads the output of the app or of another process, and exits when that process exits
		c = append(c, fmt.Sprintf("exits when %s has", append(g.processNames(), "app")[g.IntN(len(g.processes)+1)]))
	}
	if g.chance(40) {
		c = append(c, fmt.Sprintf("exits %d after %v", g.IntN(2), g.span(20*time.Second)))
	}
	if depth < 3 && g.chance(30) {
		c = append(c, g.family(depth+1)...)
	}
	g.process(name, append(c, g.oddities()...)...)
}

// oddities describes rare properties of a process.
func (g *generator) oddities() (c []string) {
	if g.chance(8) {
		c = append(c, "has its own group")
	}
	if g.chance(4) {
		c = append(c, fmt.Sprintf("moves to another group after %v", g.span(20*time.Second)))
	}
	if g.chance(6) {
		c = append(c, fmt.Sprintf("is stopped after %v", g.span(20*time.Second)))
	}
	if g.grace > 0 {
		if g.chance(3) {
			c = append(c, "runs as another user")
		}
		if g.chance(3) {
			c = append(c, "cannot be killed")
		}
		if g.chance(3) {
			c = append(c, fmt.Sprintf("exits %v after SIGKILL", g.span(2*time.Second)))
		}
	}
	return c
}

func (g *generator) app() {
	if g.chance(4) {
		g.process("app", pick(g, "is not found", "cannot be executed", "cannot be forked"))
		return
	}
	var c []string
	if g.chance(35) {
		c = append(c, fmt.Sprintf("exits %d after %v", pick(g, 0, 0, 1, 3, 143), g.span(40*time.Second)))
	}
	c = append(c, g.reaction()...)
	if g.chance(60) {
		c = append(c, g.family(1)...)
	}
	if g.chance(6) {
		c = append(c, fmt.Sprintf("its start takes %v", g.span(20*time.Second)))
	}
	g.process("app", append(c, g.oddities()...)...)
}

// lastStop is the time of the last SIGTERM of each random story. Without that SIGTERM some
// stories would have no stop signal and could run for ever.
const lastStop = 70 * time.Second

func (g *generator) eventLines() {
	base := g.span(40 * time.Second)
	g.clientLines(base)
	for range g.IntN(7) {
		at := base
		switch {
		case g.chance(50):
			at += g.span(30 * time.Second)
		case g.chance(30):
			at = g.span(60 * time.Second)
		}
		switch {
		case g.chance(5):
			g.event(at, "kill "+g.processes[g.IntN(len(g.processes))].name)
		case g.chance(45):
			g.event(at, pick(g, "TERM", "TERM", "TERM", "INT", "QUIT", "HUP"))
		case g.chance(50):
			g.event(at, pick(g, "USR1", "USR2", "HUP", "WINCH", "40", "41", "RTMIN+3", "CONT", "ALRM"))
		case g.chance(30):
			g.event(at, fmt.Sprintf("%s × %d", pick(g, "40", "USR1", "TERM", "HUP", "41"), pick(g, 2, 3, 20)))
		case g.chance(3):
			g.event(at, "USR2 × 1500")
		case g.chance(30):
			g.event(at, pick(g, "ready?", "serving?"))
		case g.chance(30):
			name := g.newName("exec")
			g.child(name, 2)
			g.event(at, "exec "+name)
		case g.chance(20):
			g.event(at, "cancel")
		default:
			g.event(at, "kill "+g.processes[g.IntN(len(g.processes))].name)
		}
	}
	g.event(lastStop, "TERM")
	if g.grace == 0 {
		g.event(2*lastStop, "kill everything")
	}
}

func (g *generator) event(at time.Duration, what string) {
	g.events = append(g.events, fmt.Sprintf("%v %s", at, what))
}
