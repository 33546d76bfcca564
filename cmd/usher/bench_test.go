//go:build bench

// The benchmark compares usher with tini, dumb-init, catatonit, dockerize and
// wait-for-it, if they are installed. It runs each as PID 1 of a new PID namespace, and
// prints one table. It needs root and a C compiler:
//
//	make bench
//
// Two environment variables change it:
//
//	USHER_BENCH_PATH    directories to search for the other programs before PATH
//	USHER_BENCH_ROUNDS  factor for the number of rounds; 0.2 gives a quick estimate
//
// Most rows are measured in rounds. Each round measures all candidates, in random
// order, so that noise affects all alike. A number is the median of a candidate's
// measurements. It is followed by the ratio of this number to that of the first program
// other than usher that has a number in the row.
// Absolute times depend on the machine and its load; ratios depend on them less. A
// row has no number for a candidate that lacks the measured feature. All candidates
// run with their default settings, except that dockerize and wait-for-it may wait
// for 60 s, as usher does by default, and that wait-for-it prints nothing (-q).
//
// The rows:
//
//	size                  size of the program in bytes
//	start                 from execve of the init until the app reads the clock
//	anonymous memory      RssAnon of the init after 20 s without work; other pages are
//	                      shared with other containers
//	threads               number of threads of the init after these 20 s
//	wake-ups in 20 s      context switches of all threads of the init in these 20 s
//	... after a wait      the same for an init that has waited for one HTTP
//	                      dependency, which was ready
//	signal latency        from kill(2) of the init with SIGUSR1 until the app receives
//	                      the signal, after 10 ms without work
//	exit latency          from the app's _exit until wait4 returns in the init's parent
//	orphans, all reaped   from the first fork of 5,000 orphans until all are reaped
//	orphans, CPU          CPU time of the init for these orphans
//	TCP ready -> app      a port refuses connections for 0.5 to 6 s; from listen(2)
//	                      until the app reads the clock
//	HTTP ready -> app     the same, but in the second half of the 0.5 to 6 s the port
//	                      responds with 503; from the change to 200 until the app reads
//	                      the clock
//	attempts, refused     connections per second to a port that refuses for 0.5 to 6 s
//	attempts, 503         requests per second to a server that sends 503 for 0.5 to 6 s
//	attempts, 503 for 20 s  the same for a server that sends 503 for 22 s (settleTime +
//	                      idleWindow)
//	200 TCP, 200 HTTP     from execve of the init until the app reads the clock, with 200
//	                      dependencies that are ready
//	..., CPU              CPU time of the init until then, which depends less on the
//	                      load of the machine
//
// A goal in the last column is a maximum of usher's number, or of its ratio to another
// program's number. The benchmark does not fail if usher misses a goal, because numbers
// vary by a few percent. On a busy machine they vary by much more; the first line of the
// output shows the load. The benchmark fails if usher cannot be measured.
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

// The numbers of rounds (...Rounds) are multiplied by USHER_BENCH_ROUNDS, if that is set.
const (
	startRounds  = 100
	signalRounds = 10
	signalsEach  = 20 // signals to each candidate in each round
	exitRounds   = 60
	orphanRounds = 9
	waitRounds   = 5
	waitsEach    = 6 // waits of each candidate in each round
	manyRounds   = 15
	idleEach     = 3 // idle instances of each candidate, all at the same time
)

const (
	orphanCount = 5000
	manyCount   = 200
	minWait     = 500 * time.Millisecond // minimum time until a dependency is ready
	maxWait     = 6 * time.Second
	signalGap   = 10 * time.Millisecond
	settleTime  = 2 * time.Second  // from the start until idleWindow begins
	idleWindow  = 20 * time.Second // the names of rows contain "20 s": change them too
	timeout     = 10 * time.Second // if the app reports nothing for this long, its candidate gets no more rounds for the row
)

// benchRows are the rows of the table, in order.
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
	{"attempts, 503", "1/s", []benchGoal{{5, ""}}},
	{"attempts, 503 for 20 s", "1/s", []benchGoal{{5, ""}}},
	{"200 TCP", "ms", []benchGoal{{0.8, "dockerize"}}},
	{"200 TCP, CPU", "ms", nil},
	{"200 HTTP", "ms", []benchGoal{{0.8, "dockerize"}}},
	{"200 HTTP, CPU", "ms", nil},
}

// benchGoal is a maximum. If peer is empty, it limits usher's number, else the ratio of
// usher's number to the number of peer.
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
			b.removed[row+c.name] = true // no more rounds, because the candidate is slow
		}
		return nil
	}
}

func (b *bench) many(row, scheme string) {
	targets := make([]string, manyCount)
	for n := range targets {
		targets[n] = scheme + newDependency(b.t).listen(true).addr
	}
	b.each(row, manyRounds, targets, func(c *candidate, i *instance) error {
		b.add(row+", CPU", c, i.cpu())
		return b.start(row)(c, i)
	}, "run")
}

