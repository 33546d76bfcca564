package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Usher works with a small RLIMIT_STACK, because the Go runtime itself allocates the stacks of
// goroutines, and of all threads except the first. Below 64 KiB, even programs in C may not
// start.
func TestSmallStack(t *testing.T) {
	needRoot(t)
	for _, size := range []int{64 << 10, 256 << 10} {
		l := launcher{inherit: []string{fmt.Sprintf("limit=%d:%d:%d", unix.RLIMIT_STACK, size, size)}}
		r := l.start(t, binary(t), "--grace", "20s", "--pre-start", "true", "--drain", "http://127.0.0.1:1/", "--post-stop", "true", "--", "sh", "-c", exitOnTERM(7))
		r.stdout.expect("ready")
		r.signal(syscall.SIGTERM)
		assert.Equal(t, 7, r.code(), "%d bytes", size)
		assertNotPrintedMatch(t, r.stderr.rest(), goTrace.String())
	}
}

// Usher, the hooks and the app together get 2 % of one processor. Everything takes longer, but
// the outcome is the same.
func TestStarvedCPU(t *testing.T) {
	t.Parallel()
	g := limited{cpu: 2}.cgroup(t)
	r := launcher{}.start(t, g.argv(binary(t), "--verbose", "--grace", "60s", "--wait", "true", "--pre-start", "echo begun", "--ready", "true", "--drain-delay", "10ms", "--drain", "echo drained",
		"--post-stop", "echo stopped", "--", "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do read line; done")...) // read needs no processor time
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 7, r.code())
	log := r.stderr.rest()
	for _, line := range []string{"pre-start echo| begun", "drain echo| drained", "stop: sent SIGTERM to sh", "post-stop echo| stopped"} {
		assertPrinted(t, log, line)
	}
	assertNotPrinted(t, log, "error: ")
}

// While usher and the app are frozen, the clock keeps running. When they continue, usher
// handles the signals that have arrived. If the deadline has passed meanwhile, usher kills the
// app.
func TestFrozen(t *testing.T) {
	t.Parallel()
	// The test has to wait until grace has passed: while the cgroup is frozen, there is no event to wait for.
	g := limited{freeze: true}.cgroup(t)
	start := func(grace time.Duration, app string) *process {
		r := launcher{}.start(t, g.argv(binary(t), "--verbose", "--grace", grace.String(), "--drain-delay", "0.2s", "--post-stop", "echo stopped", "--", "sh", "-c", app)...)
		r.stdout.expect("ready")
		return r
	}
	t.Run("before the stop signal", func(t *testing.T) {
		const grace = 10 * time.Second // after the thaw, the shell must exit within it
		r := start(grace, exitOnTERM(7))
		g.freeze()
		r.signal(syscall.SIGWINCH)
		r.signal(syscall.SIGTERM)
		<-time.After(grace + time.Second)
		g.thaw()
		assert.Equal(t, 7, r.code(), "the deadline counts from the moment at which usher receives the signal")
		log := r.stderr.rest()
		assertPrinted(t, log, "forwarded SIGWINCH to sh")
		assertPrinted(t, log, "post-stop echo| stopped")
	})
	t.Run("beyond the deadline", func(t *testing.T) {
		const grace = time.Second
		r := start(grace, "trap '' TERM; echo ready; while :; do read line; done")
		r.signal(syscall.SIGTERM)
		r.stderr.expect("shutting down")
		g.freeze()
		<-time.After(grace + 2*guardMargin)
		g.thaw()
		assert.Equal(t, 137, r.code())
		log := r.stderr.rest()
		assertPrinted(t, log, "sh did not exit within")
		assertPrinted(t, log, "post-stop: hook echo")
		assertPrinted(t, log, "usher: app was killed by SIGKILL")
	})
}

// If the termination log cannot be written, because the disk is full, the mount is read-only or
// the file may not grow, the log on stderr and the exit code are the same as otherwise.
func TestTerminationLogThatCannotBeWritten(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	for name, script := range map[string]string{
		"full disk":       `mount -t tmpfs -o size=4k tmpfs "$0" && : >"$0/log" && head -c 4096 /dev/zero >"$0/fill"; `,
		"read-only":       `mount -t tmpfs tmpfs "$0" && : >"$0/log" && mount -o remount,ro "$0"; `,
		"file size limit": `: >"$0/log"; ulimit -f 0; `,
	} {
		t.Run(name, func(t *testing.T) {
			r := launcher{mounts: true}.start(t, "sh", "-c", script+`exec $usher --termination-log "$0/log" -- /no/such/command`, dir)
			assert.Equal(t, 127, r.code())
			assert.Equal(t, "usher: error: cannot run /no/such/command: not found", r.stderr.rest())
		})
	}
}

// If the copy exceeds RLIMIT_FSIZE, --install removes it, and SIGXFSZ does not kill usher.
func TestInstallWithAFileSizeLimit(t *testing.T) {
	dir := t.TempDir()
	r := launcher{hostPID: true}.start(t, "sh", "-c", `ulimit -f 100; exec $usher --install "$0"`, filepath.Join(dir, "usher"))
	assert.Equal(t, 125, r.code())
	assert.Equal(t, "usher: error: install: cannot write "+filepath.Join(dir, "usher")+": file too large", r.stderr.rest())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}
