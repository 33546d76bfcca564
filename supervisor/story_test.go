package supervisor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

var update = flag.Bool("update", false, "write the stories as they are now told")

// A story is one life in fake time, told by a fake kernel: what usher is asked
// for, how the processes behave, and what happens from outside. Its whole text
// is compared with testdata/NAME.story, which is the part to read.
type story struct {
	name   string // of the file, and what the story is about
	config Config
	acts   map[string]behaviour
	then   map[string]syscall.Signal // received, at a time after the start
	cancel time.Duration             // the embedding program gives up
	asks   []string                  // whether it is ready, at a time after the start
	net    func(*fake)               // who is connected, and when
}

// teller writes a story down; the loop and the timers of the fake kernel both do.
type teller struct {
	mu    sync.Mutex
	began time.Time
	text  strings.Builder
}

func (t *teller) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(&t.text, "%7v %s\n", time.Since(t.began), fmt.Sprintf(format, args...))
}

func (s story) tell(t *testing.T) string {
	told := &teller{began: time.Now()}
	k := newFake(s.acts, told.line)
	if s.net != nil {
		s.net(k)
	}
	control, other := make(chan os.Signal, 64), make(chan os.Signal, 64)
	c := s.config
	c.Env = []string{}
	c.Signals = &signals.Inbox{Child: k.child, Control: control, Other: other}
	c.Observe = func(e Event) {
		if text := tell(e); text != "" {
			told.line("%s", text)
		}
	}
	require.NoError(t, c.Validate())
	for at, sig := range s.then {
		d, err := time.ParseDuration(strings.Trim(at, "' "))
		require.NoError(t, err)
		to := other
		if sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGQUIT || sig == syscall.SIGHUP {
			to = control
		}
		time.AfterFunc(d, func() { to <- sig })
	}
	if len(s.asks) > 0 {
		c.Readiness = NewReadiness()
	}
	var askers sync.WaitGroup
	answers := make([]string, len(s.asks))
	for i, at := range s.asks {
		d, err := time.ParseDuration(at)
		require.NoError(t, err)
		askers.Go(func() {
			time.Sleep(d)
			err := c.Readiness.Ask(t.Context())
			answers[i] = fmt.Sprintf("%7v ready? %v: %s", d, time.Since(told.began), orFine(err))
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if s.cancel > 0 {
		time.AfterFunc(s.cancel, cancel)
	}
	code, why := run(ctx, c, k)
	told.line("code %d: %v", code, why)
	askers.Wait()
	for _, answer := range answers {
		fmt.Fprintln(&told.text, answer)
	}
	return told.text.String()
}

// asked is a target whose answer comes at a moment of the story.
type asked struct{ yes time.Duration }

func (a asked) Ask(ctx context.Context, _ probes.Attempt) error {
	if a.yes < 0 {
		<-ctx.Done()
		return errors.New("not ready")
	}
	select {
	case <-time.After(a.yes):
		return nil
	case <-ctx.Done():
		return errors.New("not ready")
	}
}

// ready is a target that says yes after d; never, if d is negative.
func ready(name string, d time.Duration, more ...func(*probes.Target)) probes.Target {
	t := probes.Target{Name: name, Kind: "tcp", Probe: asked{d}, Interval: time.Second, Successes: 1}
	for _, f := range more {
		f(&t)
	}
	return t
}

// disorder is a target that says no between two moments of the story, or nothing at
// all, and takes a tenth of a second to say anything.
type disorder struct {
	from, to time.Duration
	hangs    bool
}

func (d disorder) Ask(ctx context.Context, _ probes.Attempt) error {
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

func outOfOrder(from, to time.Duration) probes.Target {
	return ready("self", 0, func(t *probes.Target) { t.Probe = disorder{from: from, to: to} })
}

func hanging(from, to time.Duration) probes.Target {
	return ready("self", 0, func(t *probes.Target) { t.Probe = disorder{from, to, true} })
}

// clientsAt are clients that are connected from and to a time after the start.
func clientsAt(times ...string) func(*fake) {
	return func(k *fake) {
		for _, text := range times {
			from, to, _ := strings.Cut(text, "-")
			begin, err1 := time.ParseDuration(from)
			end, err2 := time.ParseDuration(to)
			if err1 != nil || err2 != nil {
				panic(text)
			}
			k.clients = append(k.clients, [2]time.Duration{begin, end})
		}
	}
}

func within(d time.Duration) func(*probes.Target) { return func(t *probes.Target) { t.Within = d } }
func optional(d time.Duration) func(*probes.Target) {
	return func(t *probes.Target) { t.Optional = d }
}

// hooks parses commands as flags would be.
func hooks(use probes.Use, texts ...string) []probes.Target {
	var all []probes.Target
	for _, text := range texts {
		t, err := probes.Parse(text, use)
		if err != nil {
			panic(err)
		}
		all = append(all, t)
	}
	return all
}

const term, quit, hup, intr, usr1, winch = syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGWINCH

// theApp is most stories' command.
var theApp = []string{"app"}

func polite(d time.Duration) map[string]behaviour { return map[string]behaviour{"app": {obeys: d}} }

// with adds processes to others.
func with(acts map[string]behaviour, more map[string]behaviour) map[string]behaviour {
	all := map[string]behaviour{}
	for _, m := range []map[string]behaviour{acts, more} {
		for name, act := range m {
			all[name] = act
		}
	}
	return all
}

func TestStories(t *testing.T) {
	full := Config{
		Command: theApp, Wait: []probes.Target{ready("db", 2*time.Second), ready("auth", 3*time.Second)},
		PreStart: hooks(probes.ForStart, "migrate"), Ready: []probes.Target{ready("self", time.Second)},
		PostStart: hooks(probes.ForStart, "register"), Drain: hooks(probes.ForEnd, "leave", "flush"),
		PostStop: hooks(probes.ForEnd, "report"), DrainDelay: 5 * time.Second, Grace: 25 * time.Second,
	}
	brief := map[string]behaviour{
		"app": {obeys: 2 * time.Second}, "migrate": {lives: 4 * time.Second}, "register": {lives: time.Second},
		"leave": {lives: time.Second}, "flush": {lives: time.Second}, "report": {lives: time.Second},
	}
	draining := Config{Command: theApp, Drain: hooks(probes.ForEnd, "leave", "flush"), DrainDelay: 5 * time.Second, Grace: 25 * time.Second}

	quietly := Config{Command: theApp, Drain: hooks(probes.ForEnd, "leave"), DrainQuiet: 2 * time.Second, QuietExcept: []uint16{8086}, Grace: 25 * time.Second}

	stories := []story{
		{name: "whole-life", config: full, acts: brief, then: map[string]syscall.Signal{"30s": term}},
		{name: "plain-init-app-ends", config: Config{Command: theApp}, acts: map[string]behaviour{"app": {lives: time.Minute, code: 3}}},
		{name: "plain-init-term", config: Config{Command: theApp}, acts: map[string]behaviour{"app": {dies: true}}, then: map[string]syscall.Signal{"10s": term}},
		{name: "plain-init-never-kills", config: Config{Command: theApp}, acts: map[string]behaviour{"app": {deaf: true, lives: time.Hour}},
			then: map[string]syscall.Signal{"10s": term, "20s": term, "30s": intr}},

		// wait
		{name: "stop-in-wait", config: full, acts: brief, then: map[string]syscall.Signal{"1s": term}},
		{name: "int-in-wait", config: full, acts: brief, then: map[string]syscall.Signal{"1s": intr}},
		{name: "quit-in-wait", config: full, acts: brief, then: map[string]syscall.Signal{"1s": quit}},
		{name: "hup-in-wait", config: full, acts: brief, then: map[string]syscall.Signal{"1s": hup}},
		{name: "stop-on-in-wait", config: also(full, func(c *Config) { c.StopOn = []syscall.Signal{winch} }), acts: brief, then: map[string]syscall.Signal{"1s": winch}},
		{name: "others-kept-in-wait", config: also(full, func(c *Config) { c.PreStart, c.Ready, c.PostStart = nil, nil, nil }), acts: brief,
			then: map[string]syscall.Signal{"1s": usr1, "2.5s": winch, "20s": term}},
		{name: "wait-timeout", config: also(full, func(c *Config) { c.Wait[1] = ready("auth", -1); c.WaitTimeout = 10 * time.Second }), acts: brief},
		{name: "within-passes", config: also(full, func(c *Config) { c.Wait[1] = ready("auth", -1, within(4*time.Second)) }), acts: brief},
		{name: "optional-passes", config: Config{Command: theApp, Wait: []probes.Target{ready("db", time.Second), ready("cache", -1, optional(4*time.Second))}},
			acts: map[string]behaviour{"app": {lives: time.Second}}},
		{name: "optional-given-up-at-wait-timeout", config: Config{Command: theApp, WaitTimeout: 3 * time.Second, Wait: []probes.Target{ready("cache", -1, optional(time.Minute))}},
			acts: map[string]behaviour{"app": {lives: time.Second}}},
		{name: "progress", config: Config{Wait: []probes.Target{ready("db", 70*time.Second)}}},
		{name: "wait-command-hangs-at-stop", config: Config{Command: theApp, Wait: hooks(probes.ForWait, "timeout=20s check")},
			acts: map[string]behaviour{"check": {deaf: true}}, then: map[string]syscall.Signal{"1s": term}},

		// pre-start, start
		{name: "pre-start-fails", config: also(full, func(c *Config) { c.PreStart = hooks(probes.ForStart, "migrate", "seed") }),
			acts: with(brief, map[string]behaviour{"migrate": {lives: time.Second, code: 7}})},
		{name: "stop-in-pre-start", config: also(full, nil), acts: brief, then: map[string]syscall.Signal{"5s": term}},
		{name: "stop-in-stubborn-pre-start", config: also(full, nil), acts: with(brief, map[string]behaviour{"migrate": {deaf: true}}), then: map[string]syscall.Signal{"5s": term}},
		{name: "pre-start-overruns", config: also(full, func(c *Config) { c.PreStart = hooks(probes.ForStart, "timeout=3s migrate") }), acts: with(brief, map[string]behaviour{"migrate": {deaf: true}})},
		{name: "not-found", config: also(full, nil), acts: with(brief, map[string]behaviour{"app": {absent: syscall.ENOENT}})},
		{name: "exec", config: Config{Command: theApp, Wait: []probes.Target{ready("db", time.Second)}, PreStart: hooks(probes.ForStart, "migrate"), Exec: true},
			acts: brief, then: map[string]syscall.Signal{"500ms": syscall.SIGUSR1}},
		{name: "cannot-run", config: also(full, nil), acts: with(brief, map[string]behaviour{"app": {absent: syscall.EACCES}})},

		{name: "signals-repeated-in-pre-start", config: also(full, nil), acts: with(brief, map[string]behaviour{"migrate": {deaf: true}}),
			then: map[string]syscall.Signal{"5s": term, "5.3s": intr, "5.6s": term}},

		// ready, post-start
		{name: "stop-in-ready", config: also(full, func(c *Config) { c.Ready = []probes.Target{ready("self", -1)} }), acts: brief, then: map[string]syscall.Signal{"10s": term}},
		{name: "ready-within-passes", config: also(full, func(c *Config) { c.Ready = []probes.Target{ready("self", -1, within(2*time.Second))} }), acts: brief},
		{name: "app-ends-in-ready", config: also(full, func(c *Config) { c.Ready = []probes.Target{ready("self", -1)} }), acts: with(brief, map[string]behaviour{"app": {lives: time.Second, code: 4}})},
		{name: "stop-in-post-start", config: also(full, nil), acts: with(brief, map[string]behaviour{"register": {obeys: time.Second / 2}}), then: map[string]syscall.Signal{"10s": term}},
		{name: "post-start-fails", config: also(full, nil), acts: with(brief, map[string]behaviour{"register": {lives: time.Second, code: 1}})},
		{name: "app-ends-in-post-start", config: also(full, nil), acts: with(brief, map[string]behaviour{"app": {lives: 2 * time.Second, code: 5}, "register": {obeys: 1}})},

		{name: "int-while-a-stubborn-ready-ends", config: also(draining, func(c *Config) { c.Ready = hooks(probes.ForReady, "timeout=30s check") }),
			acts: with(brief, map[string]behaviour{"check": {deaf: true}}), then: map[string]syscall.Signal{"10s": term, "10.5s": intr}},
		{name: "stubborn-ready-leaves-the-reserve", config: Config{Command: theApp, Grace: 800 * time.Millisecond, Ready: hooks(probes.ForReady, "timeout=30s check")},
			acts: map[string]behaviour{"app": {obeys: 300 * time.Millisecond}, "check": {deaf: true}}, then: map[string]syscall.Signal{"10s": term}},

		{name: "asked-whether-it-is-ready", config: also(full, func(c *Config) { c.Ready = []probes.Target{outOfOrder(20*time.Second, 30*time.Second)} }), acts: brief,
			asks: []string{"1s", "8s", "10.5s", "19.8s", "20.2s", "20.8s", "21.9s", "22s", "31s", "39.95s", "40.5s", "45.5s", "47.5s"}, then: map[string]syscall.Signal{"40s": term}},
		{name: "asked-when-it-hangs", config: Config{Command: theApp, Ready: []probes.Target{hanging(20*time.Second, 30*time.Second)}}, acts: polite(time.Second),
			asks: []string{"10s", "25s", "28s", "37s", "38s"}, then: map[string]syscall.Signal{"40s": term}},
		{name: "asked-when-it-hangs-at-the-stop", config: Config{Command: theApp, Ready: []probes.Target{hanging(20*time.Second, time.Hour)}}, acts: polite(time.Second),
			asks: []string{"25s"}, then: map[string]syscall.Signal{"30s": term}},
		{name: "asked-with-nothing-to-ask", config: Config{Command: theApp}, acts: map[string]behaviour{"app": {lives: 5 * time.Second}}, asks: []string{"1s"}},
		{name: "asked-after-a-failed-start", config: also(full, func(c *Config) {
			c.Ready = []probes.Target{ready("self", -1, within(2*time.Second))}
			c.PostStart, c.Wait, c.PreStart = nil, nil, nil
		}), acts: brief, asks: []string{"1s", "2.5s"}},
		{name: "asked-when-the-app-has-just-gone", config: Config{Command: theApp, Ready: []probes.Target{ready("self", time.Second)}, PostStart: hooks(probes.ForStart, "register")},
			acts: map[string]behaviour{"app": {lives: 3 * time.Second}, "register": {obeys: time.Second / 2}}, asks: []string{"1.5s", "2.5s", "3.2s"}},

		// run
		{name: "app-ends-by-itself", config: also(full, func(c *Config) { c.Wait, c.PreStart, c.Ready, c.PostStart = nil, nil, nil, nil }),
			acts: with(brief, map[string]behaviour{"app": {lives: time.Minute, code: 9}})},
		{name: "app-killed-from-outside", config: Config{Command: theApp, Grace: time.Second, PostStop: hooks(probes.ForEnd, "report")},
			acts: map[string]behaviour{"app": {dies: true}, "report": {lives: 1}}, then: map[string]syscall.Signal{"5s": quit}},
		{name: "forwarding-and-rewrite", config: Config{Command: theApp, Grace: 10 * time.Second, Rewrite: signals.Rewrite{hup: usr1, winch: 0}}, acts: polite(0),
			then: map[string]syscall.Signal{"1s": hup, "2s": winch, "3s": usr1, "4s": syscall.Signal(40), "5s": term}},
		{name: "group", config: Config{Command: theApp, Group: true}, acts: polite(0), then: map[string]syscall.Signal{"1s": usr1, "2s": term}},
		{name: "orphans-in-every-phase", config: also(full, nil), acts: with(brief, map[string]behaviour{
			"migrate": {lives: 4 * time.Second, leaves: []string{"o1", "o2"}}, "leave": {lives: time.Second, leaves: []string{"o3"}}, "app": {obeys: 2 * time.Second, leaves: []string{"o4"}},
			"o1": {lives: 200 * time.Millisecond}, "o2": {lives: 1200 * time.Millisecond}, "o3": {lives: 300 * time.Millisecond}, "o4": {lives: time.Second, obeys: time.Minute}}),
			then: map[string]syscall.Signal{"30s": term}},
		{name: "stop-on-hint", config: Config{Command: theApp, Grace: 10 * time.Second}, acts: map[string]behaviour{"app": {obeys: 5 * time.Second}}, then: map[string]syscall.Signal{"1s": quit}},
		{name: "cancelled-by-its-program", config: draining, acts: brief, cancel: 3 * time.Second},

		// The exit is older than the signal, though its SIGCHLD has not been seen.
		{name: "term-after-an-exit-that-was-not-noticed", config: draining, acts: map[string]behaviour{"app": {lives: 5 * time.Second, code: 3, hushed: true}},
			then: map[string]syscall.Signal{"6s": term}},

		// drain
		{name: "term-repeated-in-drain", config: draining, acts: brief, then: map[string]syscall.Signal{"10s": term, "11s": term, "15.5s": term}},
		{name: "int-hurries-the-drain", config: draining, acts: with(brief, map[string]behaviour{"leave": {lives: 5 * time.Second, obeys: 1}}),
			then: map[string]syscall.Signal{"10s": term, "16s": intr}},
		{name: "int-begins-and-hurries", config: draining, acts: brief, then: map[string]syscall.Signal{"10s": intr, "11s": intr}},
		{name: "hup-in-drain-is-the-apps", config: draining, acts: brief, then: map[string]syscall.Signal{"10s": term, "11s": hup}},
		{name: "app-ends-in-delay", config: draining, acts: with(brief, map[string]behaviour{"app": {lives: 12 * time.Second}}), then: map[string]syscall.Signal{"10s": term}},
		{name: "app-ends-in-drain-hook", config: draining, acts: with(brief, map[string]behaviour{"app": {lives: 16 * time.Second}, "leave": {lives: 3 * time.Second}}),
			then: map[string]syscall.Signal{"10s": term}},
		{name: "drain-hook-fails", config: draining, acts: with(brief, map[string]behaviour{"leave": {lives: time.Second, code: 1}}), then: map[string]syscall.Signal{"10s": term}},
		{name: "drain-hook-hangs", config: also(draining, func(c *Config) { c.Drain = hooks(probes.ForEnd, "timeout=2s leave", "flush") }),
			acts: with(brief, map[string]behaviour{"leave": {deaf: true}}), then: map[string]syscall.Signal{"10s": term}},
		{name: "drain-hooks-eat-all-but-the-reserve", config: also(draining, func(c *Config) {
			c.Drain, c.PostStop = hooks(probes.ForEnd, "leave", "flush"), hooks(probes.ForEnd, "report")
		}), acts: with(brief, map[string]behaviour{"leave": {deaf: true}, "app": {deaf: true}}), then: map[string]syscall.Signal{"10s": term}},
		{name: "quiet-after-the-last-client", config: quietly, acts: brief, then: map[string]syscall.Signal{"10s": term}, net: clientsAt("9s-12.34s", "11s-13s", "13.5s-14s")},
		{name: "quiet-at-once", config: quietly, acts: brief, then: map[string]syscall.Signal{"10s": term}, net: clientsAt("1s-9s")},
		{name: "quiet-though-the-port-is-closed", config: quietly, acts: brief, then: map[string]syscall.Signal{"10s": term}, net: func(k *fake) {
			clientsAt("9s-14s")(k)
			k.closesAt = 10*time.Second + time.Second/2 // by a hook
		}},
		{name: "quiet-never", config: quietly, acts: brief, then: map[string]syscall.Signal{"10s": term}, net: clientsAt("9s-99s", "9s-99s")},
		{name: "quiet-is-hurried", config: quietly, acts: brief, then: map[string]syscall.Signal{"10s": term, "12s": intr}, net: clientsAt("9s-99s")},
		{name: "quiet-until-the-app-ends", config: quietly, acts: with(brief, map[string]behaviour{"app": {lives: 13 * time.Second}}), then: map[string]syscall.Signal{"10s": term}, net: clientsAt("9s-99s")},
		{name: "quiet-cannot-be-seen", config: quietly, acts: brief, then: map[string]syscall.Signal{"10s": term}, net: func(k *fake) { k.blind = true }},
		{name: "written-reserve", config: also(draining, func(c *Config) { c.StopReserve = 18 * time.Second }), acts: with(brief, map[string]behaviour{"leave": {obeys: 1}}),
			then: map[string]syscall.Signal{"10s": term}},
		{name: "retries", config: also(draining, func(c *Config) { c.DrainDelay, c.Drain = 0, hooks(probes.ForEnd, "retries=1000 timeout=1s flaky") }), acts: with(brief, map[string]behaviour{"flaky": {absent: syscall.EAGAIN}}),
			then: map[string]syscall.Signal{"10s": term}},

		// stop
		{name: "stop-signal", config: Config{Command: theApp, Grace: 10 * time.Second, StopSignal: quit, StopOn: []syscall.Signal{winch}}, acts: polite(time.Second),
			then: map[string]syscall.Signal{"5s": winch}},
		{name: "further-signals-in-stop", config: Config{Command: theApp, Grace: 10 * time.Second, Rewrite: signals.Rewrite{hup: usr1}}, acts: polite(3 * time.Second),
			then: map[string]syscall.Signal{"5s": term, "6s": term, "6.5s": hup, "7s": intr}},
		{name: "stubborn-app-and-grandchildren", config: also(draining, func(c *Config) { c.PostStop = hooks(probes.ForEnd, "report") }), acts: with(brief, map[string]behaviour{
			"app": {deaf: true, leaves: []string{"grand", "polite"}}, "grand": {deaf: true}, "polite": {obeys: 1}}), then: map[string]syscall.Signal{"10s": term}},
		{name: "exit-and-deadline-at-once", config: Config{Command: theApp, Grace: 10 * time.Second}, // The loop learns of both at once: of the exit from wait4, because the deadline is here.
			acts: map[string]behaviour{"app": {obeys: 9 * time.Second, hushed: true}}, then: map[string]syscall.Signal{"5s": term}},
		{name: "shell-hint", config: Config{Command: []string{"/bin/sh", "-c", "x"}, Grace: 10 * time.Second}, acts: map[string]behaviour{"/bin/sh": {deaf: true}}, then: map[string]syscall.Signal{"1s": term}},
		{name: "success-exit", config: Config{Command: theApp, SuccessExit: []int{143}}, acts: map[string]behaviour{"app": {dies: true}}, then: map[string]syscall.Signal{"1s": term}},
		{name: "success-exit-not-for-a-kill", config: Config{Command: theApp, Grace: 5 * time.Second, SuccessExit: []int{137}}, acts: map[string]behaviour{"app": {deaf: true}}, then: map[string]syscall.Signal{"1s": term}},
		{name: "success-exit-not-by-itself", config: Config{Command: theApp, SuccessExit: []int{3}}, acts: map[string]behaviour{"app": {lives: 1, code: 3}}},

		// leftovers, post-stop
		{name: "daemonized", config: Config{Command: theApp}, acts: map[string]behaviour{"app": {lives: time.Second, leaves: []string{"d1", "d2", "d3"}}}},
		{name: "leftovers-flush", config: Config{Command: theApp, Grace: 10 * time.Second}, acts: map[string]behaviour{"app": {dies: true, leaves: []string{"worker"}}, "worker": {obeys: 2 * time.Second}},
			then: map[string]syscall.Signal{"1s": term}},
		{name: "leftovers-get-the-reserve", config: Config{Command: theApp, Grace: 25 * time.Second}, acts: map[string]behaviour{"app": {lives: time.Second, leaves: []string{"worker"}}, "worker": {deaf: true}}},
		{name: "several-exits-on-one-sigchld", config: Config{Command: theApp, Grace: 10 * time.Second}, acts: map[string]behaviour{
			"app": {dies: true, leaves: []string{"w1", "w2", "w3"}}, "w1": {dies: true}, "w2": {dies: true}, "w3": {dies: true}}, then: map[string]syscall.Signal{"1s": term}},
		{name: "post-stop-hangs", config: Config{Command: theApp, Grace: 10 * time.Second, PostStop: hooks(probes.ForEnd, "report", "more")}, acts: with(polite(time.Second), map[string]behaviour{"report": {deaf: true}}),
			then: map[string]syscall.Signal{"1s": term}},
		{name: "post-stop-without-grace", config: Config{Command: theApp, PostStop: hooks(probes.ForEnd, "timeout=3s report", "more")}, acts: with(polite(time.Second), map[string]behaviour{"report": {deaf: true}, "more": {lives: 1}}),
			then: map[string]syscall.Signal{"1s": term}},
		{name: "post-stop-after-what-cannot-be-killed", config: Config{Command: theApp, Grace: 10 * time.Second, PostStop: hooks(probes.ForEnd, "report")},
			acts: map[string]behaviour{"app": {undead: true}, "report": {lives: time.Second}}, then: map[string]syscall.Signal{"1s": term}},
		{name: "post-stop-fails", config: Config{Command: theApp, PostStop: hooks(probes.ForEnd, "report", "more")}, acts: map[string]behaviour{"app": {lives: 1, code: 2}, "report": {lives: 1, code: 1}, "more": {lives: 1}}},
		{name: "only-wait", config: Config{Wait: []probes.Target{ready("db", time.Second)}}},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			var got string
			synctest.Test(t, func(t *testing.T) { got = s.tell(t) })
			file := filepath.Join("testdata", s.name+".story")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
		})
	}
}

// also is a configuration with a change; slices are not shared.
func also(c Config, change func(*Config)) Config {
	c.Wait = append([]probes.Target(nil), c.Wait...)
	if change != nil {
		change(&c)
	}
	return c
}

// A stop that comes in the moment of the last yes: whichever is heard first, an
// app that is started is started before the stop, and gets it.
func TestStopInTheMomentOfTheLastYes(t *testing.T) {
	s := story{config: Config{Command: theApp, Wait: []probes.Target{ready("db", time.Second)}}, acts: polite(0), then: map[string]syscall.Signal{"1s": term}}
	outcomes := map[string]int{}
	for range 300 {
		var text string
		synctest.Test(t, func(t *testing.T) { text = s.tell(t) })
		asked, forked := strings.Index(text, "asked to stop"), strings.Index(text, "fork app")
		switch {
		case forked < 0:
			require.Contains(t, text, "code 143", text)
			outcomes["never started"]++
		default:
			require.Less(t, forked, asked, "started after the stop:\n%s", text)
			require.Contains(t, text, "kill app 15")
			outcomes["started and stopped"]++
		}
	}
	assert.NotEmpty(t, outcomes["never started"], "%v", outcomes)
}

func TestFactsTakeThePlaceOfWhatBoreTheirNames(t *testing.T) {
	env := withFacts([]string{"A=1", "USHER_REASON=old", "A=2", "USHER_REASONS=kept"}, []probes.Fact{{Name: "USHER_REASON", Value: "exit"}})
	assert.Equal(t, []string{"A=1", "A=2", "USHER_REASONS=kept", "USHER_REASON=exit"}, env)
}

// A stop that has been announced is the reason of the end, though the app ends
// in the same moment; an exit that was seen first is an end of its own.
func TestStopInTheMomentOfTheAppsOwnEnd(t *testing.T) {
	s := story{config: Config{Command: theApp, Grace: 5 * time.Second}, acts: map[string]behaviour{"app": {lives: time.Second}}, then: map[string]syscall.Signal{"1s": term}}
	announced := 0
	for range 300 {
		var text string
		synctest.Test(t, func(t *testing.T) { text = s.tell(t) })
		if strings.Contains(text, "asked to stop") {
			announced++
			require.Contains(t, text, "stopped by SIGTERM")
		} else {
			require.Contains(t, text, "code 0: <nil>")
		}
	}
	assert.NotZero(t, announced)
}
