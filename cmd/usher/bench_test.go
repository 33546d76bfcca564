//go:build bench

// The benchmark measures usher beside whichever of tini, dumb-init, catatonit,
// dockerize and wait-for-it are installed, each as the real PID 1 of a new PID
// namespace, and prints one table. It needs root and a C compiler:
//
//	make bench
//
// Two variables change it:
//
//	USHER_BENCH_PATH    directories in which to look for the peers before PATH
//	USHER_BENCH_ROUNDS  factor on the number of rounds: 0.2 is a quick look
//
// The candidates take turns within each round, in a new order each time, so
// that noise hits all alike. A number is the median of its rounds; behind it
// stands the ratio to the first peer of the row. Ratios last; times are those of
// this machine and this minute. A candidate that cannot do what a row measures
// has none. All run with their defaults, but for a timeout that is long enough.
//
// The rows:
//
//	size                 bytes of the program
//	start                from the init's execve to the app's first look at the clock
//	anonymous memory     RssAnon of the init at the end of the idle window: what a
//	                     pod pays for it, since pages of files are shared
//	threads              of the init, then
//	wake-ups in 20 s     context switches of all its threads in the idle window
//	... after a wait     these three for an init that has waited for one HTTP
//	                     dependency, which was ready
//	signal latency       from kill(2) of the init with SIGUSR1 until the app has it,
//	                     all asleep for 10 ms before
//	exit latency         from the app's _exit until the init's parent knows of its end
//	orphans, all reaped  5,000 of them: from the first fork until none is left
//	orphans, CPU         what they cost the init
//	TCP ready -> app     a dependency refuses for 0.5 to 6 s, then listens; from
//	                     there to the app's first look at the clock
//	HTTP ready -> app    one refuses for half of such a time, says 503 for the other
//	                     half, then 200; from there
//	attempts, refused    connections a second to a port that refuses for 0.5 to 6 s
//	attempts, says no    requests a second to a server that says 503 for as long
//	... for 20 s         to one that says it for longer (22 s)
//	200 TCP, 200 HTTP    from execve to the app, with so many dependencies, all ready
//
// The goals in the last column are a factor of a peer in the same run, or a
// plain number. One that is missed fails nothing, and a few percent to either
// side are noise, much more on a busy machine: look at the load in the first
// line. An usher that does not do what is measured is a failure.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Rounds, before USHER_BENCH_ROUNDS.
const (
	startRounds  = 100
	signalRounds = 10
	signalsEach  = 20
	exitRounds   = 60
	orphanRounds = 9
	waitRounds   = 5
	waitsEach    = 6 // in each round
	manyRounds   = 15
	idleEach     = 3 // of each candidate, all at the same time
)

const (
	orphanCount = 5000
	manyCount   = 200
	shortest    = 500 * time.Millisecond // wait for a dependency
	longest     = 6 * time.Second
	signalGap   = 10 * time.Millisecond
	settleTime  = 2 * time.Second  // from the start to the idle window
	idleWindow  = 20 * time.Second // what the rows' names say
	answerTime  = 10 * time.Second // whoever takes longer is out of the row
)

// benchRows are the table's, in its order.
var benchRows = []struct {
	name, unit string
	goals      []benchGoal
}{
	{"size", "bytes", []benchGoal{{0.75, "dockerize"}}},
	{"start", "ms", []benchGoal{{3.5, "tini-static"}, {1, "dockerize"}}},
	{"anonymous memory", "KiB", nil},
	{"anonymous memory after a wait", "KiB", []benchGoal{{0.6, "dockerize"}}},
	{"threads", "", []benchGoal{{6, ""}}},
	{"threads after a wait", "", []benchGoal{{6, ""}}},
	{"wake-ups in 20 s", "", []benchGoal{{0, ""}}},
	{"wake-ups in 20 s after a wait", "", []benchGoal{{0, ""}}},
	{"signal latency", "us", []benchGoal{{2, "tini-static"}}},
	{"exit latency", "us", []benchGoal{{2, "tini-static"}}},
	{"orphans, all reaped", "ms", []benchGoal{{1.1, "tini-static"}}},
	{"orphans, CPU", "ms", nil},
	{"TCP ready -> app", "ms", []benchGoal{{0.08, "dockerize"}}},
	{"HTTP ready -> app", "ms", []benchGoal{{0.2, "dockerize"}}},
	{"attempts, refused", "1/s", []benchGoal{{20, ""}}},
	{"attempts, says no", "1/s", []benchGoal{{5, ""}}},
	{"attempts, says no for 20 s", "1/s", []benchGoal{{5, ""}}},
	{"200 TCP", "ms", []benchGoal{{0.8, "dockerize"}}},
	{"200 HTTP", "ms", []benchGoal{{0.8, "dockerize"}}},
}

