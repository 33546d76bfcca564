package supervisor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

var update = flag.Bool("update", false, "write the traces of the stories as they are now")

// A story is one run of usher in fake time on a fake kernel. It is a text file
// in testdata, in sections that begin with "-- NAME --":
//
//	(before the first)  what it shows
//	usher               the command line
//	machine             what is particular: "not PID 1", "no /proc", …
//	processes           a line for each: "NAME: what it does; what else"
//	targets             a line for each: "NAME: when it is ready"
//	events              a line for each: the time and what happens, such as a signal
//	trace               what comes of it: phases, events, and system calls (indented)
//
// behaviour, machineWords, readTarget and schedule say what can be written.
type story map[string]string

const (
	traceSection = "trace"
	commentOf    = "" // the text before the first section
)

// readStory splits a file into its sections.
func readStory(text string) story {
	s, name := story{}, commentOf
	for line := range strings.Lines(text) {
		if section, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(section, " --\n") {
			name = strings.TrimSuffix(section, " --\n")
			continue
		}
		s[name] += line
	}
	return s
}

// lines are the lines of a section, without empty ones.
func (s story) lines(section string) []string {
	return slices.DeleteFunc(strings.Split(s[section], "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
}

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.story")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".story"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			s := readStory(string(text))
			require.NotEmpty(t, strings.TrimSpace(s[commentOf]), "a story says what it shows")
			got := s.run(t)
			if *update {
				input, _, _ := strings.Cut(string(text), "-- "+traceSection+" --\n")
				require.NoError(t, os.WriteFile(file, []byte(input+"-- "+traceSection+" --\n"+got), 0o644))
				return
			}
			assert.Equal(t, s[traceSection], got)
		})
	}
}

// trace writes down what happens; the loop and the timers of the fake kernel both do.
type trace struct {
	mu    sync.Mutex
	began time.Time
	text  strings.Builder
	last  string
	times int
}

// attempts are what jitter makes different in each run.
var attempts = regexp.MustCompile(`\d+ attempts in `)

func (t *trace) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := fmt.Sprintf("%8v %s", time.Since(t.began), attempts.ReplaceAllString(fmt.Sprintf(format, args...), "some attempts in "))
	if line == t.last {
		t.times++
		return
	}
	t.end()
	t.last, t.times = line, 1
}

// end writes the last line, with the number of its repetitions.
func (t *trace) end() {
	if t.times > 1 {
		t.last += fmt.Sprintf(" (%d times)", t.times)
	}
	if t.times > 0 {
		fmt.Fprintln(&t.text, t.last)
	}
	t.times = 0
}

// run runs a story and returns its trace.
func (s story) run(t *testing.T) (text string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { text = s.inFakeTime(t) })
	return text
}

func (s story) inFakeTime(t *testing.T) string {
	tr := &trace{began: time.Now()}
	k := newFake(s.behaviours(t), tr.line)
	for _, line := range s.lines("machine") {
		machineWords(t, k, line)
	}
	c := s.config(t)
	control, other := make(chan os.Signal, 64), make(chan os.Signal, 4096)
	c.Signals = &signals.Inbox{Child: k.child, Control: control, Other: other}
	c.Observe = func(e Event) {
		if text := eventLine(e); text != "" {
			tr.line("%s", text)
		}
	}
	require.NoError(t, c.Validate())

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := schedule{t: t, trace: tr, k: k, config: &c, control: control, other: other, cancel: cancel}
	for _, line := range s.lines("events") {
		events.add(line)
	}
	code, why := run(ctx, c, k)
	tr.line("exit code %d: %v", code, why)
	tr.end()
	events.asking.Wait()
	for _, answer := range events.answers {
		fmt.Fprintln(&tr.text, *answer)
	}
	return tr.text.String()
}

