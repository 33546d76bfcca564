package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSoak runs usher for a long time, with much to do, and checks that its memory and its
// numbers of descriptors, threads, goroutines and zombies do not grow. "make soak" runs it for
// an hour, "make test" for about ten seconds:
//
//	DURATION=30m   the duration of the test
//
// Two usher processes get the same work, each as PID 1 of its own PID namespace: "shipped" is
// the binary as it is shipped, and "counted" is the test binary, which also counts its
// goroutines and heap objects.
//
// The test works in rounds. Each round also has a short run of usher, from its start to its
// exit. After each round the test takes a sample of all numbers. The first fifth of the samples
// is the warm-up: caches fill, and the kernel and the Go runtime reach their usual sizes. The
// later samples are divided into ten parts. The median of the last part must not exceed the
// median of the first part by more than a bound (soakNumbers).
func TestSoak(t *testing.T) {
	needRoot(t)
	duration := 8 * time.Second
	if text := os.Getenv("DURATION"); text != "" {
		var err error
		duration, err = time.ParseDuration(text)
		require.NoError(t, err, "DURATION")
	} else {
		t.Parallel()
	}
	s := &soak{t: t, values: map[string][]int{}}
	counted, err := linkTo("usher-counted")
	require.NoError(t, err)
	s.start("shipped", binary(t))
	s.start("counted", counted)

	begun := time.Now()
	for printed := begun; time.Since(begun) < duration || s.rounds < 20; s.rounds++ {
		if time.Since(printed) > time.Minute {
			printed = time.Now()
			fmt.Fprintf(os.Stderr, "soak: %s: %s\n", time.Since(begun).Round(time.Second), s.lastSamples())
		}
		for _, u := range s.ushers {
			u.round()
		}
		t.Run("short run", s.shortRun)
		for _, u := range s.ushers {
			u.sample()
		}
		if t.Failed() {
			break
		}
	}
	for _, u := range s.ushers {
		u.stop()
	}
	t.Log(s.table())
	if os.Getenv("DURATION") != "" {
		fmt.Fprintln(os.Stderr, s.table())
	}
	for _, n := range soakNumbers {
		for _, name := range n.of {
			first, last := s.ends(name + n.name)
			assert.LessOrEqual(t, last, first+s.bound(n), "%s: %s grows", name, n.name)
		}
	}
}

// soakNumber is a quantity that is measured, and by how much it may grow.
type soakNumber struct {
	name  string
	of    []string // the usher processes for which it is checked
	bound int
}

// A run without a leak stays within these bounds. If usher leaks one item in each round, an
// hour (make soak) is long enough to exceed them.
var soakNumbers = []soakNumber{
	// The memory of "counted" is not checked: "counted" is the test binary, which may contain
	// the race detector, and the race detector's memory grows.
	{"RSS, KiB", []string{"shipped"}, 1024},
	{"anonymous, KiB", []string{"shipped"}, 768},
	{"descriptors", []string{"shipped", "counted"}, 3},
	{"threads", []string{"shipped", "counted"}, 1},
	{"zombies", []string{"shipped", "counted"}, 0},
	{"processes", []string{"shipped", "counted"}, 1},
	{"goroutines", []string{"counted"}, 3},
	{"heap objects", []string{"counted"}, 100},
}

// bound returns by how much a number may grow. In a short test the bounds of the memory are
// 4 MiB higher, because the Go runtime does not collect garbage until the heap has reached
// 4 MiB, and that may be after the warm-up.
func (s *soak) bound(n soakNumber) int {
	if strings.HasSuffix(n.name, "KiB") && s.rounds < 2000 {
		return n.bound + 4<<10
	}
	return n.bound
}

type soak struct {
	t      *testing.T
	ushers []*soakedUsher
	rounds int
	values map[string][]int // the samples; the key is the name of the usher process followed by the name of the number, as in "shippedthreads"
	codes  [2]int           // numbers of short runs: codes[0] counts apps that exited by themselves, codes[1] those that were stopped
}

// soakedUsher is an usher that runs during the whole test.
type soakedUsher struct {
	*process
	soak     *soak
	name     string
	health   string
	counters string // a Unix socket, see countedUsher
	app      int    // the app's pid
	target   *httptest.Server
	ready    atomic.Bool
	broken   []net.Conn // connections of clients that send and read nothing more
	orphans  int
	signals  int
	requests int
}