func (b *bench) signals(c *candidate, i *instance) error {
	for range signalsEach {
		// Wait until the init sleeps. After work, the threads of a Go program spin for a
		// while, and in that time they handle a signal faster.
		<-time.After(signalGap)
		sent := now()
		if err := syscall.Kill(i.cmd.Process.Pid, syscall.SIGUSR1); err != nil {
			return err
		}
		received, err := i.record(timeout)
		if err != nil {
			return err
		}
		b.add("signal latency", c, float64(received[0]-sent)/1e3)
	}
	return nil
}

func (b *bench) exit(c *candidate, i *instance) error {
	i.in.Close()
	watch := time.AfterFunc(timeout, func() { i.cmd.Process.Kill() })
	defer watch.Stop()
	i.cmd.Process.Wait()
	gone := now()
	exited, err := i.record(timeout)
	if err == nil {
		b.add("exit latency", c, float64(gone-exited[0])/1e3)
	}
	return err
}

func (b *bench) orphans(c *candidate, i *instance) error {
	before := i.cpu()
	i.in.Write([]byte{'\n'})
	took, err := i.record(6 * timeout)
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

// idle measures the rows about memory, threads and wake-ups. It measures all candidates at
// the same time, because idle processes do not disturb each other. Meanwhile it also
// measures the row "attempts, 503 for 20 s".
func (b *bench) idle() {
	type sleeper struct {
		*instance
		c     *candidate
		after string  // the suffix of the names of its rows
		woken float64 // context switches before idleWindow
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
	const row = "attempts, 503 for 20 s"
	for _, c := range b.shuffled(row, "http://") {
		dep := newDependency(b.t).listen(false)
		defer b.launch("launch", c.argv([]string{"http://" + dep.addr}), "run").end()
		defer func() { b.attempts(row, c, float64(dep.refusals.Load()), settleTime+idleWindow) }()
	}
	// There is no event to wait for, because the rows measure a fixed time without work.
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

// waiting measures candidates that wait. A round starts each candidate several times
// (waitsEach) for each row, all at the same time and each with a dependency of its own. They
// hardly disturb each other, because they mostly sleep. Then waiting does the actions that
// b.wait has returned, each at its time.
func (b *bench) waiting() {
	for range b.rounds(waitRounds) {
		var plan []benchEvent
		var ends []func()
		for n := range waitsEach {
			// Divide the range of waits into waitsEach parts, and choose one wait in each
			// part, so that every candidate has short and long waits.
			part := (maxWait - minWait) / waitsEach
			for row, scheme := range map[string]string{
				"TCP ready -> app": "tcp://", "HTTP ready -> app": "http://",
				"attempts, refused": "tcp://", "attempts, 503": "http://",
			} {
				for _, c := range b.shuffled(row, scheme) {
					wait := minWait + time.Duration(n)*part + rand.N(part)
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

// attempts records n attempts in the given time as a number per second. A candidate without
// any attempt has failed, and gets no more rounds for the row.
func (b *bench) attempts(row string, c *candidate, n float64, in time.Duration) {
	if n == 0 {
		b.fail(row, c, errors.New("no attempt"))
		return
	}
	b.add(row, c, n/in.Seconds())
}

// benchEvent is an action at a time of CLOCK_MONOTONIC.
type benchEvent struct {
	at int64
	do func()
}

// wait starts a candidate with a dependency of its own. The caller must do each action of plan
// at its time, and then call end. In the rows "... -> app" the actions change the dependency,
// so that it becomes ready when the duration wait has passed, and end records the result. In
// the rows "attempts, ..." the only action counts the attempts when that duration has passed,
// and records the result. In all rows end also ends the candidate.
func (b *bench) wait(row, scheme string, c *candidate, wait time.Duration) (plan []benchEvent, end func()) {
	dep, how, ready := newDependency(b.t), "launch", int64(0)
	if row == "attempts, refused" {
		// The candidate gets its own network namespace, so that the kernel's counter
		// ActiveOpens (below) counts only the candidate's connections.
		how = "launch-lo"
	}
	if row == "attempts, 503" {
		dep.listen(false)
	}
	began := now()
	middle, late := began+int64(wait/2), began+int64(wait)
	i := b.launch(how, c.argv([]string{scheme + dep.addr}), "run")
	attempts := func(n float64) { b.attempts(row, c, n, time.Duration(now()-began)) }
	switch row {
	case "attempts, refused":
		return []benchEvent{{late, func() { attempts(i.number("net/snmp", "ActiveOpens")) }}}, i.end
	case "attempts, 503":
		return []benchEvent{{late, func() { attempts(float64(dep.refusals.Load())) }}}, i.end
	case "TCP ready -> app":
		plan = []benchEvent{{late, func() { ready = now(); dep.listen(true) }}}
	case "HTTP ready -> app":
		plan = []benchEvent{{middle, func() { dep.listen(false) }}, {late, func() { ready = now(); dep.ready.Store(true) }}}
	}
	return plan, func() {
		defer i.end()
		err := i.started()
		if err == nil && i.began < ready {
			err = errors.New("the app was started before its dependency was ready")
		}
		if err != nil {
			b.fail(row, c, err)
			return
		}
		b.add(row, c, float64(i.began-ready)/1e6)
	}
}
