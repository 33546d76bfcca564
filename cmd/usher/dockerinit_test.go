package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// In the tests in this file, usher replaces tini as the init that "docker run --init" adds to
// a container ("init-path" in daemon.json).

// When dockerd starts, it runs its init with --version, in dockerd's own environment, and waits
// until the init has exited. So no environment variable may change the output of --version or
// make it wait.
func TestVersionInAnyEnvironment(t *testing.T) {
	want := outputOf(t, binary(t), "--version")
	require.Regexp(t, `^usher \S+.*\n$`, want)
	for name, env := range map[string][]string{
		"none":          {},
		"a wait":        {"USHER_WAIT=tcp://127.0.0.1:1", "USHER_WAIT_TIMEOUT=1h", "USHER_GRACE=25s"},
		"wrong values":  {"USHER_WAIT=nonsense", "USHER_GRACE=long", "USHER_LOG=yaml", "USHER_QUIET=maybe"},
		"Go's own":      {"GODEBUG=inittrace=1,gctrace=1", "GOGC=1", "GOMAXPROCS=none", "GOTRACEBACK=crash", "GOMEMLIMIT=1MiB"},
		"of Kubernetes": {"USHER_SERVICE_HOST=10.0.0.1", "USHER_PORT=tcp://10.0.0.1:80"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, code := launcher{hostPID: true, env: env}.run(t, binary(t), "--version")
			require.Equal(t, 0, code)
			assert.Equal(t, want, got)
		})
	}
}

func TestUsherAsDockersInit(t *testing.T) {
	t.Parallel()
	docker, log := startDockerd(t)
	root := newRootfs(t)
	root.busybox()
	docker.run(t, root.tar(), "import", "-", "busybox")
	start := func(t *testing.T, words ...string) *container {
		create := append([]string{"create", "--init", "--network=none"}, words...)
		c := &container{t, docker, strings.TrimSpace(docker.run(t, nil, create...))}
		docker.cleanup(t, "rm", "--force", c.id)
		c.logsOnFailure(strings.Join(words, " "))
		c.begin()
		return c
	}

	t.Run("usher is PID 1", func(t *testing.T) {
		app := start(t, "busybox", "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; echo; readlink /proc/1/exe; echo up; exec sleep 100000")
		app.stdout().expect("up")
		stdout, _ := app.logs()
		assertPrinted(t, stdout, "/docker-init -- sh -c ")
		pid := strings.TrimSpace(docker.run(t, nil, "inspect", "--format", "{{.State.Pid}}", app.id))
		running, err := os.Stat("/proc/" + pid + "/exe")
		require.NoError(t, err)
		built, err := os.Stat(binary(t))
		require.NoError(t, err)
		assert.True(t, os.SameFile(built, running), "PID 1 is another program")
	})

	t.Run("exit code", func(t *testing.T) {
		for _, want := range []int{0, 1, 42, 255} {
			app := start(t, "busybox", "sh", "-c", fmt.Sprintf("exit %d", want))
			docker.run(t, nil, "wait", app.id)
			assert.Equal(t, want, app.exitCode())
			stdout, stderr := app.logs()
			assert.Empty(t, stdout+stderr, "usher must print nothing if it is only an init")
		}
		app := start(t, "busybox", "/no/such/program")
		docker.run(t, nil, "wait", app.id)
		assert.Equal(t, 127, app.exitCode())
	})

	t.Run("docker stop", func(t *testing.T) {
		app := start(t, "busybox", "sh", "-c", "echo up; exec sleep 100000")
		app.stdout().expect("up")
		app.stop()
		assert.Equal(t, 143, app.exitCode(), "137 would mean that SIGTERM did not end the app")
	})

	t.Run("flags from the environment", func(t *testing.T) {
		app := start(t, "--env", "USHER_GRACE=8s", "--env", "USHER_DRAIN=echo bye", "busybox", "sh", "-c", "echo up; exec sleep 100000")
		app.stdout().expect("up")
		app.stop()
		assert.Equal(t, 143, app.exitCode())
		_, stderr := app.logs()
		assertPrinted(t, stderr, "usher: drain echo| bye\n")
	})

	t.Run("orphans are reaped", func(t *testing.T) {
		app := start(t, "busybox", "sh", "-c", "for i in $(seq 200); do (true &); done; echo made; exec sleep 100000")
		app.stdout().expect("made")
		app.waitUntilReaped()
	})

	t.Run("docker info", func(t *testing.T) {
		info := docker.run(t, nil, "info", "--format", "{{.InitBinary}} {{.InitCommit.ID}}")
		assertPrinted(t, info, binary(t)+" ")
		assertNotPrinted(t, info, "N/A", "dockerd did not find a version or a commit in the output of --version")
		for line := range strings.Lines(log.soFar()) {
			assertNotPrintedMatch(t, line, `level=(warning|error).*usher`)
		}
	})
}

// startDockerd starts another Docker daemon, with usher as its init and all its files in a
// temporary directory. It returns the docker command for that daemon, and a reader of the
// daemon's log.
func startDockerd(t *testing.T) (engine, *reader) {
	t.Helper()
	needRoot(t)
	needDocker(t) // if this machine's daemon works, a second one works too
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		skip(t, "no dockerd on this machine (Debian: docker.io)")
	}
	dir, err := os.MkdirTemp("", "d") // a short name, because a socket's path has at most 107 bytes (unix(7))
	require.NoError(t, err)
	host := "unix://" + filepath.Join(dir, "sock")
	conf := filepath.Join(dir, "daemon.json") // used instead of the machine's daemon.json
	require.NoError(t, os.WriteFile(conf, []byte("{}"), 0o644))
	// The daemon has its own network namespace, because with --bridge none a daemon removes
	// docker0, which belongs to the machine's daemon.
	daemon := launcher{hostPID: true, net: true, merged: true}.start(t, dockerd, "--config-file", conf, "--host", host, "--init-path", binary(t),
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		"--storage-driver", "vfs", // a storage driver that leaves no mounts behind
		"--bridge", "none", "--iptables=false", "--ip6tables=false", "--userland-proxy=false")
	log := daemon.stdout
	t.Cleanup(func() {
		daemon.signal(syscall.SIGTERM)
		daemon.code()
		log.rest() // wait until the daemon's containerd, which has the same stdout, has exited
		assert.Empty(t, mentioning(t, dir), "processes left")
		assert.Empty(t, mounts(t, dir), "mounts left")
		assert.NoError(t, os.RemoveAll(dir))
	})
	log.expect("API listen on ")
	return engine{"docker", "--host", host}, log
}

// mounts returns the lines of /proc/self/mountinfo that contain text.
func mounts(t *testing.T, text string) string {
	t.Helper()
	all, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	var found strings.Builder
	for line := range strings.Lines(string(all)) {
		if strings.Contains(line, text) {
			found.WriteString(line)
		}
	}
	return found.String()
}
