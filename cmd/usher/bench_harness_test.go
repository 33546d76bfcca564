//go:build bench

package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
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
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// bench is one run of the benchmark.
type bench struct {
	t          *testing.T
	app        string
	load       string  // load average of the machine before the run
	factor     float64 // each number of rounds is multiplied by this factor
	candidates []*candidate
	removed    map[string]bool      // key: row + candidate; true: no more rounds (see fail)
	numbers    map[string][]float64 // the measured numbers; key: row + candidate
}

func newBench(t *testing.T) *bench {
	needRoot(t)
	// The kernel kills a candidate when the thread that started it exits (Pdeathsig in
	// launch). So one thread starts all candidates, and it runs until the end of the test.
	runtime.LockOSThread()
	b := &bench{t: t, app: filepath.Join(t.TempDir(), "app"), factor: 1, removed: map[string]bool{}, numbers: map[string][]float64{}}
	load, err := os.ReadFile("/proc/loadavg")
	require.NoError(t, err)
	b.load = strings.Fields(string(load))[0]
	if text := os.Getenv("USHER_BENCH_ROUNDS"); text != "" {
		b.factor, err = strconv.ParseFloat(text, 64)
		require.NoError(t, err, "USHER_BENCH_ROUNDS")
	}
	cc := exec.Command("cc", "-O2", "-static", "-o", b.app, "testdata/bench/app.c")
	if text, err := cc.CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("no C compiler that links statically: %v\n%s", err, text))
	}
	b.candidates = []*candidate{{"usher", binary(t)}}
	t.Setenv("PATH", strings.TrimPrefix(os.Getenv("USHER_BENCH_PATH")+":"+os.Getenv("PATH"), ":"))
	for _, name := range []string{"tini-static", "tini", "dumb-init", "catatonit", "dockerize", "wait-for-it"} {
		path, err := exec.LookPath(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: not installed:", name)
			continue
		}
		b.candidates = append(b.candidates, &candidate{name, path})
	}
	return b
}

// candidate is one of the programs that the benchmark compares.
type candidate struct{ name, path string }

// argv returns the command line with which the candidate waits for the targets. The caller
// appends the command line of the app. argv returns nil if the candidate cannot wait for
// the targets, and for wait-for-it without a target, because wait-for-it needs one.
func (c *candidate) argv(targets []string) []string {
	args := []string{c.path}
	for n, t := range targets {
		addr, isTCP := strings.CutPrefix(t, "tcp://")
		switch {
		case c.name == "usher":
			args = append(args, "--wait", t)
		case c.name == "dockerize":
			args = append(args, "-timeout", "60s", "-wait", t)
		case c.name == "wait-for-it" && isTCP && n == 0:
			args = append(args, "-q", "-t", "60", addr)
		case c.name == "wait-for-it" && isTCP: // wait-for-it takes only one target, so it executes another wait-for-it, which waits for the next target
			args = append(args, "--", c.path, "-q", "-t", "60", addr)
		default:
			return nil
		}
	}
	switch {
	case c.name == "dockerize": // dockerize needs no "--": its flags end at the first argument that is not a flag
		return args
	case c.name == "wait-for-it" && len(targets) == 0:
		return nil
	}
	return append(args, "--")
}

// rounds returns n multiplied by USHER_BENCH_ROUNDS, but at least 1.
func (b *bench) rounds(n int) int { return max(1, int(math.Round(float64(n)*b.factor))) }

// shuffled returns, in random order, the candidates that can wait for the targets and still
// get rounds for the row (see fail).
func (b *bench) shuffled(row string, targets ...string) (some []*candidate) {
	for _, n := range rand.Perm(len(b.candidates)) {
		if c := b.candidates[n]; c.argv(targets) != nil && !b.removed[row+c.name] {
			some = append(some, c)
		}
	}
	return some
}

// each makes a number of rounds (see the method rounds). In a round it starts the candidates
// that shuffled returns, one after the other, and calls measure for each whose app has started.
func (b *bench) each(row string, rounds int, targets []string, measure func(*candidate, *instance) error, app ...string) {
	for range b.rounds(rounds) {
		for _, c := range b.shuffled(row, targets...) {
			i := b.launch("launch", c.argv(targets), app...)
			err := i.started()
			if err == nil {
				err = measure(c, i)
			}
			if err != nil {
				b.fail(row, c, err)
			}
			i.end()
		}
	}
}