// start starts an usher process whose app makes orphans. usher gets three --ready targets
// (HTTP, TCP and a command), because it probes them again when /readyz is requested.
func (s *soak) start(name, usher string) {
	t := s.t
	u := &soakedUsher{soak: s, name: name, health: freeAddress(t), counters: filepath.Join(t.TempDir(), "socket")}
	u.ready.Store(true)
	u.target = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !u.ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(u.target.Close)
	var ignored []string
	for _, sig := range soakSignals {
		ignored = append(ignored, fmt.Sprint(int(sig)))
	}
	// nohugepages=1 (see testdata/puppet.c) turns off transparent huge pages. With them, the
	// kernel may at any time replace small pages by a huge page, so a few KiB of data would
	// count as 2 MiB.
	u.process = launcher{proc: true, inherit: []string{"nohugepages=1"}, vars: []string{"SOAK_SOCKET=" + u.counters}}.start(t, usher, "--health", u.health, "--grace", "20s",
		"--ready", "timeout=20s "+u.target.URL, "--ready", "timeout=20s tcp://"+u.target.Listener.Addr().String(),
		"--ready", "timeout=20s sh -c '(true &); exit 0'", "--post-stop", "true",
		"--", "sh", "-c", "trap '' "+strings.Join(ignored, " ")+`
			while read orphans; do
				i=0; while [ $i -lt $orphans ]; do (true &); i=$((i + 1)); done; echo made
			done; exit 5`)
	u.stderr.expectAll("ready: http://", "ready: tcp://", "ready: sh is ready")
	children := childrenOf(t, u.pid())
	require.NotEmpty(t, children)
	u.app = slices.MinFunc(children, func(a, b int) int { return pidInside(a) - pidInside(b) })
	s.ushers = append(s.ushers, u)
}

// soakSignals are signals that the app ignores. SIGQUIT, SIGWINCH and SIGUSR1 are left out,
// because usher logs a hint about --stop-on after one of them.
var soakSignals = []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGPIPE, syscall.SIGURG, syscall.SIGXCPU,
	syscall.SIGVTALRM, syscall.SIGPROF, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, 34, 35, 47, 63, 64}

// round gives usher work of each kind: orphans, signals, and requests for --health.
func (u *soakedUsher) round() {
	t := u.t
	const orphans = 20
	u.write(fmt.Sprintln(orphans))
	for n := range 4 { // a burst: some of the signals arrive while others are pending
		for i, sig := range soakSignals {
			if sig >= 34 || (i+n)%3 != 0 {
				u.signal(sig)
				u.signals++
			}
		}
	}
	u.stdout.expect("made")
	u.orphans += orphans

	require.NoError(t, syscall.Kill(u.app, syscall.SIGSTOP))
	u.signal(syscall.SIGUSR2)
	u.signal(syscall.SIGCONT) // usher forwards it, and the app continues
	u.signals += 2

	u.ready.Store(u.soak.rounds%4 != 3)
	for _, path := range []string{"/livez", "/readyz", "/servingz", "/nothing"} {
		assert.NotEmpty(t, get(t, u.health, path))
		u.requests++
	}
	// Clients that send nothing, half a request or something other than HTTP, and clients that
	// do not read the response. They keep their connections open for two rounds.
	for _, text := range []string{"", "GET /readyz HTTP/1.1\r\nHo", "\x16\x03\x01\x00\xff", "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("x", 100_000)} {
		conn, err := net.Dial("tcp", u.health)
		require.NoError(t, err)
		_, _ = io.WriteString(conn, text)
		u.broken = append(u.broken, conn)
		u.requests++
	}
	for len(u.broken) > 10 {
		u.broken[0].Close()
		u.broken = u.broken[1:]
	}
}

