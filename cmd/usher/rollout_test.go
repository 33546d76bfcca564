package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// "make rollout" measures how many requests fail in a rolling update
// (rollout_bench_test.go). TestRollout makes sure that the measurement works.
//
// A job measures one app with one way to start and stop it (an arm) behind one front (what
// clients connect to: a proxy, or the backends directly). The clients send requests to three
// backends. The backends are replaced one after the other, as by a Deployment of Kubernetes:
// a new backend is started, and once it responds, the old one is stopped. The endpoints of the
// front are changed later, because kube-proxy and load balancers are notified late. This delay
// is the lag.
//
// The files:
//
//	rollout_test.go        jobs, apps and arms
//	rollout_node_test.go   backends, and the steps of a rolling update
//	rollout_front_test.go  the fronts
//	rollout_load_test.go   the clients
//	rollout_bench_test.go  the measurement, and its table
//	testdata/rollout       the apps

// rolloutPlan is the input of rolloutMain.
type rolloutPlan struct {
	Dir            string // for logs and configurations
	Jobs           []rolloutJob
	Parallel       int // number of jobs at the same time
	Rolls          int // rolling updates of each job
	Rate           int // requests a second
	KeepAlive      bool
	LagMin, LagMax time.Duration
}

// rolloutJob is the measurement of one app, started and stopped in one way (an arm), behind
// one front (what clients connect to).
type rolloutJob struct {
	Front   string        // "direct", "nginx" or "haproxy"
	Init    []string      // the init's part of the command line; the app's part follows it
	App     []string      // the command line of the app
	Sleep   time.Duration // how long the preStop hook sleeps, from the start of a stop until SIGTERM
	Control bool          // old backends are not stopped, so no request may fail
	Fault   bool          // for faultTime, the front also has the address of a backend whose app is not started, so requests must fail
}

// rolloutResult is the result of a job.
type rolloutResult struct {
	Job      int            // its index in rolloutPlan.Jobs
	Error    string         // the reason why the job could not be measured
	Sent     int            // requests
	Failed   map[string]int // requests that failed, by reason
	Gone     []float64      // for each stop of a backend: the seconds from its start to the exit of the backend's PID 1
	P50, P99 time.Duration  // latencies
}

func (r rolloutResult) failed() (n int) {
	for _, count := range r.Failed {
		n += count
	}
	return n
}

// rolloutApps are the apps, by the names that "make rollout" uses.
var rolloutApps = []struct {
	name, title string
	command     func(dir, server string) []string
}{
	{"exits", "exits at once on SIGTERM", func(_, server string) []string { return []string{server, "exit"} }},
	{"go", "Go, `Shutdown`", func(_, server string) []string { return []string{server} }},
	{"script", "Go, `Shutdown`, started by a shell without exec", func(_, server string) []string {
		return []string{"sh", "-c", server + "; true"}
	}},
	{"gunicorn", "gunicorn", func(dir, _ string) []string {
		return []string{"gunicorn", "--chdir", dir, "--bind", ":8080", "--worker-class", "gthread", "--threads", "64",
			"--keep-alive", "75", "--worker-tmp-dir", "/dev/shm", "--log-level", "warning", "app"}
	}},
	{"node", "node, `server.close()`", func(dir, _ string) []string { return []string{"node", filepath.Join(dir, "server.js")} }},
	{"nodeclose", "node, `server.close()` and `Connection: close`", func(dir, _ string) []string {
		return []string{"node", filepath.Join(dir, "server.js"), "close"}
	}},
}

// rolloutArm is a way to start and stop an app.
type rolloutArm struct {
	name, title string
	init        []string // the command line of the init; "usher" stands for usher's path
	job         rolloutJob
}

func usherArm(name string, flags ...string) rolloutArm {
	arm := rolloutArm{name: name, title: "`usher", init: []string{"usher"}}
	for _, flag := range flags {
		arm.title += " " + flag
		arm.init = append(arm.init, flag)
	}
	arm.title += " -- ./app`"
	arm.init = append(arm.init, "--")
	return arm
}

func sleepArm(text string) rolloutArm {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return rolloutArm{name: "sleep" + text, title: "tini, preStop: sleep " + text, init: []string{"tini", "--"}, job: rolloutJob{Sleep: d}}
}