// add records a measured number. If it is NaN, because the candidate has exited too early, add
// calls fail instead.
func (b *bench) add(row string, c *candidate, x float64) {
	if math.IsNaN(x) {
		b.fail(row, c, errors.New("it has exited"))
		return
	}
	b.numbers[row+c.name] = append(b.numbers[row+c.name], x)
}

// fail is called when a candidate cannot be measured. The candidate gets no more rounds for
// the row, and the numbers that it already has are dropped. If it is usher, the benchmark fails.
func (b *bench) fail(row string, c *candidate, err error) {
	if b.removed[row+c.name] {
		return // already reported
	}
	b.removed[row+c.name] = true
	delete(b.numbers, row+c.name)
	fmt.Fprintf(os.Stderr, "bench: %s: %s: %v\n", row, c.name, err)
	if c.name == "usher" {
		b.t.Errorf("%s: %v", row, err)
	}
}

// instance is a candidate that runs as PID 1 (called the init) and starts an app.
type instance struct {
	cmd             *exec.Cmd
	in, out         *os.File // pipes to the app's stdin and from its stdout
	executed, began int64    // the time of the init's execve, and the time at which the app's main started
}

// launch starts argv as PID 1 of a new PID namespace, with the app and its arguments appended.
// It starts the program testdata/bench/app.c, which records the time and then executes argv.
// role is the program's first argument: "launch", or "launch-lo" to give the program a new
// network namespace too, in which it first sets up the loopback interface.
func (b *bench) launch(role string, argv []string, app ...string) *instance {
	stdin, in, err := os.Pipe()
	require.NoError(b.t, err)
	defer stdin.Close()
	out, stdout, err := os.Pipe()
	require.NoError(b.t, err)
	defer stdout.Close()
	args := slices.Concat([]string{b.app, role}, argv, []string{b.app}, app)
	i := &instance{in: in, out: out, cmd: &exec.Cmd{Path: b.app, Args: args, Stdin: stdin, Stdout: stdout}}
	// Of the test's environment the init gets only PATH, because other variables, such as
	// USHER_GRACE, may set flags of usher.
	i.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWPID}
	if role == "launch-lo" {
		i.cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	}
	require.NoError(b.t, i.cmd.Start())
	return i
}

// started waits for the app's first record. It returns an error if the app exits or reports
// nothing within 10 s (timeout).
func (i *instance) started() error {
	r, err := i.record(timeout)
	i.executed, i.began = r[0], r[1]
	return err
}

// record reads a record of the app: two numbers. If there is none within limit, it kills the
// init and returns an error. record blocks in read(2). If it waited through the Go runtime's
// network poller instead, idle threads of the runtime would look for work all the time, on the
// processor that the init needs.
func (i *instance) record(limit time.Duration) (r [2]int64, err error) {
	watch := time.AfterFunc(limit, func() { i.cmd.Process.Kill() })
	defer watch.Stop()
	n, err := unix.Read(int(i.out.Fd()), (*[unsafe.Sizeof(r)]byte)(unsafe.Pointer(&r))[:])
	if err == nil && n != int(unsafe.Sizeof(r)) {
		err = fmt.Errorf("the app has exited, or has written nothing for %v", limit)
	}
	return r, err
}

// end kills PID 1, and with it all processes of its PID namespace.
func (i *instance) end() {
	i.cmd.Process.Kill()
	i.cmd.Process.Wait()
	i.in.Close()
	i.out.Close()
}

// number returns the number with the given name from a file in /proc/PID of the init. The
// number follows the name (status), or is in the same column of the next line (net/snmp).
func (i *instance) number(file, name string) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", i.cmd.Process.Pid, file))
	lines := strings.Split(string(text), "\n")
	for n, line := range lines {
		words := strings.Fields(line)
		k := slices.IndexFunc(words, func(w string) bool { return strings.TrimSuffix(w, ":") == name })
		switch {
		case k < 0:
			continue
		case strings.HasSuffix(words[k], ":"):
			k++
		default:
			words = strings.Fields(lines[n+1])
		}
		if x, err := strconv.ParseFloat(words[k], 64); err == nil {
			return x
		}
	}
	return math.NaN() // the init has exited, so there is no number
}