// benchGoal is at most so many times what a peer has, or at most so much.
type benchGoal struct {
	most float64
	peer string
}

func TestBench(t *testing.T) {
	b := newBench(t)
	began := time.Now()
	part := func(name string, measure func()) {
		fmt.Fprintf(os.Stderr, "bench: %3.0f s: %s\n", time.Since(began).Seconds(), name)
		measure()
	}
	part("size", b.size)
	part("start", func() { b.each("start", startRounds, nil, b.start("start"), "run") })
	part("memory, threads, wake-ups", b.idle)
	part("signals", func() { b.each("signal latency", signalRounds, nil, b.signals, "signals") })
	part("exit", func() { b.each("exit latency", exitRounds, nil, b.exit, "run") })
	part("orphans", func() {
		b.each("orphans, all reaped", orphanRounds, nil, b.orphans, "orphans", strconv.Itoa(orphanCount))
	})
	part("waiting", b.waiting)
	part("200 TCP", func() { b.many("200 TCP", "tcp://") })
	part("200 HTTP", func() { b.many("200 HTTP", "http://") })
	fmt.Print(b.table())
}

func (b *bench) size() {
	for _, c := range b.candidates {
		info, err := os.Stat(c.path)
		require.NoError(b.t, err)
		b.add("size", c, float64(info.Size()))
	}
}

func (b *bench) start(row string) func(*candidate, *instance) error {
	return func(c *candidate, i *instance) error {
		b.add(row, c, float64(i.began-i.executed)/1e6)
		if i.began-i.executed > int64(time.Second) {
			b.out[row+c.name] = true // once is enough
		}
		return nil
	}
}

func (b *bench) many(row, scheme string) {
	targets := make([]string, manyCount)
	for n := range targets {
		targets[n] = scheme + newDependency(b.t).listen(true).addr
	}
	b.each(row, manyRounds, targets, b.start(row), "run")
}

func (b *bench) signals(c *candidate, i *instance) error {
	for range signalsEach {
		// A signal finds an init asleep. Sent without a pause the next one finds
		// the threads of a Go program still looking for work, which flatters it.
		<-time.After(signalGap)
		sent := now()
		if err := syscall.Kill(i.cmd.Process.Pid, syscall.SIGUSR1); err != nil {
			return err
		}
		came, err := i.record(answerTime)
		if err != nil {
			return err
		}
		b.add("signal latency", c, float64(came[0]-sent)/1e3)
	}
	return nil
}

func (b *bench) exit(c *candidate, i *instance) error {
	i.in.Close()
	watch := time.AfterFunc(answerTime, func() { i.cmd.Process.Kill() })
	defer watch.Stop()
	i.cmd.Process.Wait()
	gone := now()
	exited, err := i.record(answerTime)
	b.add("exit latency", c, float64(gone-exited[0])/1e3)
	return err
}

func (b *bench) orphans(c *candidate, i *instance) error {
	before := i.cpu()
	i.in.Write([]byte{'\n'})
	took, err := i.record(6 * answerTime)
	switch {
	case err != nil:
		return err
	case took[1] == 0:
		b.add("orphans, all reaped", c, math.Inf(1))
		return errors.New("zombies are left")
	}
	b.add("orphans, all reaped", c, float64(took[0])/1e6)
	b.add("orphans, CPU", c, i.cpu()-before)
	return nil
}