// rolloutArms are the ways to start and stop an app. Unless ARMS= names some of them, "make
// rollout" measures each app with all of them.
var rolloutArms = []rolloutArm{
	{name: "control", title: "control: the old ones are not stopped", job: rolloutJob{Control: true}},
	{name: "none", title: "no init"},
	{name: "tini", title: "tini", init: []string{"tini", "--"}},
	sleepArm("5s"),
	sleepArm("15s"),
	usherArm("delay3s", "--grace", "25s", "--drain-delay", "3s"),
	usherArm("delay5s", "--grace", "25s", "--drain-delay", "5s"),
	usherArm("idle", "--grace", "25s", "--drain-delay", "1s", "--drain-idle", "1s"),
	usherArm("idle500ms", "--grace", "25s", "--drain-idle", "500ms"),
}

// newRolloutJob returns the job that measures an app with an arm (a way to start and stop
// it) and a front (what clients connect to). usher is the path of usher.
func newRolloutJob(t *testing.T, usher, app string, arm rolloutArm, front string) rolloutJob {
	t.Helper()
	dir, err := filepath.Abs("testdata/rollout")
	require.NoError(t, err)
	server, err := buildRolloutServer()
	require.NoError(t, err)
	job := arm.job
	job.Front = front
	for _, word := range arm.init {
		if word == "usher" {
			word = usher
		}
		job.Init = append(job.Init, word)
	}
	for _, a := range rolloutApps {
		if a.name == app {
			job.App = a.command(dir, server)
		}
	}
	require.NotEmpty(t, job.App, "no app %q", app)
	return job
}

var buildRolloutServer = built("rollout-server", func(path string) *exec.Cmd {
	return exec.Command("go", "build", "-o", path, "testdata/rollout/server.go")
})

// runRollout runs the jobs of a plan, and calls done with each result.
func runRollout(t *testing.T, plan rolloutPlan, done func(rolloutResult)) {
	t.Helper()
	needRoot(t)
	for _, command := range []string{"nginx", "haproxy", "ip", "tini"} {
		if _, err := exec.LookPath(command); err != nil {
			skip(t, "needs "+command)
		}
	}
	plan.Dir = t.TempDir()
	text, err := json.Marshal(plan)
	require.NoError(t, err)
	file := filepath.Join(plan.Dir, "plan")
	require.NoError(t, os.WriteFile(file, text, 0o644))
	link, err := linkTo("rollout")
	require.NoError(t, err)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	// Debian's programs come first in PATH, because only Debian's Python has gunicorn.
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin:" + os.Getenv("PATH"), "HOME=" + plan.Dir, "PYTHONDONTWRITEBYTECODE=1"}
	p := launcher{proc: true, net: true, env: env, stdout: w}.start(t, link, file)
	w.Close()
	missing := len(plan.Jobs)
	for results := json.NewDecoder(r); ; missing-- {
		var result rolloutResult
		err := results.Decode(&result)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		done(result)
	}
	require.Equal(t, 0, p.code())
	require.Equal(t, 0, missing, "jobs without a result")
}

// TestRollout checks the measurement: requests fail if the app exits at once on SIGTERM or
// the front has a wrong address, and no request fails in the other jobs. The clients do not
// keep connections open: a request on an open connection is lost if the app closes the
// connection at the same moment, which is likely on a busy machine. --drain-delay (6 s) is
// much longer than the lag (1 s), so that the endpoints change before the app stops.
func TestRollout(t *testing.T) {
	t.Parallel()
	var jobs []rolloutJob
	var lost []bool
	for _, front := range []string{"direct", "nginx", "haproxy"} {
		add := func(app string, arm rolloutArm, losesRequests bool) {
			jobs = append(jobs, newRolloutJob(t, binary(t), app, arm, front))
			lost = append(lost, losesRequests)
		}
		add("go", rolloutArm{job: rolloutJob{Control: true}}, false)
		add("go", rolloutArm{job: rolloutJob{Control: true, Fault: true}}, true)
		add("exits", rolloutArm{}, true)
		add("go", usherArm("", "--grace", "25s", "--drain-delay", "6s"), false)
	}
	plan := rolloutPlan{Jobs: jobs, Parallel: len(jobs), Rolls: 1, Rate: 50, LagMin: time.Second, LagMax: time.Second}
	runRollout(t, plan, func(r rolloutResult) {
		job := jobs[r.Job]
		if !assert.Empty(t, r.Error, "%+v", job) {
			return
		}
		t.Logf("%s %q %q: %d of %d failed %v, gone %.1f", job.Front, job.Init, job.App, r.failed(), r.Sent, r.Failed, r.Gone)
		assert.NotZero(t, r.Sent)
		assert.Equal(t, lost[r.Job], r.failed() > 0, "%s %q %q: %v", job.Front, job.Init, job.App, r.Failed)
		if !job.Control {
			assert.Len(t, r.Gone, replicas)
		}
	})
}
