package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/signals"
)

// In most tests in this file, something blocks usher: a file system that does not respond, a
// lease on a hook's executable, a child that is stopped between fork and exec, or a command
// that usher cannot signal. Usher still exits by its deadline.

// exitLimit limits how long a test waits for usher's exit. It is long enough for a busy
// machine, and shorter than any of the blocking calls in this file.
const exitLimit = 30 * time.Second

// needFUSE mounts a file system that stops responding when die is called.
func needFUSE(t *testing.T) (dir string, die func()) {
	flag := filepath.Join(t.TempDir(), "dead")
	return mountFUSE(t, "deadfs", flag), func() { require.NoError(t, os.WriteFile(flag, nil, 0o600)) }
}

// mountFUSE returns a directory on which a FUSE file system is mounted. Its server is the puppet
// (testdata/puppet.c) in the given role, deadfs or slowfs. The puppet gets two arguments, the
// directory and arg.
func mountFUSE(t *testing.T, role, arg string) (dir string) {
	needRoot(t)
	if _, err := os.Stat("/dev/fuse"); err != nil {
		skip(t, "needs /dev/fuse")
	}
	dir = t.TempDir()
	// Cleanups run in reverse order. So the FUSE server is killed first, which aborts all
	// requests to it, and then the directory is unmounted.
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	launcher{hostPID: true}.start(t, puppet(t), role, dir, arg).stdout.expect("fuse ready")
	return dir
}

// Usher's working directory is on a FUSE file system that stops responding. Usually usher
// changes its directory to /, and the child that executes a hook changes back. On this file
// system the child's chdir(2) would block. So usher does not change its directory if the
// directory is on FUSE.
func TestDeadlineInADeadDirectory(t *testing.T) {
	t.Parallel()
	dir, die := needFUSE(t)
	r := launcher{proc: true, inherit: []string{"chdir=" + dir}}.start(t, binary(t), "--grace", "20s", "--drain", "echo drained",
		"--", "/bin/sh", "-c", exitOnTERM(3))
	r.stdout.expect("ready")
	die()
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 3, r.codeWithin(exitLimit))
	assertPrinted(t, r.stderr.rest(), "usher: drain echo| drained")
}