// idle has all candidates asleep at the same time, where they do not disturb
// each other, and looks at what they are then. So long a time is also what the
// last row of attempts needs.
func (b *bench) idle() {
	type sleeper struct {
		*instance
		c     *candidate
		after string // the end of the rows' names
		woken float64
	}
	var all []*sleeper
	ready := "http://" + newDependency(b.t).listen(true).addr
	for range idleEach {
		for after, targets := range map[string][]string{"": nil, " after a wait": {ready}} {
			row := "wake-ups in 20 s" + after
			for _, c := range b.shuffled(row, targets...) {
				s := &sleeper{instance: b.launch("launch", c.argv(targets), "run"), c: c, after: after}
				defer s.end()
				if err := s.started(); err != nil {
					b.fail(row, c, err)
					continue
				}
				all = append(all, s)
			}
		}
	}
	const row = "attempts, says no for 20 s"
	for _, c := range b.shuffled(row, "http://") {
		dep := newDependency(b.t).listen(false)
		defer b.launch("launch", c.argv([]string{"http://" + dep.addr}), "run").end()
		defer func() { b.attempts(row, c, float64(dep.noes.Load()), settleTime+idleWindow) }()
	}
	// No event tells that nothing happens: here it takes a clock.
	<-time.After(settleTime)
	for _, s := range all {
		s.woken = s.switches()
	}
	<-time.After(idleWindow)
	for _, s := range all {
		b.add("wake-ups in 20 s"+s.after, s.c, s.switches()-s.woken)
		b.add("anonymous memory"+s.after, s.c, s.number("status", "RssAnon"))
		b.add("threads"+s.after, s.c, s.number("status", "Threads"))
	}
}

// waiting starts all candidates of a round at once, for they mostly sleep, each
// with a dependency of its own, and then does to these what is to be done, in
// the order of time.
func (b *bench) waiting() {
	for range b.rounds(waitRounds) {
		var plan []benchEvent
		var ends []func()
		for n := range waitsEach {
			// One in each of as many parts of the range, so that every candidate
			// has short waits and long ones.
			part := (longest - shortest) / waitsEach
			for row, scheme := range map[string]string{
				"TCP ready -> app": "tcp://", "HTTP ready -> app": "http://",
				"attempts, refused": "tcp://", "attempts, says no": "http://",
			} {
				for _, c := range b.shuffled(row, scheme) {
					wait := shortest + time.Duration(n)*part + rand.N(part)
					events, end := b.wait(row, scheme, c, wait)
					plan, ends = append(plan, events...), append(ends, end)
				}
			}
		}
		slices.SortFunc(plan, func(x, y benchEvent) int { return cmp.Compare(x.at, y.at) })
		for _, e := range plan {
			<-time.After(time.Duration(e.at - now()))
			e.do()
		}
		for _, end := range ends {
			end()
		}
	}
}

// attempts notes how often somebody asked. Never is not seldom: he did not wait.
func (b *bench) attempts(row string, c *candidate, n float64, in time.Duration) {
	if n == 0 {
		b.fail(row, c, errors.New("asked nobody"))
		return
	}
	b.add(row, c, n/in.Seconds())
}

// benchEvent is something to be done at a time of the app's clock.
type benchEvent struct {
	at int64
	do func()
}

// wait starts a candidate that has to wait so long for its dependency. It
// returns what is to happen to that, and what is to be done after it all.
func (b *bench) wait(row, scheme string, c *candidate, wait time.Duration) (plan []benchEvent, end func()) {
	dep, how, ready := newDependency(b.t), "launch", int64(0)
	if row == "attempts, refused" {
		// In a network of its own, where nobody listens: all connections there
		// are the candidate's, and the kernel counts them.
		how = "launch-lo"
	}
	if row == "attempts, says no" {
		dep.listen(false)
	}
	began := now()
	middle, late := began+int64(wait/2), began+int64(wait)
	i := b.launch(how, c.argv([]string{scheme + dep.addr}), "run")
	attempts := func(n float64) { b.attempts(row, c, n, time.Duration(now()-began)) }
	switch row {
	case "attempts, refused":
		return []benchEvent{{late, func() { attempts(i.number("net/snmp", "ActiveOpens")) }}}, i.end
	case "attempts, says no":
		return []benchEvent{{late, func() { attempts(float64(dep.noes.Load())) }}}, i.end
	case "TCP ready -> app":
		plan = []benchEvent{{late, func() { ready = now(); dep.listen(true) }}}
	case "HTTP ready -> app":
		plan = []benchEvent{{middle, func() { dep.listen(false) }}, {late, func() { ready = now(); dep.yes.Store(true) }}}
	}
	return plan, func() {
		defer i.end()
		err := i.started()
		if err == nil && i.began < ready {
			err = errors.New("the app began before its dependency")
		}
		if err != nil {
			b.fail(row, c, err)
			return
		}
		b.add(row, c, float64(i.began-ready)/1e6)
	}
}
