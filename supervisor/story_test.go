package supervisor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
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

var update = flag.Bool("update", false, "write the current traces to the stories")

// A story describes one run of usher in fake time on a fake kernel. It maps the name of each
// section to the section's text. A file in testdata has a description, and sections that begin
// with "-- NAME --":
//
//	usher      the command line
//	machine    special conditions: "not PID 1", "no /proc", …
//	processes  one line for each process: "NAME: CLAUSE; CLAUSE"
//	targets    one line for each target: "NAME: when it is ready"
//	events     one line for each event: the time, and a signal or another event
//	trace      the result: phases, events, and system calls (indented)
//
// The lines that a section may have are defined by setMachine and setTCP (machine), clauses
// (processes), readTarget (targets) and schedule.add (events).
type story map[string]string

const (
	description  = "" // the text before the first section
	traceSection = "trace"
)

// readStory splits the text of a story into its sections.
func readStory(text string) story {
	s, name := story{}, description
	for line := range strings.Lines(text) {
		if section, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(section, " --\n") {
			name = strings.TrimSuffix(section, " --\n")
			continue
		}
		s[name] += line
	}
	return s
}

// lines returns the non-empty lines of a section.
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
			require.NotEmpty(t, strings.TrimSpace(s[description]), "a story begins with a description")
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

// trace collects the lines of a trace.
type trace struct {
	mu    sync.Mutex // protects the fields, because the loop and the timers of the fake kernel call the method line
	began time.Time
	text  strings.Builder
	last  string // the last line, which is not in text yet
	times int    // how many times in a row the last line has occurred
	off   bool   // nothing is collected
}

// attempts matches a number of attempts. That number differs from run to run, because the
// delays between attempts are random.
var attempts = regexp.MustCompile(`\d+ attempts in `)

func (t *trace) line(format string, args ...any) {
	if t.off {
		return
	}
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

// end adds the last line to text, with the number of its repetitions.
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
	synctest.Test(t, func(t *testing.T) { text = s.inFakeTime(t, nil) })
	return text
}

// inFakeTime runs a story in the caller's synctest bubble and returns the trace. If h is
// not nil, the history is recorded in h, and the trace is recorded only if h.traced is set.
func (s story) inFakeTime(t *testing.T, h *history) string {
	tr := &trace{began: time.Now(), off: h != nil && !h.traced}
	k := newFake(s.behaviours(t), tr.line)
	h.attach(k)
	for _, line := range s.lines("machine") {
		setMachine(t, k, line)
	}
	c := s.config(t)
	control, other := make(chan os.Signal, 64), make(chan os.Signal, 4096)
	c.Signals = &signals.Inbox{Child: k.child, Control: control, Other: other}
	c.Observe = func(e Event) {
		if h.observe(e); tr.off {
			return
		}
		if text := eventLine(e); text != "" {
			tr.line("%s", text)
		}
	}
	if c.Readiness != nil {
		c.IdleAccepted = k.accepted
	}
	require.NoError(t, c.Validate())

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := schedule{t: t, trace: tr, k: k, config: &c, control: control, other: other, cancel: cancel}
	events.askCtx, events.noAnswer = context.WithCancel(t.Context())
	for _, line := range s.lines("events") {
		events.add(line)
	}
	h.begin(&c, s.lines("events"), cancel)
	code, reason := run(ctx, c, k)
	h.end(code, reason)
	events.noAnswer()
	tr.line("exit code %d: %v", code, reason)
	tr.end()
	events.asking.Wait()
	time.Sleep(2 * (k.scanTime + k.tcp.takes)) // wait for goroutines of the fake kernel that still read /proc or list connections
	for _, answer := range events.answers {
		fmt.Fprintln(&tr.text, *answer)
	}
	return tr.text.String()
}

// config parses the command line. It accepts only the flags that stories use.
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

var shellWord = regexp.MustCompile(`(?:'[^']*'|[^\s'])+`)

