package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/signals"
)

// The tests in this file block usher wherever the kernel lets a program be blocked:
// a file system that does not answer, a lease on the file that it executes, a child
// that is stopped between fork and exec, commands that no signal reaches. The
// deadline holds all the same.

// exitsWithin fails if usher takes longer than limit, which is far beyond the
// deadline that is tested but short of the time for which it was blocked.
func (r *running) exitsWithin(limit time.Duration) int {
	r.t.Helper()
	late := time.AfterFunc(limit, func() { r.cmd.Process.Kill() })
	code := r.code()
	require.True(r.t, late.Stop(), "usher did not exit by its deadline")
	return code
}

// blockedFor is how long everything in this file is blocked; graceHeld is by when
// usher has exited, with a grace of a second or two, on a machine however busy.
const graceHeld = 30 * time.Second

// needFUSE returns a directory on which a file system is mounted that no longer
// answers once die has been called.
func needFUSE(t *testing.T) (dir string, die func()) {
	needRoot(t)
	if _, err := os.Stat("/dev/fuse"); err != nil {
		skip(t, "needs /dev/fuse")
	}
	dir, flag := t.TempDir(), filepath.Join(t.TempDir(), "dead")
	server := exec.Command(puppets(t), "deadfs", dir, flag)
	out, ends := newReader(t, nil)
	server.Stdout = ends[0]
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, server.Start())
	ends[0].Close()
	t.Cleanup(func() {
		server.Process.Kill() // aborts all requests
		server.Wait()
		syscall.Unmount(dir, syscall.MNT_DETACH)
	})
	out.expect("deadfs ready")
	return dir, func() { require.NoError(t, os.WriteFile(flag, nil, 0o600)) }
}

// The working directory is on a file system that stops answering. Usher stays in
// it, and so needs no chdir(2) to start a hook there.
func TestDeadlineInADeadDirectory(t *testing.T) {
	t.Parallel()
	dir, die := needFUSE(t)
	r := scene{proc: true}.start(t, puppets(t), "launch", "chdir="+dir, "--", binary(t), "--grace", "2s", "--drain", "echo drained",
		"--", "/bin/sh", "-c", `trap "exit 3" TERM; echo ready; while :; do read line; done`)
	r.stdout.expect("ready")
	die()
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 3, r.exitsWithin(graceHeld))
	assert.Contains(t, r.stderr.rest(), "usher: drain echo| drained")
}

// A hook's executable is under a lease: execve(2) waits until the holder gives it
// back, or for /proc/sys/fs/lease-break-time, 45 s.
func TestDeadlineWhileAHookCannotBeExecuted(t *testing.T) {
	t.Parallel()
	needRoot(t)
	hook := filepath.Join(t.TempDir(), "hook")
	data, err := os.ReadFile(puppets(t))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(hook, data, 0o755))
	r := scene{proc: true}.start(t, binary(t), "--grace", "2s", "--drain", hook+" state", "--post-stop", "echo reported", "--", puppets(t), "lease", hook)
	r.stdout.expect("lease ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 137, r.exitsWithin(graceHeld))
	said := r.stderr.rest()
	assert.Contains(t, said, "drain: hook hook failed after")
	assert.Contains(t, said, "post-stop echo| reported")
}

// The app stops everything else again and again: also the child of usher that is
// about to become the hook, while usher's thread waits for it in vfork.
func TestDeadlineWhileEverythingIsStopped(t *testing.T) {
	t.Parallel()
	r := scene{proc: true}.start(t, binary(t), "--grace", "2s", "--drain", "echo drained", "--", puppets(t), "stopall")
	r.stdout.expect("stopall ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 137, r.exitsWithin(graceHeld))
}

// If the supervisor itself were blocked, its process would still end.
func TestDeadlineOfABlockedSupervisor(t *testing.T) {
	t.Parallel()
	blocked := exec.Command(testBinary(t))
	blocked.Env = append(os.Environ(), "TEST_PUPPET=blocked")
	blocked.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, blocked.Start())
	late := time.AfterFunc(graceHeld, func() { blocked.Process.Kill() })
	_ = blocked.Wait()
	require.True(t, late.Stop(), "it did not end by its deadline")
	assert.Equal(t, 137, blocked.ProcessState.ExitCode())
}