// sample records the numbers of a running usher.
func (u *soakedUsher) sample() {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", u.pid()))
	require.NoError(u.t, err)
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(status), "\n"+name+":")
		n, err := strconv.Atoi(append(strings.Fields(rest), "")[0])
		require.NoError(u.t, err, name)
		return n
	}
	u.add("RSS, KiB", field("VmRSS"))
	u.add("anonymous, KiB", field("RssAnon"))
	u.add("threads", field("Threads"))
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", u.pid()))
	require.NoError(u.t, err)
	u.add("descriptors", len(fds))
	// An orphan that has just exited is a zombie until usher reaps it. So count up to 20 times,
	// until there is no zombie. Zombies that usher never reaps are still there after that.
	zombies, children := 0, []int(nil)
	for range 20 {
		zombies, children = 0, childrenOf(u.t, u.pid())
		for _, pid := range children {
			zombies += strings.Count(state(pid), "Z")
		}
		if zombies == 0 {
			break
		}
	}
	u.add("zombies", zombies)
	u.add("processes", len(children))
	if u.name == "counted" {
		conn, err := net.Dial("unix", u.counters)
		require.NoError(u.t, err)
		defer conn.Close()
		var goroutines, objects int
		_, err = fmt.Fscan(bufio.NewReader(conn), &goroutines, &objects)
		require.NoError(u.t, err)
		u.add("goroutines", goroutines)
		u.add("heap objects", objects)
	}
}

func (u *soakedUsher) add(number string, value int) {
	u.soak.values[u.name+number] = append(u.soak.values[u.name+number], value)
}

// TestMain calls countedUsher, and runs no tests, if the test binary is executed by the name
// usher-counted (see linkTo). countedUsher runs usher, and also writes the numbers of its
// goroutines and heap objects to each client of a Unix socket.
func countedUsher() {
	listener, err := net.Listen("unix", os.Getenv("SOAK_SOCKET"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			fmt.Fprintln(conn, runtime.NumGoroutine(), m.HeapObjects)
			conn.Close()
		}
	}()
	main()
}

func (u *soakedUsher) stop() {
	for _, conn := range u.broken {
		conn.Close()
	}
	u.in.Close()
	assert.Equal(u.t, 5, u.code(), u.name)
	assertNotPrintedMatch(u.t, u.stderr.rest(), crash.String())
}

// shortRun is one whole run of usher: a wait, hooks before the start, in the drain and after
// the stop, an app that exits by itself or is stopped, and a leftover.
func (s *soak) shortRun(t *testing.T) {
	own := hold(t)
	r := launcher{proc: true, vars: []string{"held=" + own.path}}.start(t, binary(t), "--grace", "20s", "--wait", "file:///", "--pre-start", "sh -c '(true &)'",
		"--drain", "true", "--post-stop", "true", "--", "sh", "-c",
		`exec 4>$held; $puppet daemon $puppet pause leftover; trap 'exit 7' TERM; echo app ready; read line; exit 8`)
	r.stdout.expectAll("app ready", "leftover ready")
	stopped := s.rounds % 2
	if stopped == 1 {
		r.signal(syscall.SIGTERM)
		r.stderr.expect("stop: sent SIGTERM")
	}
	r.in.Close()
	assert.Equal(t, 8-stopped, r.code()) // 8 at the end of stdin; 7 if usher has sent SIGTERM before, for which the shell has a trap
	assert.False(t, own.isHeld(), "a process still runs")
	s.codes[stopped]++
}

// ends returns the medians of the first and the last tenth of the samples after the warm-up.
func (s *soak) ends(key string) (first, last int) {
	samples := s.values[key]
	samples = samples[len(samples)/5:]
	part := max(1, len(samples)/10)
	return medianOf(samples[:part]), medianOf(samples[len(samples)-part:])
}

func (s *soak) lastSamples() string {
	var parts []string
	for _, n := range soakNumbers {
		for _, name := range n.of {
			if all := s.values[name+n.name]; len(all) > 0 {
				parts = append(parts, fmt.Sprintf("%s %s %d", name, n.name, all[len(all)-1]))
			}
		}
	}
	return strings.Join(parts, "; ")
}

// table formats the numbers of the whole test.
func (s *soak) table() string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%d rounds; short runs: %d that exited by themselves, %d that were stopped\n", s.rounds, s.codes[0], s.codes[1])
	for _, u := range s.ushers {
		fmt.Fprintf(&text, "%s: %d orphans, %d signals, %d health connections\n", u.name, u.orphans, u.signals, u.requests)
	}
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nusher\tnumber\tfirst tenth\tlast tenth\tsmallest\tlargest\tmay grow by")
	for _, n := range soakNumbers {
		for _, name := range n.of {
			all := s.values[name+n.name]
			all = all[len(all)/5:]
			first, last := s.ends(name + n.name)
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", name, n.name, first, last, slices.Min(all), slices.Max(all), s.bound(n))
		}
	}
	w.Flush()
	return text.String()
}
