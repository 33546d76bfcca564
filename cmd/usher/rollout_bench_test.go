//go:build bench

package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// "make rollout" measures how many requests fail in rolling updates, and how long it takes
// to stop a backend, and prints one table. It needs root, ip, nginx, HAProxy and tini, and
// for some apps gunicorn and node. An arm is a way to start and stop an app. A front is what
// clients connect to. A job measures one app with one arm behind one front. Variables on the
// command line of make change what is measured. ROLLS, RATE, LAG, KEEPALIVE and PARALLEL are
// shown here with their defaults. Without APPS, ARMS or FRONTS, every app, arm or front is
// measured; the values of these three are examples.
//
//	ROLLS=10       rolling updates in each job; each replaces the three backends
//	APPS=go,node   the apps (rolloutApps in rollout_test.go)
//	ARMS=tini,idle the arms (rolloutArms); sleep2s, or any other duration, is tini with a
//	               preStop hook that sleeps for that time
//	FRONTS=direct  the fronts: direct, nginx, haproxy
//	RATE=100       requests a second, for each job
//	LAG=1s-2s      after the start of a stop, the front still uses the backend for a random
//	               time in this range
//	KEEPALIVE=on   half of the requests use connections that clients keep open (except with
//	               nginx), and the proxies keep theirs open; off: none is kept open
//	PARALLEL=8     jobs at the same time, each with backends, a front and clients of its own
//	USHER=PATH     the absolute path of an usher to measure, instead of a new build
//	WRITE=rollout  write the table to the README, between the marks with this name
//
// The result depends on the lag, and hardly on the machine. Two runs may differ by a few
// failures.

// sleepsOfSweep are durations of preStop hooks, besides those in rolloutArms. Without ARMS=,
// they are measured with appsOfSweep only, to find the shortest duration with which no request
// fails.
var (
	sleepsOfSweep = []string{"500ms", "1s", "1.5s", "2s", "3s", "4s"}
	appsOfSweep   = []string{"exits", "go"}
)

// rolloutCell is a cell of the table: one app, started and stopped in one way (an arm),
// with the results of all fronts.
type rolloutCell struct {
	failed []int // by front
	sent   int
	gone   [][]float64 // by front: the seconds from the start of each stop to the exit of PID 1
}

// rolloutTable holds the measurements of make rollout, and formats them as a table.
type rolloutTable struct {
	plan    rolloutPlan
	keys    []rolloutKey // keys[i] belongs to plan.Jobs[i]
	fronts  []string
	apps    []string
	arms    []rolloutArm
	cells   map[[2]string]*rolloutCell // key: arm, app
	reasons map[string]map[string]int  // key: arm, reason
	control int                        // failed requests of the arm "control", in which no backend is stopped
}

// rolloutKey holds the indexes of a job's app, of its arm (a way to start and stop the
// app), and of its front (what clients connect to).
type rolloutKey struct{ app, arm, front int }

func TestRolloutBench(t *testing.T) {
	place := os.Getenv("WRITE")
	if place != "" {
		_, _, err := readmeAround(place)
		require.NoError(t, err)
	}
	tab := newRolloutTable(t)
	expected := tab.addJobs(t)
	began, count := time.Now(), 0
	fmt.Fprintf(os.Stderr, "rollout: %d jobs of %d rolling updates, %d at the same time: about %.0f minutes\n", len(tab.keys), tab.plan.Rolls,
		tab.plan.Parallel, expected.Minutes()/float64(min(tab.plan.Parallel, len(tab.keys)))+1)
	defer func() { fmt.Print(tab.markdown()) }() // print the table even after a failure, because the measurement takes long
	runRollout(t, tab.plan, func(r rolloutResult) {
		count++
		fmt.Fprintf(os.Stderr, "rollout: %3.0f s, %d/%d: %s\n", time.Since(began).Seconds(), count, len(tab.keys), tab.add(t, r))
	})
	fmt.Fprintf(os.Stderr, "rollout: %v\n\n", time.Since(began).Round(time.Second))
	if tab.control > 0 {
		t.Errorf("%d requests of the control failed, so the measurement itself loses requests", tab.control)
	}
	if place != "" && !t.Failed() {
		before, after, err := readmeAround(place)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(readme, []byte(before+tab.markdown()+after), 0o644))
	}
}

