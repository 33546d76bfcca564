package main

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Usher does not treat a ptrace-stop (ptrace(2)) as an exit. If another process traces a
// child of usher, wait4(2) in usher reports the child's exit only after the tracer has
// reaped the child.
func TestTracedProcesses(t *testing.T) {
	needRoot(t)
	t.Run("the app traces its descendants", func(t *testing.T) {
		t.Parallel()
		r := launcher{}.start(t, binary(t), "--verbose", "--", puppet(t), "trace", "sh", "-c",
			`i=0; while [ $i -lt 20 ]; do (true &); i=$((i+1)); done; echo up; read line; exit 6`)
		r.stdout.expect("up")
		r.signal(syscall.SIGWINCH)
		r.stderr.expect("forwarded SIGWINCH")
		r.in.Close()
		assert.Equal(t, 6, r.code())
		assertPrinted(t, r.stdout.rest(), "trace: 41 processes have exited") // 41: the shell, the 20 orphans, and the 20 subshells that forked them
		assert.Equal(t, 20, strings.Count(r.stderr.rest(), ": reaped orphan "))
	})
	t.Run("a debugger traces the app", func(t *testing.T) {
		t.Parallel()
		// The app waits without a system call. dash's read loses the trap of a signal that
		// comes just before read(2), and a child of the app would send it SIGCHLD.
		r := launcher{}.start(t, binary(t), "--verbose", "--", "sh", "-c",
			`trap 'echo USR1' USR1; trap "exit 7" TERM; echo up; while :; do :; done`)
		r.stdout.expect("up")
		app := childrenOf(t, r.pid())
		require.Len(t, app, 1)

		runtime.LockOSThread() // all ptrace calls must come from the thread that called PTRACE_ATTACH
		defer runtime.UnlockOSThread()
		gone := false
		defer time.AfterFunc(patience, func() { r.cmd.Process.Kill() }).Stop()
		stops := func() syscall.WaitStatus {
			var ws syscall.WaitStatus
			_, err := syscall.Wait4(app[0], &ws, unix.WALL, nil)
			require.NoError(t, err)
			gone = ws.Exited() || ws.Signaled()
			return ws
		}
		defer func() { // reap the app, because usher is PID 1 of the app's namespace and cannot exit before the app is reaped
			for !gone {
				syscall.Kill(app[0], syscall.SIGKILL)
				stops()
			}
		}()
		require.NoError(t, syscall.PtraceAttach(app[0]))
		require.Equal(t, syscall.SIGSTOP, stops().StopSignal())
		require.NoError(t, syscall.PtraceCont(app[0], 0))
		for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM} {
			r.signal(sig)
			require.Equal(t, sig, stops().StopSignal())
			// The app is stopped until the tracer continues it. Usher still forwards SIGWINCH
			// to it.
			r.signal(syscall.SIGWINCH)
			r.stderr.expect("forwarded SIGWINCH")
			require.NoError(t, syscall.PtraceCont(app[0], int(sig)))
			require.Equal(t, syscall.SIGWINCH, stops().StopSignal())
			require.NoError(t, syscall.PtraceCont(app[0], 0))
			if sig == syscall.SIGUSR1 {
				r.stdout.expect("USR1")
			}
		}
		for stops(); !gone; stops() {
			require.NoError(t, syscall.PtraceCont(app[0], 0))
		}
		assert.Equal(t, 7, r.code())
	})
	t.Run("usher traces the app", func(t *testing.T) {
		t.Parallel()
		// A program can make its parent its tracer (PTRACE_TRACEME), so that no debugger can
		// attach. At the program's next execve(2) the kernel stops it with SIGTRAP. Usher does
		// not continue it.
		r := launcher{}.start(t, binary(t), "--verbose", "--grace", "1s", "--", puppet(t), "launch", "traceme=1", "--", "sh", "-c", "exit 5")
		r.stderr.expect("started, pid")
		r.waitForApp("t")
		r.signal(syscall.SIGUSR1)
		r.stderr.expect("forwarded SIGUSR1")
		r.signal(syscall.SIGTERM)
		assert.Equal(t, 137, r.code())

		r = launcher{}.start(t, binary(t), "--", puppet(t), "launch", "traceme=1", "exit=8")
		assert.Equal(t, 8, r.code())
	})
}