// shellWords splits a command line into words. The command line may have single quotes
// and several lines.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	for _, m := range shellWord.FindAllString(line, -1) {
		if m != `\` {
			words = append(words, strings.ReplaceAll(m, "'", ""))
		}
	}
	require.NotEmpty(t, words)
	return words
}

// behaviour describes a process of a story.
type behaviour struct {
	exitsAfter time.Duration // from its start until it exits by itself; 0: it does not
	code       int           // the exit status after exitsAfter
	stopsAfter time.Duration // from its start until SIGSTOP stops it; 0: never

	// The reaction to a stop signal. By default the signal kills the process.
	handles   bool             // it handles the signal, and then exits
	stopTakes time.Duration    // from the signal to the exit
	stopCode  int              // the exit status
	forwards  bool             // it sends the signal to its children
	waits     bool             // it exits only when its children have exited
	raises    bool             // it handles the signal, then raises it again and is killed by it
	once      bool             // a second stop signal kills it
	ignores   bool             // it ignores stop signals
	extra     []syscall.Signal // stop signals besides TERM, INT and QUIT

	// Names of the processes that it forks:
	//   - children: at its start
	//   - daemons: at its start, with usher as their parent
	//   - leaves: at its exit, with usher as their parent
	//   - forks: forksAfter after its start
	children, daemons, leaves, forks []string
	forksAfter                       time.Duration

	otherGroup                                 time.Duration // from its start until it moves to another group; 0: never
	killTakes                                  time.Duration // from SIGKILL to the exit
	ownGroup, otherUser, unkillable, noSIGCHLD bool

	reads       string        // the process whose output it reads; it exits when that process exits
	startTakes  time.Duration // from its fork to its execve
	reportTakes time.Duration // from its execve until usher knows its pid
	startErr    error         // the error of its start; nil: it can be started
}

func (b *behaviour) stopSignals() []syscall.Signal {
	return append([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}, b.extra...)
}

// clauses defines the clauses of the section "processes". In a pattern D stands for a
// duration, N for a number, and NAMES for the names of other processes.
var clauses = []struct {
	pattern string
	set     func(b *behaviour, d time.Duration, n int, names []string)
}{
	{`exits N after D`, func(b *behaviour, d time.Duration, n int, _ []string) { b.exitsAfter, b.code = d, n }},
	{`on a stop signal exits N`, func(b *behaviour, _ time.Duration, n int, _ []string) { b.handles, b.stopCode = true, n }},
	{`on a stop signal exits N after D`, func(b *behaviour, d time.Duration, n int, _ []string) {
		b.handles, b.stopTakes, b.stopCode = true, d, n
	}},
	{`forwards it to its children`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.forwards = true }},
	{`raises it again`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.raises = true }},
	{`exits when NAMES has`, func(b *behaviour, _ time.Duration, _ int, names []string) { b.reads = names[0] }},
	{`waits for its children`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.waits = true }},
	{`is killed by a second stop signal`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.once = true }},
	{`treats WINCH as a stop signal`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.extra = append(b.extra, syscall.SIGWINCH) }},
	{`ignores signals`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.ignores = true }},
	{`is stopped after D`, func(b *behaviour, d time.Duration, _ int, _ []string) { b.stopsAfter = d }},
	{`children NAMES`, func(b *behaviour, _ time.Duration, _ int, names []string) { b.children = names }},
	{`daemons NAMES`, func(b *behaviour, _ time.Duration, _ int, names []string) { b.daemons = names }},
	{`leaves NAMES running`, func(b *behaviour, _ time.Duration, _ int, names []string) { b.leaves = names }},
	{`after D forks NAMES`, func(b *behaviour, d time.Duration, _ int, names []string) { b.forksAfter, b.forks = d, names }},
	{`has its own group`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.ownGroup = true }},
	{`moves to another group`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.otherGroup = 1 }},
	{`moves to another group after D`, func(b *behaviour, d time.Duration, _ int, _ []string) { b.otherGroup = d }},
	{`runs as another user`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.otherUser = true }},
	{`exits D after SIGKILL`, func(b *behaviour, d time.Duration, _ int, _ []string) { b.killTakes = d }},
	{`cannot be killed`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.unkillable = true }},
	{`its SIGCHLD is lost`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.noSIGCHLD = true }},
	{`its start takes D`, func(b *behaviour, d time.Duration, _ int, _ []string) { b.startTakes = d }},
	{`its start is reported D later`, func(b *behaviour, d time.Duration, _ int, _ []string) { b.reportTakes = d }},
	{`is not found`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.startErr = syscall.ENOENT }},
	{`cannot be executed`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.startErr = syscall.EACCES }},
	{`cannot be forked`, func(b *behaviour, _ time.Duration, _ int, _ []string) { b.startErr = syscall.EAGAIN }},
}

// behaviours parses the section "processes".
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

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	return d
}

// setMachine applies a line of the section "machine".
func setMachine(t *testing.T, k *fake, line string) {
	t.Helper()
	var a string
	switch {
	case line == "not PID 1":
		k.notPID1 = true
	case line == "no /proc":
		k.noProc = true
	case line == "pids are reused":
		k.reusePIDs = true
	case scan(line, "%s processes are killed for lack of memory", &a):
		_, err := fmt.Sscan(a, &k.oomKills)
		require.NoError(t, err)
	case setTCP(t, &k.tcp, line):
	case scan(line, "reading /proc takes %s", &a):
		k.scanTime = duration(t, a)
	default:
		t.Fatalf("unknown condition of the machine: %q", line)
	}
}

func scan(line, format string, a ...any) bool {
	n, err := fmt.Sscanf(line, format, a...)
	return err == nil && n == len(a)
}

// targets parses the section "targets".
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
		return slowProbe{takes: math.MaxInt64}
	case scan(text, "ready after %s", &a):
		return slowProbe{takes: duration(t, a)}
	case scan(text, "not ready from %s to %s", &a, &b):
		return outage{from: duration(t, a), to: duration(t, b)}
	case scan(text, "hangs from %s to %s", &a, &b):
		return outage{duration(t, a), duration(t, b), true}
	}
	t.Fatalf("unknown behaviour of a target: %q", text)
	return nil
}

// slowProbe is a probe that takes some time and then returns err.
type slowProbe struct {
	takes time.Duration
	err   error
}

func (p slowProbe) Ask(ctx context.Context, _ probes.Attempt) error {
	select {
	case <-time.After(p.takes):
		return p.err
	case <-ctx.Done():
		return errors.New("not ready")
	}
}

// outage is a probe that takes a tenth of a second. It succeeds except in the interval
// between from and to, which count from the start of the story. In that interval it fails
// or, if hangs is set, returns only when its context ends.
type outage struct {
	from, to time.Duration
	hangs    bool
}

func (d outage) Ask(ctx context.Context, _ probes.Attempt) error {
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // the time at which each synctest bubble begins
	select {
	case <-time.After(time.Second / 10):
	case <-ctx.Done():
		return errors.New("cancelled")
	}
	at := time.Since(began)
	switch {
	case at < d.from || d.to <= at:
		return nil
	case d.hangs:
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return errors.New("connection refused")
}

// schedule starts the timers for the events of a story.
type schedule struct {
	t              *testing.T
	trace          *trace
	k              *fake
	config         *Config
	control, other chan os.Signal
	cancel         func()
	askCtx         context.Context
	noAnswer       func() // ends askCtx when Run has returned, because from then on calls of Ask and AskServing get no answer
	asking         sync.WaitGroup
	answers        []*string // the results of Ask and AskServing, printed after the trace
}

// add starts the timer for a line of the section "events". The possible lines are:
//
//	10s TERM      a signal is sent
//	10s 40 × 3    a signal is sent three times
//	5s ready?     Readiness.Ask is called
//	5s serving?   Readiness.AskServing is called
//	5s exec NAME  a process is started as by "docker exec"
//	5s kill NAME  all processes of that name get SIGKILL, not from usher; "everything": all processes
//	5s cancel     the context of Run ends
func (e *schedule) add(line string) {
	e.t.Helper()
	at, what, ok := strings.Cut(strings.TrimSpace(line), " ")
	require.True(e.t, ok, line)
	when := duration(e.t, at)
	word, name, _ := strings.Cut(what, " ")
	switch {
	case word == "ready?":
		e.ask(when, word, (*Readiness).Ask)
	case word == "serving?":
		e.ask(when, word, (*Readiness).AskServing)
	case word == "cancel":
		time.AfterFunc(when, e.cancel)
	case word == "exec":
		time.AfterFunc(when, func() { e.k.locked(func() { e.k.begin(e.k.fork(name, 0, 0)) }) })
	case word == "kill":
		time.AfterFunc(when, func() { e.k.locked(func() { e.k.killNamed(name) }) })
	default:
		sig, err := signals.Parse(word)
		require.NoError(e.t, err, line)
		times := 1
		scan(name, "× %d", &times)
		to := e.other
		if slices.Contains([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP}, sig) || slices.Contains(e.config.StopOn, sig) {
			to = e.control
		}
		time.AfterFunc(when, func() {
			for range times {
				to <- sig
			}
		})
	}
}

func (e *schedule) ask(when time.Duration, word string, call func(*Readiness, context.Context) error) {
	if e.config.Readiness == nil {
		e.config.Readiness = NewReadiness()
	}
	answer := new(string)
	e.answers = append(e.answers, answer)
	e.asking.Go(func() {
		time.Sleep(when)
		err := call(e.config.Readiness, e.askCtx)
		e.k.history.answered(when, word == "serving?", err)
		*answer = fmt.Sprintf("%8v %s answered at %v: %s", when, word, time.Since(e.trace.began), errText(err))
	})
}

// The loop may receive the stop signal before or after it begins to start the app. In the
// first case the app is not started. In the second case it is stopped as usual.
func TestStopSignalAsTheLastTargetBecomesReady(t *testing.T) {
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
			outcomes["not started"]++
		default:
			require.Less(t, begun, received, "the app was started after the stop signal:\n%s", text)
			require.Contains(t, text, "kill app SIGTERM")
			outcomes["started and stopped"]++
		}
	}
	assert.NotEmpty(t, outcomes["not started"], "%v", slices.Collect(maps.Keys(outcomes)))
}

func TestHookVarsReplaceVariablesOfTheSameName(t *testing.T) {
	env := withVars([]string{"A=1", "USHER_REASON=old", "A=2", "USHER_REASONS=kept"}, []probes.HookVar{{Name: "USHER_REASON", Value: "exit"}})
	assert.Equal(t, []string{"A=1", "A=2", "USHER_REASONS=kept", "USHER_REASON=exit"}, env)
}

// The loop may receive the stop signal before or after it reaps the app. Whichever comes
// first is the reason for the shutdown.
func TestStopSignalAsTheAppExits(t *testing.T) {
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