// newRolloutTable reads the environment variables of "make rollout".
func newRolloutTable(t *testing.T) *rolloutTable {
	list := func(name, otherwise string) []string { return strings.Split(cmp.Or(os.Getenv(name), otherwise), ",") }
	number := func(name, otherwise string) int {
		n, err := strconv.Atoi(cmp.Or(os.Getenv(name), otherwise))
		require.True(t, err == nil && n > 0, "%s must be a number greater than 0", name)
		return n
	}
	var names []string
	for _, a := range rolloutApps {
		names = append(names, a.name)
	}
	tab := &rolloutTable{cells: map[[2]string]*rolloutCell{}, reasons: map[string]map[string]int{},
		fronts: list("FRONTS", "direct,nginx,haproxy"), apps: list("APPS", strings.Join(names, ","))}
	tab.chooseArms(t)
	tab.plan = rolloutPlan{Rolls: number("ROLLS", "10"), Rate: number("RATE", "100"), Parallel: number("PARALLEL", "8")}
	keepAlive := cmp.Or(os.Getenv("KEEPALIVE"), "on")
	require.Contains(t, []string{"on", "off"}, keepAlive, "KEEPALIVE")
	tab.plan.KeepAlive = keepAlive == "on"
	least, most, _ := strings.Cut(cmp.Or(os.Getenv("LAG"), "1s-2s"), "-")
	var err error
	tab.plan.LagMin, err = time.ParseDuration(least)
	require.NoError(t, err, "LAG")
	tab.plan.LagMax, err = time.ParseDuration(cmp.Or(most, least))
	require.NoError(t, err, "LAG")
	require.LessOrEqual(t, tab.plan.LagMin, tab.plan.LagMax, "LAG")
	require.LessOrEqual(t, (tab.plan.Rolls+1)*replicas, haproxyServers, "ROLLS: HAProxy's configuration has not enough servers")
	return tab
}

// addJobs makes the jobs, and returns an estimate of their total time. The order of the jobs is
// random, so that other work on the machine affects all arms alike.
func (tab *rolloutTable) addJobs(t *testing.T) (expected time.Duration) {
	for i, app := range tab.apps {
		for j, arm := range tab.arms {
			if sweep(arm) && !slices.Contains(appsOfSweep, app) && os.Getenv("ARMS") == "" {
				continue
			}
			for k := range tab.fronts {
				tab.keys = append(tab.keys, rolloutKey{i, j, k})
			}
		}
	}
	rand.Shuffle(len(tab.keys), func(i, j int) { tab.keys[i], tab.keys[j] = tab.keys[j], tab.keys[i] })
	usher := os.Getenv("USHER")
	if usher == "" {
		usher = binary(t)
	}
	for _, k := range tab.keys {
		app, arm, front := tab.apps[k.app], tab.arms[k.arm], tab.fronts[k.front]
		tab.plan.Jobs = append(tab.plan.Jobs, newRolloutJob(t, usher, app, arm, front))
		expected += tab.expected(app, arm, front)
	}
	return expected
}

// chooseArms sets the arms (ways to start and stop an app) that the variable ARMS names, or
// all of them.
func (tab *rolloutTable) chooseArms(t *testing.T) {
	all := slices.Clone(rolloutArms)
	first := slices.IndexFunc(all, func(a rolloutArm) bool { return a.job.Sleep > 0 })
	for i, text := range sleepsOfSweep {
		all = slices.Insert(all, first+i, sleepArm(text))
	}
	if os.Getenv("ARMS") == "" {
		tab.arms = all
		return
	}
	for _, name := range strings.Split(os.Getenv("ARMS"), ",") {
		i := slices.IndexFunc(all, func(a rolloutArm) bool { return a.name == name })
		if text, isSleep := strings.CutPrefix(name, "sleep"); i < 0 && isSleep {
			i = len(all)
			all = append(all, sleepArm(text))
		}
		require.GreaterOrEqual(t, i, 0, "ARMS: no arm %q", name)
		tab.arms = append(tab.arms, all[i])
	}
}