// switches returns the number of context switches of all threads of the init.
func (i *instance) switches() (n float64) {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", i.cmd.Process.Pid))
	for _, t := range threads {
		status := "task/" + t.Name() + "/status"
		n += i.number(status, "voluntary_ctxt_switches") + i.number(status, "nonvoluntary_ctxt_switches")
	}
	return n
}

// cpu returns the CPU time of the init in milliseconds, without the CPU time of its
// children. The ID of a process's CPU clock is ~pid<<3 | 2, as clock_getcpuclockid(3)
// computes it; 2 is CPUCLOCK_SCHED in the kernel.
func (i *instance) cpu() float64 {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^i.cmd.Process.Pid<<3|2), &t); err != nil {
		return math.NaN()
	}
	return float64(t.Nano()) / 1e6
}

// now returns the time of CLOCK_MONOTONIC, which the app uses too, in nanoseconds.
func now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// dependency is a TCP port that refuses connections until listen is called. From then on it
// is an HTTP server that responds with 200 if ready is set, else with 503.
type dependency struct {
	t        *testing.T
	fd       int
	addr     string
	server   http.Server
	ready    atomic.Bool
	refusals atomic.Int64 // responses with 503
}

// newDependency binds a socket to a free port, so that no other process gets the port.
func newDependency(t *testing.T) *dependency {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := unix.Getsockname(fd)
	require.NoError(t, err)
	d := &dependency{t: t, fd: fd, addr: fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)}
	d.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !d.ready.Load() {
			d.refusals.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	t.Cleanup(func() { d.server.Close() })
	return d
}

func (d *dependency) listen(ready bool) *dependency {
	d.ready.Store(ready)
	require.NoError(d.t, unix.Listen(d.fd, unix.SOMAXCONN))
	file := os.NewFile(uintptr(d.fd), d.addr)
	defer file.Close() // the listener has its own duplicate of the descriptor
	listener, err := net.FileListener(file)
	require.NoError(d.t, err)
	go d.server.Serve(listener)
	return d
}

// table formats the results.
func (b *bench) table() string {
	var text strings.Builder
	var system unix.Utsname
	_ = unix.Uname(&system)
	fmt.Fprintf(&text, "\nLinux %s, %s, %d CPUs, load %s before, %s; medians, and ratios to the row's first peer\n\n",
		unix.ByteSliceToString(system.Release[:]), runtime.GOARCH, runtime.NumCPU(), b.load, runtime.Version())
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, c := range b.candidates {
		fmt.Fprint(w, "\t", c.name)
	}
	fmt.Fprintln(w, "\tgoal")
	for _, row := range benchRows {
		fmt.Fprint(w, strings.TrimSuffix(row.name+", "+row.unit, ", "))
		unit := math.NaN()
		for _, c := range b.candidates[1:] {
			if math.IsNaN(unit) {
				unit = b.median(row.name, c.name)
			}
		}
		for _, c := range b.candidates {
			x := b.median(row.name, c.name)
			fmt.Fprint(w, "\t", about(x))
			if ratio := x / unit; ratio <= math.MaxFloat64 && ratio > 0 {
				fmt.Fprintf(w, " %sx", about(ratio))
			}
		}
		var verdicts []string
		for _, g := range row.goals {
			verdicts = append(verdicts, b.verdict(row.name, g))
		}
		fmt.Fprintf(w, "\t%s\n", strings.Join(verdicts, "; "))
	}
	w.Flush()
	return text.String()
}

// median returns the median of a candidate's numbers for a row, or NaN if there are none.
func (b *bench) median(row, name string) float64 {
	x := slices.Sorted(slices.Values(b.numbers[row+name]))
	if len(x) == 0 {
		return math.NaN()
	}
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

func (b *bench) verdict(row string, g benchGoal) string {
	text, is := fmt.Sprintf("<= %v", g.most), b.median(row, "usher")
	if g.peer != "" {
		text += "x " + g.peer
		is /= b.median(row, g.peer)
	}
	switch {
	case math.IsNaN(is):
		return text + ": not measured"
	case is <= g.most:
		return text + ": yes, " + about(is)
	}
	return text + ": no, " + about(is)
}

// about formats a number with three significant digits. Whole numbers, and numbers from 100
// on, get no decimal places.
func about(x float64) string {
	switch {
	case math.IsNaN(x):
		return "-"
	case math.IsInf(x, 1):
		return "never"
	case x >= 100 || x == math.Trunc(x):
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}