// config reads the command line, with the flags that a story may have.
func (s story) config(t *testing.T) Config {
	t.Helper()
	args := shellWords(t, s["usher"])
	require.Equal(t, "usher", args[0], "the command line begins with usher")
	c := Config{Env: []string{}}
	flags := pflag.NewFlagSet("usher", pflag.ContinueOnError)
	flags.SetInterspersed(false)
	flags.SortFlags = false
	behave := s.targets(t)
	targets := func(to *[]probes.Target, name string, use probes.Use) {
		flags.Func(name, "", func(text string) error {
			target, err := probes.Parse(text, use)
			if probe := behave[target.Name]; probe != nil {
				target.Probe = probe
			}
			*to = append(*to, target)
			return err
		})
	}
	targets(&c.Wait, "wait", probes.ForWait)
	targets(&c.PreStart, "pre-start", probes.ForStart)
	targets(&c.Ready, "ready", probes.ForReady)
	targets(&c.PostStart, "post-start", probes.ForStart)
	targets(&c.Drain, "drain", probes.ForEnd)
	targets(&c.PostStop, "post-stop", probes.ForEnd)
	flags.DurationVar(&c.WaitTimeout, "wait-timeout", 0, "")
	flags.DurationVar(&c.DrainDelay, "drain-delay", 0, "")
	flags.DurationVar(&c.DrainIdle, "drain-idle", 0, "")
	flags.DurationVar(&c.Grace, "grace", 0, "")
	flags.DurationVar(&c.StopReserve, "stop-reserve", 0, "")
	flags.BoolVar(&c.Exec, "exec", false, "")
	flags.BoolVar(&c.Group, "group", false, "")
	flags.IntSliceVar(&c.SuccessExit, "success-exit", nil, "")
	flags.Func("health", "", func(string) error {
		c.Readiness, c.IdleExcept = NewReadiness(), []uint16{8086}
		return nil
	})
	flags.Func("stop-on", "", func(text string) error {
		sig, err := signals.Parse(text)
		c.StopOn = append(c.StopOn, sig)
		return err
	})
	flags.Func("stop-signal", "", func(text string) (err error) {
		if c.StopSignal = NoSignal; text != "none" {
			c.StopSignal, err = signals.Parse(text)
		}
		return err
	})
	flags.Func("rewrite", "", func(text string) error {
		from, to, err := signals.ParseRewrite(text)
		if c.Rewrite == nil {
			c.Rewrite = signals.Rewrite{}
		}
		c.Rewrite[from] = to
		return err
	})
	require.NoError(t, flags.Parse(args[1:]))
	c.Command = flags.Args()
	return c
}