// A probe's command has left its process group, so the group's number reaches nobody.
func TestWaitTimeoutOfACommandThatLeavesItsGroup(t *testing.T) {
	t.Parallel()
	r := scene{proc: true}.start(t, binary(t), "--wait-timeout", "2s", "--wait", "timeout=0.5s "+puppets(t)+" regroup sleep 1000", "--", "true")
	assert.Equal(t, 124, r.exitsWithin(graceHeld))
	assert.Contains(t, r.stderr.rest(), "timed out after")
}

// withoutKill starts argv as root without CAP_KILL, and asOther as another user.
func withoutKill(argv ...string) []string {
	return append([]string{"setpriv", "--bounding-set", "-kill"}, argv...)
}

func asOther(argv ...string) []string {
	return append([]string{"setpriv", "--reuid", "65534", "--clear-groups"}, argv...)
}

// The app runs as another user, and usher lacks CAP_KILL: each signal that cannot be
// delivered is an error that names the cause, also with --quiet. The deadline holds:
// the kernel kills the app with PID 1.
func TestSignalsThatCannotBeDelivered(t *testing.T) {
	t.Parallel()
	args := append([]string{binary(t), "--quiet", "--grace", "2s", "--"}, asOther(puppets(t), "hear", "app")...)
	r := scene{proc: true}.start(t, withoutKill(args...)...)
	r.stdout.expect("app ready")
	r.signal(syscall.SIGUSR1)
	r.stderr.expect("cannot send SIGUSR1")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 137, r.exitsWithin(graceHeld))
	said := r.stderr.rest()
	for _, signal := range []string{"run: cannot send SIGUSR1", "stop: cannot send SIGTERM", "stop: cannot send SIGKILL"} {
		assert.Regexp(t, `usher: error: `+signal+` to setpriv \(pid \d+\): operation not permitted \(it runs as another user: usher needs CAP_KILL\)`, said)
	}
	assert.NotContains(t, r.stdout.rest(), "got")
}

// Its time counts for a probe's command that cannot be signalled.
func TestWaitTimeoutOfACommandOfAnotherUser(t *testing.T) {
	t.Parallel()
	command := "timeout=0.2s name=check " + strings.Join(asOther("sleep", "1000"), " ")
	r := scene{proc: true}.start(t, withoutKill(binary(t), "--wait-timeout", "2s", "--wait", command, "--", "true")...)
	assert.Equal(t, 124, r.exitsWithin(graceHeld))
	said := r.stderr.rest()
	assert.Contains(t, said, "cannot send SIGTERM to check")
	assert.Contains(t, said, "the command of an earlier attempt is still running")
}

// A crowd of leftovers in a crowd of others: usher sends SIGKILL first, and does
// not wait until it has looked at everybody.
func TestDeadlineInACrowd(t *testing.T) {
	t.Parallel()
	for name, argv := range map[string][]string{
		"as PID 1":       nil,
		"as a subreaper": {"sh", "-c", `"$@"; echo code $?`, "sh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := hold(t)
			r := scene{proc: true, env: []string{"held=" + own.path}}.start(t, append(argv, binary(t), "--grace", "2s", "--", "sh", "-c",
				`exec 4>$held; $puppet daemon $puppet crowd 500; exec $puppet hear app`)...)
			r.stdout.expectAll("crowd ready", "app ready")
			if argv == nil {
				r.signal(syscall.SIGTERM)
				assert.Equal(t, 137, r.exitsWithin(graceHeld))
			} else {
				children := childrenOf(t, r.cmd.Process.Pid)
				require.Len(t, children, 1)
				require.NoError(t, syscall.Kill(children[0], syscall.SIGTERM))
				r.stdout.expect("code 137")
			}
			assert.False(t, own.isHeld(), "all of its own are gone")
		})
	}
}

// A stop signal is not lost among thousands of other signals, which come faster than
// usher forwards them while it has many children to look after.
func TestStopDuringAFloodOfSignals(t *testing.T) {
	for _, stop := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, 37} {
		t.Run(signals.Name(stop), func(t *testing.T) {
			r := scene{}.start(t, binary(t), "--grace", "5s", "--stop-on", "RTMIN+3", "--", puppets(t), "flood", "1000")
			r.stdout.expect("flood ready")
			r.signal(stop)
			assert.Equal(t, 128+int(stop), r.exitsWithin(graceHeld))
		})
	}
}
