package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests of this file have usher in the place of tini, as the init of Docker
// itself ("init-path" in daemon.json).

// dockerd asks its init for its version, and waits for the answer.
func TestVersionAnswersAtOnceWhateverTheEnvironment(t *testing.T) {
	want, err := exec.Command(binary(t), "--version").Output()
	require.NoError(t, err)
	require.Regexp(t, `^usher \S+.*\n$`, string(want))
	for name, env := range map[string][]string{
		"none":            {},
		"a wait":          {"USHER_WAIT=tcp://127.0.0.1:1", "USHER_WAIT_TIMEOUT=1h", "USHER_GRACE=25s"},
		"only mistakes":   {"USHER_WAIT=nonsense", "USHER_GRACE=long", "USHER_LOG=yaml", "USHER_QUIET=maybe"},
		"Go's own":        {"GODEBUG=inittrace=1,gctrace=1", "GOGC=1", "GOMAXPROCS=none", "GOTRACEBACK=crash", "GOMEMLIMIT=1MiB"},
		"of a Kubernetes": {"USHER_SERVICE_HOST=10.0.0.1", "USHER_PORT=tcp://10.0.0.1:80"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary(t), "--version")
			cmd.Env = env
			got, err := cmd.Output()
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got))
		})
	}
}

func TestDockersOwnInit(t *testing.T) {
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
		c.start()
		return c
	}

	t.Run("usher is PID 1", func(t *testing.T) {
		app := start(t, "busybox", "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; echo; readlink /proc/1/exe; echo up; exec sleep 100000")
		app.stdout().wait("up")
		stdout, _ := app.logs()
		assert.Contains(t, stdout, "/docker-init -- sh -c ")
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
			assert.Empty(t, stdout+stderr, "a good init says nothing")
		}
		app := start(t, "busybox", "/no/such/program")
		docker.run(t, nil, "wait", app.id)
		assert.Equal(t, 127, app.exitCode())
	})

	t.Run("docker stop", func(t *testing.T) {
		app := start(t, "busybox", "sh", "-c", "echo up; exec sleep 100000")
		app.stdout().wait("up")
		app.stop()
		assert.Equal(t, 143, app.exitCode(), "without an init it would be killed: 137")
	})

	t.Run("flags by the environment", func(t *testing.T) {
		app := start(t, "--env", "USHER_GRACE=8s", "--env", "USHER_DRAIN=echo bye", "busybox", "sh", "-c", "echo up; exec sleep 100000")
		app.stdout().wait("up")
		app.stop()
		assert.Equal(t, 143, app.exitCode())
		_, stderr := app.logs()
		assert.Contains(t, stderr, "usher: drain echo| bye\n")
	})

	t.Run("orphans are reaped", func(t *testing.T) {
		app := start(t, "busybox", "sh", "-c", "for i in $(seq 200); do (true &); done; echo made; exec sleep 100000")
		app.stdout().wait("made")
		var list string
		eventually(t, func() bool {
			list = app.exec("ps", "-o", "pid,stat,args")
			return strings.Count(list, "\n") == len([]string{"heading", "usher", "sleep", "ps"})
		}, func() string { return "processes left:\n" + list })
	})

	t.Run("docker info", func(t *testing.T) {
		info := docker.run(t, nil, "info", "--format", "{{.InitBinary}} {{.InitCommit.ID}}")
		assert.Contains(t, info, binary(t)+" ")
		assert.NotContains(t, info, "N/A", "dockerd reads a version or a commit out of what --version prints")
		for _, line := range log.soFarLines() {
			assert.NotRegexp(t, `level=(warning|error).*usher`, line)
		}
	})
}

// startDockerd starts a Docker daemon of its own, which has usher as its init,
// and all it owns in a directory of the test. It returns the command that talks
// to it, and its log.
func startDockerd(t *testing.T) (engine, *reader) {
	t.Helper()
	needRoot(t)
	needDocker(t) // where one daemon runs, another one can
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		skip(t, "no dockerd on this machine (Debian: docker.io)")
	}
	dir, err := os.MkdirTemp("", "d") // short: the path of a socket has 107 bytes at the most
	require.NoError(t, err)
	host := "unix://" + filepath.Join(dir, "sock")
	conf := filepath.Join(dir, "daemon.json") // not the machine's
	require.NoError(t, os.WriteFile(conf, []byte("{}"), 0o644))
	cmd := exec.Command(dockerd, "--config-file", conf, "--host", host, "--init-path", binary(t),
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		"--storage-driver", "vfs", // leaves no mounts behind
		"--bridge", "none", "--iptables=false", "--ip6tables=false", "--userland-proxy=false")
	// In a network of its own: without a bridge a daemon removes docker0, which is
	// the machine's daemon's.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWNET}
	log, ends := newReader(t, nil)
	cmd.Stdout, cmd.Stderr = ends[0], ends[0]
	require.NoError(t, cmd.Start())
	ends[0].Close()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		hangs := time.AfterFunc(patience, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		cmd.Wait()
		hangs.Stop()
		if t.Failed() {
			t.Logf("dockerd, but for what is well:\n%s", lastLines(strings.Join(slices.DeleteFunc(slices.Clone(log.soFarLines()),
				func(line string) bool { return strings.Contains(line, " level=info ") }), "\n")))
		}
		log.rest() // ends with its containerd
		assert.Empty(t, mentioning(t, dir), "processes left")
		assert.Empty(t, mounts(t, dir), "mounts left")
		assert.NoError(t, os.RemoveAll(dir))
	})
	log.expect("API listen on ")
	return engine{"docker", "--host", host}, log
}

// soFarLines are the lines that have been read, without waiting for more.
func (l *reader) soFarLines() []string {
	l.soFar()
	return l.all
}

// mounts are the mounts, one a line, whose paths hold text.
func mounts(t *testing.T, text string) string {
	t.Helper()
	file, err := os.Open("/proc/self/mountinfo")
	require.NoError(t, err)
	defer file.Close()
	var found strings.Builder
	for s := bufio.NewScanner(file); s.Scan(); {
		if strings.Contains(s.Text(), text) {
			fmt.Fprintln(&found, s.Text())
		}
	}
	return found.String()
}