// shellWords splits a command line with single quotes, over several lines.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	for _, m := range regexp.MustCompile(`(?:'[^']*'|[^\s'])+`).FindAllString(line, -1) {
		if m != `\` {
			words = append(words, strings.ReplaceAll(m, "'", ""))
		}
	}
	require.NotEmpty(t, words)
	return words
}

// behaviour is what a process of a story does.
type behaviour struct {
	exitsAfter time.Duration // 0: it does not exit by itself
	code       int
	stopsAfter time.Duration // SIGSTOP

	// What it does with a stop signal: by default it is killed by it.
	handles   bool
	stopTakes time.Duration
	stopCode  int
	tells     bool             // forwards it to its children
	waits     bool             // exits when its children have
	raises    bool             // is killed by it, after its handler has run
	once      bool             // a second one kills it
	ignores   bool             // everything but SIGKILL and SIGSTOP
	extra     []syscall.Signal // stop signals beside TERM, INT and QUIT

	children, daemons, leaves, forks []string
	forksAfter                       time.Duration

	otherGroup                                 time.Duration // when it moves to another group; 0: never
	ownGroup, otherUser, unkillable, noSIGCHLD bool

	reads      string // the process whose output it reads; it exits when that has
	startTakes time.Duration
	absent     error
}

func (b *behaviour) stopSignals() []syscall.Signal {
	return append([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}, b.extra...)
}

// clauses are what can be written about a process. D is a duration, N a number,
// NAMES are other processes.
var clauses = []struct {
	pattern string
	set     func(b *behaviour, d time.Duration, n int, names []string)
}{
	{`exits N after D`, func(b *behaviour, d time.Duration, n int, _ []string) { b.exitsAfter, b.code = d, n }},
	{`on a stop signal exits N`, func(b *behaviour, _ time.Duration, n int, _ []string) { b.handles, b.stopCode = true, n }},
	{`on a stop signal exits N after D`, func(b *behaviour, d time.Duration, n int, _ []string) {
		b.handles, b.stopTakes, b.stopCode = true, d, n
	}},
	{`tells its children of it`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.tells = true }},
	{`raises it again`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.raises = true }},
	{`exits when NAMES has`, func(b *behaviour, _ time.Duration, _ int, names []string) { b.reads = names[0] }},
	{`waits for its children`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.waits = true }},
	{`is killed by a second one`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.once = true }},
	{`takes WINCH for one`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.extra = append(b.extra, syscall.SIGWINCH) }},
	{`ignores signals`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.ignores = true }},
	{`is stopped after D`, func(b *behaviour, d time.Duration, _ int, _ []string) { b.stopsAfter = d }},
	{`children NAMES`, func(b *behaviour, _ time.Duration, _ int, names []string) { b.children = names }},
	{`daemons NAMES`, func(b *behaviour, _ time.Duration, _ int, names []string) { b.daemons = names }},
	{`leaves NAMES`, func(b *behaviour, _ time.Duration, _ int, names []string) { b.leaves = names }},
	{`after D forks NAMES`, func(b *behaviour, d time.Duration, _ int, names []string) { b.forksAfter, b.forks = d, names }},
	{`has its own group`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.ownGroup = true }},
	{`moves to another group`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.otherGroup = 1 }},
	{`moves to another group after D`, func(b *behaviour, d time.Duration, _ int, _ []string) { b.otherGroup = d }},
	{`runs as another user`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.otherUser = true }},
	{`cannot be killed`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.unkillable = true }},
	{`its SIGCHLD is lost`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.noSIGCHLD = true }},
	{`its start takes D`, func(b *behaviour, d time.Duration, _ int, _ []string) { b.startTakes = d }},
	{`is not found`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.absent = syscall.ENOENT }},
	{`cannot be executed`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.absent = syscall.EACCES }},
	{`cannot be forked`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.absent = syscall.EAGAIN }},
}

// behaviours reads the section about processes.
func (s story) behaviours(t *testing.T) map[string]behaviour {
	t.Helper()
	all := map[string]behaviour{}
	for _, line := range s.lines("processes") {
		name, text, ok := strings.Cut(line, ": ")
		require.True(t, ok, line)
		var b behaviour
		for clause := range strings.SplitSeq(text, "; ") {
			b.read(t, clause)
		}
		all[name] = b
	}
	return all
}

func (b *behaviour) read(t *testing.T, clause string) {
	t.Helper()
	for _, c := range clauses {
		pattern := c.pattern
		for _, part := range [][2]string{{"NAMES", `(?P<names>.+)`}, {"N", `(?P<n>\d+)`}, {"D", `(?P<d>[\d.]+[a-z]+[\d.a-z]*)`}} {
			if part[0] == "N" && strings.Contains(pattern, "names") {
				continue
			}
			pattern = regexp.MustCompile(`\b`+part[0]+`\b`).ReplaceAllLiteralString(pattern, part[1])
		}
		m := regexp.MustCompile("^" + pattern + "$")
		found := m.FindStringSubmatch(clause)
		if found == nil {
			continue
		}
		var d time.Duration
		var n int
		var names []string
		for i, group := range m.SubexpNames() {
			switch group {
			case "d":
				d = duration(t, found[i])
			case "n":
				_, err := fmt.Sscan(found[i], &n)
				require.NoError(t, err)
			case "names":
				names = strings.Fields(found[i])
			}
		}
		c.set(b, d, n, names)
		return
	}
	t.Fatalf("what does a process do that %q?", clause)
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	return d
}

// machineWords reads a line about what is particular about the machine.
func machineWords(t *testing.T, k *fake, line string) {
	t.Helper()
	var a, b string
	switch {
	case line == "not PID 1":
		k.notPID1 = true
	case line == "no /proc":
		k.noProc = true
	case line == "pids are used again":
		k.reusePIDs = true
	case scan(line, "%s processes are killed for lack of memory", &a):
		_, err := fmt.Sscan(a, &k.oomKills)
		require.NoError(t, err)
	case line == "sockets cannot be seen":
		k.blind = true
	case scan(line, "a look at /proc takes %s", &a):
		k.lookTime = duration(t, a)
	case scan(line, "port 80 is closed at %s", &a):
		k.closesAt = duration(t, a)
	case scan(line, "a client from %s to %s", &a, &b):
		k.clients = append(k.clients, [2]time.Duration{duration(t, a), duration(t, b)})
	default:
		t.Fatalf("what is a machine with %q?", line)
	}
}

func scan(line, format string, a ...any) bool {
	n, err := fmt.Sscanf(line, format, a...)
	return err == nil && n == len(a)
}

// targets reads the section about probed targets.
func (s story) targets(t *testing.T) map[string]probes.Probe {
	t.Helper()
	all := map[string]probes.Probe{}
	for _, line := range s.lines("targets") {
		name, text, ok := strings.Cut(line, ": ")
		require.True(t, ok, line)
		all[name] = readTarget(t, text)
	}
	return all
}

func readTarget(t *testing.T, text string) probes.Probe {
	t.Helper()
	var a, b string
	switch {
	case text == "never ready":
		return readyAfter(-1)
	case scan(text, "ready after %s", &a):
		return readyAfter(duration(t, a))
	case scan(text, "not ready from %s to %s", &a, &b):
		return outage{from: duration(t, a), to: duration(t, b)}
	case scan(text, "hangs from %s to %s", &a, &b):
		return outage{duration(t, a), duration(t, b), true}
	}
	t.Fatalf("when is a target ready that is %q?", text)
	return nil
}

// readyAfter is a target that needs so long for its one answer, that it is ready;
// never, if that is negative.
type readyAfter time.Duration

func (d readyAfter) Ask(ctx context.Context, _ probes.Attempt) error {
	if d < 0 {
		<-ctx.Done()
		return errors.New("not ready")
	}
	select {
	case <-time.After(time.Duration(d)):
		return nil
	case <-ctx.Done():
		return errors.New("not ready")
	}
}

// outage is a target that is not ready between two moments of the story, or does
// not answer then, and takes a tenth of a second for any answer.
type outage struct {
	from, to time.Duration
	hangs    bool
}

func (d outage) Ask(ctx context.Context, _ probes.Attempt) error {
	midnight := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when time begins in a synctest bubble
	select {
	case <-time.After(time.Second / 10):
	case <-ctx.Done():
		return errors.New("cut short")
	}
	at := time.Since(midnight)
	switch {
	case at < d.from || d.to <= at:
		return nil
	case d.hangs:
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return errors.New("out of order")
}

// schedule makes the events of a story happen.
type schedule struct {
	t              *testing.T
	trace          *trace
	k              *fake
	config         *Config
	control, other chan os.Signal
	cancel         func()
	asking         sync.WaitGroup
	answers        []*string
}

// add reads a line: "10s TERM", "10s 40 × 3" (three times), "5s ready?" (a question
// to the Readiness), "5s exec NAME" (a process enters the container), "5s cancel"
// (the context of Run ends).
func (e *schedule) add(line string) {
	e.t.Helper()
	at, what, ok := strings.Cut(strings.TrimSpace(line), " ")
	require.True(e.t, ok, line)
	when := duration(e.t, at)
	word, name, _ := strings.Cut(what, " ")
	switch {
	case word == "ready?":
		e.ask(when)
	case word == "cancel":
		time.AfterFunc(when, e.cancel)
	case word == "exec":
		time.AfterFunc(when, func() { e.k.locked(func() { e.k.begin(e.k.fork(name, 0, 0)) }) })
	default:
		sig, err := signals.Parse(word)
		require.NoError(e.t, err, line)
		times := 1
		scan(name, "× %d", &times)
		to := e.other
		if slices.Contains([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP}, sig) {
			to = e.control
		}
		time.AfterFunc(when, func() {
			for range times {
				to <- sig
			}
		})
	}
}

func (e *schedule) ask(when time.Duration) {
	if e.config.Readiness == nil {
		e.config.Readiness = NewReadiness()
	}
	answer := new(string)
	e.answers = append(e.answers, answer)
	e.asking.Go(func() {
		time.Sleep(when)
		err := e.config.Readiness.Ask(e.t.Context())
		*answer = fmt.Sprintf("%8v ready? %v: %s", when, time.Since(e.trace.began), errText(err))
	})
}

// A stop signal that comes in the moment in which the last target becomes ready:
// an app is started only if its start began before the signal was seen, and is then
// stopped in order.
func TestStopInTheMomentOfTheLastTarget(t *testing.T) {
	s := readStory(`
