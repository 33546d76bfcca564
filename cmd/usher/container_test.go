package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// needDocker skips a test where docker does not work.
func needDocker(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(docker[0]); err != nil {
		skip(t, "no docker on this machine (Debian: docker.io)")
	}
	if out, err, code := docker.output(t, nil, "version"); code != 0 {
		skip(t, fmt.Sprintf("docker does not work here: exit code %d\n%s%s", code, out, err))
	}
}

// engine is the beginning of a command line, such as docker with its global options.
type engine []string

var docker = engine{"docker"}

// start starts a command of the engine. If merged is true, the command writes stderr to the
// same pipe as stdout.
func (e engine) start(t *testing.T, merged bool, args ...string) *process {
	t.Helper()
	return launcher{hostPID: true, merged: merged}.start(t, slices.Concat(e, args)...)
}

// run runs a command of the engine and returns its stdout. The command must succeed.
func (e engine) run(t *testing.T, stdin io.Reader, args ...string) string {
	t.Helper()
	stdout, stderr, code := e.output(t, stdin, args...)
	require.Equal(t, 0, code, "%s %s\n%s\n%s", e, args, lastLines(stdout), lastLines(stderr))
	return stdout
}

// output runs a command of the engine, and returns its output and its exit code.
func (e engine) output(t *testing.T, stdin io.Reader, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return launcher{hostPID: true, stdin: stdin}.run(t, slices.Concat(e, args)...)
}

// succeeds runs a command of the engine, and reports whether it exited with 0.
func (e engine) succeeds(t *testing.T, args ...string) bool {
	t.Helper()
	_, _, code := e.output(t, nil, args...)
	return code == 0
}

// cleanup runs a command of the engine at the end of the test. The command may fail.
func (e engine) cleanup(t *testing.T, args ...string) {
	t.Cleanup(func() { e.succeeds(t, args...) })
}

// container is a container of Docker or podman.
type container struct {
	*testing.T
	engine
	id string
}

// createContainer makes a container with "docker create" and the given arguments, and
// removes it at the end of the test. The container has only a loopback network unless one of
// the arguments begins with --network=. Its log is not rotated before it has 1 GB, because
// "docker logs --follow" of Docker 20.10 misses lines when a log is rotated twice while the
// command reads it.
func createContainer(t *testing.T, words ...string) *container {
	t.Helper()
	create := []string{"create", "--log-driver=json-file", "--log-opt=max-size=1g"}
	if !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "--network=") }) {
		create = append(create, "--network=none")
	}
	c := &container{t, docker, strings.TrimSpace(docker.run(t, nil, append(create, words...)...))}
	docker.cleanup(t, "rm", "--force", "--volumes", c.id)
	c.logsOnFailure(strings.Join(words, " "))
	return c
}

// begin starts the container. It is not called start, because container embeds engine,
// which has a method of that name.
func (c *container) begin() {
	c.Helper()
	c.run(c.T, nil, "start", c.id)
}

func startContainer(t *testing.T, words ...string) *container {
	t.Helper()
	c := createContainer(t, words...)
	c.begin()
	return c
}

func (c *container) logsOnFailure(name string) {
	c.Cleanup(func() {
		if c.Failed() {
			stdout, stderr := c.logs()
			c.Logf("container %s\nstdout:\n%s\nstderr:\n%s", name, lastLines(stdout), lastLines(stderr))
		}
	})
}

// runContainer runs a container until it exits.
func runContainer(t *testing.T, words ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := startContainer(t, words...)
	docker.run(t, nil, "wait", c.id)
	stdout, stderr = c.logs()
	return stdout, stderr, c.exitCode()
}

// stop runs docker stop, which sends the stop signal, and SIGKILL after --time (default:
// 10 s). It returns how long docker stop took.
func (c *container) stop(options ...string) time.Duration {
	c.Helper()
	begun := time.Now()
	c.run(c.T, nil, slices.Concat([]string{"stop"}, options, []string{c.id})...)
	return time.Since(begun).Round(time.Millisecond)
}

func (c *container) exitCode() int {
	c.Helper()
	state := strings.Fields(c.run(c.T, nil, "inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", c.id))
	require.Equal(c.T, "false", state[0], "the container still runs")
	code, err := strconv.Atoi(state[1])
	require.NoError(c.T, err)
	return code
}

// exec runs a command in the container.
func (c *container) exec(words ...string) string {
	c.Helper()
	return c.run(c.T, nil, append([]string{"exec", c.id}, words...)...)
}

// try runs a command in the container, and reports whether it exited with 0.
func (c *container) try(words ...string) bool {
	c.Helper()
	return c.succeeds(c.T, append([]string{"exec", c.id}, words...)...)
}

// logs returns the output of the container so far.
func (c *container) logs() (stdout, stderr string) {
	c.Helper()
	stdout, stderr, code := c.output(c.T, nil, "logs", c.id)
	if code != 0 {
		stderr += fmt.Sprintf("%s logs: exit code %d\n", c.engine, code)
	}
	return stdout, stderr
}

// stdout returns a reader of the container's stdout. The reader gets end of file when the
// container exits. Each line begins with the time at which the engine received it.
func (c *container) stdout() *reader {
	c.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // not a pipe, because an unread pipe would block the command
	require.NoError(c.T, err)
	defer null.Close()
	l := launcher{hostPID: true, stderr: null}
	return l.start(c.T, slices.Concat(c.engine, []string{"logs", "--follow", "--timestamps", c.id})...).stdout
}

// all returns a reader of the lines of the container's stdout and stderr. Each line begins with
// the time at which the engine received it.
func (c *container) all() *reader {
	c.Helper()
	return c.start(c.T, true, "logs", "--follow", "--timestamps", c.id).stdout
}

// timeOf returns the time at the beginning of a line of "docker logs --timestamps".
func timeOf(t *testing.T, line string) time.Time {
	t.Helper()
	stamp, _, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	require.NoError(t, err)
	return at
}

// waitForHealth waits until the container's health check has the given result. It does not read
// "docker events", because the daemon keeps only the last 256 events of all containers.
func (c *container) waitForHealth(status string) {
	c.Helper()
	var last string
	eventually(c.T, func() bool {
		last = c.inspect("{{.State.Health.Status}}")
		return last == status
	}, func() string { return "the health status is " + last + ", not " + status })
}

// waitUntilReaped waits until usher, sleep and ps are the only processes. At first other
// processes may still be exiting. If a zombie is never reaped, the test fails after the
// time limit patience.
func (c *container) waitUntilReaped() {
	c.Helper()
	var list string
	eventually(c.T, func() bool {
		list = c.exec("ps", "-o", "pid,stat,args")
		return strings.Count(list, "\n") == len([]string{"heading", "usher", "sleep", "ps"})
	}, func() string { return "processes left:\n" + list })
}

// eventually calls ok until it returns true. If that takes longer than the time limit patience,
// the test fails with the text that message returns. There is no pause between the calls,
// because each call starts a process or reads files, which takes a while.
func eventually(t *testing.T, ok func() bool, message func() string) {
	t.Helper()
	for begun := time.Now(); !ok(); {
		if time.Since(begun) > patience {
			t.Fatal(message())
		}
	}
}

func (c *container) inspect(format string) string {
	c.Helper()
	return strings.TrimSpace(c.run(c.T, nil, "inspect", "--format", format, c.id))
}