func sweep(arm rolloutArm) bool {
	return slices.ContainsFunc(sleepsOfSweep, func(text string) bool { return arm.name == "sleep"+text })
}

// expected estimates how long a job takes.
func (tab *rolloutTable) expected(app string, arm rolloutArm, front string) time.Duration {
	lag := (tab.plan.LagMin + tab.plan.LagMax) / 2
	gone := arm.job.Sleep + time.Second
	switch {
	case arm.job.Control:
		gone = 0
	case app == "script" && arm.init == nil:
		gone = killTimeout // as PID 1, the shell ignores SIGTERM, so SIGKILL ends it
	case app == "node" && front != "nginx":
		// server.close() does not close connections on which a request is running. Clients use
		// them again until SIGKILL ends the app: after killTimeout (30 s), or with usher
		// (--grace 25s) after at most 25 s. With nginx, clients keep no connections open.
		gone = 25 * time.Second
	case arm.name == "delay3s":
		gone = 4 * time.Second
	case arm.name == "delay5s", strings.HasPrefix(arm.name, "idle"):
		gone = 6 * time.Second
	}
	step := 500*time.Millisecond + lag
	return warmUp + longRequest + time.Duration(tab.plan.Rolls)*(replicas*step+max(0, gone-lag))
}

// add adds the result of a job, and returns it as a text.
func (tab *rolloutTable) add(t *testing.T, r rolloutResult) string {
	k := tab.keys[r.Job]
	app, arm, front := tab.apps[k.app], tab.arms[k.arm], tab.fronts[k.front]
	text := fmt.Sprintf("%s, %s, %s: ", app, arm.name, front)
	if r.Error != "" {
		t.Error(text + r.Error)
		return text + r.Error
	}
	key := [2]string{arm.name, app}
	c := tab.cells[key]
	if c == nil {
		c = &rolloutCell{failed: make([]int, len(tab.fronts)), gone: make([][]float64, len(tab.fronts))}
		tab.cells[key] = c
	}
	c.failed[k.front] += r.failed()
	c.sent += r.Sent
	c.gone[k.front] = append(c.gone[k.front], r.Gone...)
	if tab.reasons[arm.name] == nil {
		tab.reasons[arm.name] = map[string]int{}
	}
	for reason, n := range r.Failed {
		tab.reasons[arm.name][reason] += n
	}
	if arm.job.Control {
		tab.control += r.failed()
	}
	return text + fmt.Sprintf("%d of %d failed%s; gone after %s; latency %.1f ms, 99 %% %.0f ms",
		r.failed(), r.Sent, reasonsOf(r.Failed), secondsOf(r.Gone), r.P50.Seconds()*1e3, r.P99.Seconds()*1e3)
}