-- usher --
usher --wait tcp://db:1 -- app
-- processes --
app: on a stop signal exits 0
-- targets --
tcp://db:1: ready after 1s
-- events --
1s TERM
`)
	outcomes := map[string]int{}
	for range 300 {
		text := s.run(t)
		received, begun := strings.Index(text, "received SIGTERM"), strings.Index(text, "1s start")
		switch {
		case begun < 0:
			require.Contains(t, text, "exit code 143", text)
			outcomes["never started"]++
		default:
			require.Less(t, begun, received, "started after the stop:\n%s", text)
			require.Contains(t, text, "kill app SIGTERM")
			outcomes["started and stopped"]++
		}
	}
	assert.NotEmpty(t, outcomes["never started"], "%v", slices.Collect(maps.Keys(outcomes)))
}

func TestHookVarsReplaceVariablesOfTheSameNames(t *testing.T) {
	env := withVars([]string{"A=1", "USHER_REASON=old", "A=2", "USHER_REASONS=kept"}, []probes.HookVar{{Name: "USHER_REASON", Value: "exit"}})
	assert.Equal(t, []string{"A=1", "A=2", "USHER_REASONS=kept", "USHER_REASON=exit"}, env)
}

// A stop signal that was received is the reason of the end, though the app exits
// in the same moment; an exit that was seen first is the app's own.
func TestStopInTheMomentOfTheAppsOwnExit(t *testing.T) {
	s := readStory(`
-- usher --
usher --grace 5s -- app
-- processes --
app: exits 0 after 1s
-- events --
1s TERM
`)
	received := 0
	for range 300 {
		text := s.run(t)
		if strings.Contains(text, "received") {
			received++
			require.Contains(t, text, "stopped by SIGTERM")
		} else {
			require.Contains(t, text, "exit code 0: <nil>")
		}
	}
	assert.NotZero(t, received)
}