// The app holds a lease (F_SETLEASE in fcntl(2)) on a hook's executable. Such a lease
// blocks execve(2) until the app releases it or 45 s (/proc/sys/fs/lease-break-time) have
// passed.
func TestDeadlineWhileAHookCannotBeExecuted(t *testing.T) {
	t.Parallel()
	needRoot(t)
	hook := filepath.Join(t.TempDir(), "hook")
	data, err := os.ReadFile(puppet(t))
	require.NoError(t, err)
	writeProgram(t, hook, string(data))
	r := launcher{proc: true}.start(t, binary(t), "--grace", "15s", "--drain", hook+" state", "--post-stop", "echo reported", "--", puppet(t), "lease", hook)
	r.stdout.expect("lease ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 137, r.codeWithin(exitLimit))
	log := r.stderr.rest()
	assertPrinted(t, log, "drain: hook hook failed after")
	assertPrinted(t, log, "post-stop echo| reported")
}

// The app keeps sending SIGSTOP to all other processes. So it stops the child that usher has
// forked for the hook before that child calls execve, and the thread of usher that waits in
// vfork(2) for the execve stays blocked.
func TestDeadlineWhileEverythingIsStopped(t *testing.T) {
	t.Parallel()
	r := launcher{proc: true}.start(t, binary(t), "--grace", "2s", "--drain", "echo drained", "--", puppet(t), "stopall")
	r.stdout.expect("stopall ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 137, r.codeWithin(exitLimit))
}

// If the supervisor's goroutine is blocked, guardDeadline (main.go) ends the process 2 s
// after the deadline. The program "blocked" (see roles) is usher with a supervisor that hangs
// when its shutdown begins.
func TestDeadlineOfABlockedSupervisor(t *testing.T) {
	t.Parallel()
	blocked, err := linkTo("blocked")
	require.NoError(t, err)
	assert.Equal(t, 137, launcher{hostPID: true}.start(t, blocked).codeWithin(exitLimit))
}

// A probe's command leaves its process group, so usher's signals to the group do not
// terminate it. The wait still times out.
func TestWaitTimeoutOfACommandThatLeavesItsGroup(t *testing.T) {
	t.Parallel()
	r := launcher{proc: true}.start(t, binary(t), "--wait-timeout", "2s", "--wait", "timeout=0.5s "+puppet(t)+" regroup sleep 1000", "--", "true")
	assert.Equal(t, 124, r.codeWithin(exitLimit))
	assertPrinted(t, r.stderr.rest(), "timed out after")
}

// withoutKill returns a command that executes argv without root's CAP_KILL.
func withoutKill(argv ...string) []string {
	return append([]string{"setpriv", "--bounding-set", "-kill"}, argv...)
}

// asOther returns a command that executes argv as another user.
func asOther(argv ...string) []string {
	return append([]string{"setpriv", "--reuid", "65534", "--clear-groups"}, argv...)
}

// The app runs as another user, and usher lacks CAP_KILL. If usher cannot send a signal, it
// logs an error with the cause, even with --quiet. At the deadline usher exits, and the
// kernel kills the app, because PID 1 has exited.
func TestSignalsThatCannotBeDelivered(t *testing.T) {
	t.Parallel()
	args := append([]string{binary(t), "--quiet", "--grace", "2s", "--"}, asOther(puppet(t), "catch", "app")...)
	r := launcher{proc: true}.start(t, withoutKill(args...)...)
	r.stdout.expect("app ready")
	r.signal(syscall.SIGUSR1)
	r.stderr.expect("cannot send SIGUSR1")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 137, r.codeWithin(exitLimit))
	log := r.stderr.rest()
	for _, signal := range []string{"(start|run): cannot send SIGUSR1", "stop: cannot send SIGTERM", "stop: cannot send SIGKILL"} {
		assertPrintedMatch(t, log, `usher: error: `+signal+` to setpriv \(pid \d+\): operation not permitted \(it runs as another user: usher needs CAP_KILL\)`)
	}
	assertNotPrinted(t, r.stdout.rest(), "got")
}

// A probe's command runs as another user, and usher lacks CAP_KILL, so usher cannot send it a
// signal. The wait still times out.
func TestWaitTimeoutOfACommandOfAnotherUser(t *testing.T) {
	t.Parallel()
	command := "timeout=2s name=check " + strings.Join(asOther("sleep", "1000"), " ")
	r := launcher{proc: true}.start(t, withoutKill(binary(t), "--wait-timeout", "15s", "--wait", command, "--", "true")...)
	assert.Equal(t, 124, r.codeWithin(exitLimit))
	log := r.stderr.rest()
	assertPrinted(t, log, "cannot send SIGTERM to check")
	assertPrinted(t, log, "the command of an earlier attempt is still running")
}

// Usher kills 500 leftovers by its deadline. If usher is not PID 1, it must find them in
// /proc.
func TestDeadlineWithManyLeftovers(t *testing.T) {
	t.Parallel()
	for name, argv := range map[string][]string{
		"as PID 1":       nil,
		"as a subreaper": {"sh", "-c", `"$@"; echo code $?`, "sh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := hold(t)
			r := launcher{proc: true, vars: []string{"held=" + own.path}}.start(t, append(argv, binary(t), "--grace", "2s", "--", "sh", "-c",
				`exec 4>$held; $puppet daemon $puppet crowd 500; exec $puppet catch app`)...)
			r.stdout.expectAll("crowd ready", "app ready")
			if argv == nil {
				r.signal(syscall.SIGTERM)
				assert.Equal(t, 137, r.codeWithin(exitLimit))
			} else {
				children := childrenOf(t, r.pid())
				require.Len(t, children, 1)
				require.NoError(t, syscall.Kill(children[0], syscall.SIGTERM))
				r.stdout.expect("code 137")
			}
			// Usher has sent SIGKILL to all leftovers. As a subreaper it waits for their
			// exits for a limited time only, which may be too short on a busy machine. So
			// the test waits until they have exited.
			eventually(t, func() bool { return !own.isHeld() }, func() string { return "a leftover is still running" })
		})
	}
}

// A stop signal is not lost among thousands of other signals that arrive faster than usher
// forwards them, while usher has 1,000 children.
func TestStopDuringAFloodOfSignals(t *testing.T) {
	for _, stop := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, 37} {
		t.Run(signals.Name(stop), func(t *testing.T) {
			r := launcher{}.start(t, binary(t), "--grace", "5s", "--stop-on", "RTMIN+3", "--", puppet(t), "flood", "1000")
			r.stdout.expect("flood ready")
			r.signal(stop)
			assert.Equal(t, 128+int(stop), r.codeWithin(exitLimit))
		})
	}
}