// markdown formats the table.
func (tab *rolloutTable) markdown() string {
	var text strings.Builder
	least, most := math.MaxInt, 0
	for _, c := range tab.cells {
		least, most = min(least, c.sent), max(most, c.sent)
	}
	var system unix.Utsname
	_ = unix.Uname(&system)
	keepAlive := "half of the clients keep connections open, except with nginx"
	if !tab.plan.KeepAlive {
		keepAlive = "no connections are kept open"
	}
	lag := fmt.Sprint(tab.plan.LagMin)
	if tab.plan.LagMax > tab.plan.LagMin {
		lag += fmt.Sprint(" to ", tab.plan.LagMax)
	}
	fmt.Fprintf(&text, "`%s` on Linux %s, %d CPUs, %s, nginx %s, HAProxy %s, gunicorn %s, node %s.\n",
		rolloutCommand(), regexp.MustCompile(`^\d+\.\d+`).FindString(unix.ByteSliceToString(system.Release[:])),
		runtime.NumCPU(), runtime.Version(), versionOf("nginx", "-v"), versionOf("haproxy", "-v"), versionOf("gunicorn", "--version"), versionOf("node", "--version"))
	updates := "rolling updates"
	if tab.plan.Rolls == 1 {
		updates = "rolling update"
	}
	fronts := strings.Join(tab.fronts, " / ")
	fmt.Fprintf(&text, "Each cell is of %d %s of %d backends for each of %s, with %d requests a second, %d to %d together; %s. Clients and proxies learn of a stop after %s.\n",
		tab.plan.Rolls, updates, replicas, fronts, tab.plan.Rate, least, most, keepAlive, lag)
	fmt.Fprintf(&text, "It shows the failed requests (%s), and the median times from the start of a stop until the backend was gone (shortest to longest).\n\n", fronts)
	row := func(cells ...string) { text.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	heads := []string{"around the app"}
	for _, app := range tab.apps {
		for _, a := range rolloutApps {
			if a.name == app {
				heads = append(heads, a.title)
			}
		}
	}
	row(append(heads, "reasons")...)
	text.WriteString(strings.Repeat("|---", len(heads)+1) + "|\n")
	for _, arm := range tab.arms {
		cells := []string{arm.title}
		for _, app := range tab.apps {
			cells = append(cells, tab.cells[[2]string{arm.name, app}].format())
		}
		row(append(cells, strings.Trim(reasonsOf(tab.reasons[arm.name]), " ()"))...)
	}
	return text.String()
}

// rolloutCommand returns the command that makes the table.
func rolloutCommand() string {
	text := "make rollout"
	for _, name := range []string{"ROLLS", "APPS", "ARMS", "FRONTS", "RATE", "LAG", "KEEPALIVE", "PARALLEL"} {
		if value := os.Getenv(name); value != "" {
			text += " " + name + "=" + value
		}
	}
	return text
}

func (c *rolloutCell) format() string {
	if c == nil {
		return "" // not measured
	}
	var failed []string
	sum := 0
	for _, n := range c.failed {
		failed = append(failed, strconv.Itoa(n))
		sum += n
	}
	text := "**0**"
	if sum > 0 {
		text = strings.Join(failed, " / ")
	}
	var medians []string
	for _, gone := range c.gone {
		if len(gone) > 0 {
			medians = append(medians, fmt.Sprintf("%.1f", medianOf(gone)))
		}
	}
	if all := slices.Concat(c.gone...); len(all) > 0 {
		text += fmt.Sprintf("; %s s (%.1f–%.1f)", strings.Join(medians, " / "), slices.Min(all), slices.Max(all))
	}
	return text
}

// reasonsOf formats the reasons of failures, the most frequent one first.
func reasonsOf(failed map[string]int) string {
	var all []string
	for reason := range failed {
		all = append(all, reason)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(failed[b]-failed[a], strings.Compare(a, b)) })
	for i, reason := range all {
		all[i] = fmt.Sprintf("%s %d", reason, failed[reason])
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

// secondsOf formats the median, the minimum and the maximum.
func secondsOf(seconds []float64) string {
	if len(seconds) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s (%.1f–%.1f)", medianOf(seconds), slices.Min(seconds), slices.Max(seconds))
}

// versionOf returns the version that a program prints.
func versionOf(argv ...string) string {
	out, _ := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	return cmp.Or(regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(string(out)), "?")
}

// readmeAround returns the text of the README before and after the place for a table.
func readmeAround(name string) (before, after string, err error) {
	text, err := os.ReadFile(readme)
	if err != nil {
		return "", "", err
	}
	begin, end := "<!-- "+name+": written by make rollout -->\n", "<!-- end of "+name+" -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", "", fmt.Errorf("WRITE: the README has no line %s", begin)
	}
	return before + begin, end + after, nil
}

const readme = "../../README.md"
