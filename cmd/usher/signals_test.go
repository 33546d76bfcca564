package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/usher-init/usher/signals"
)

func TestEverySignalReachesTheApp(t *testing.T) {
	r := launcher{}.usher(t, catcher(t)...)
	r.stdout.expect("ready")
	var sent int
	for n := syscall.Signal(1); n <= 64; n++ {
		if signals.CheckReceivable(n) != nil || n == syscall.SIGTERM || n == syscall.SIGINT {
			continue
		}
		r.signal(n)
		r.stdout.expect(fmt.Sprintf("got %d", n))
		sent++
	}
	assert.Equal(t, 61-2, sent, "number of signals: all but KILL, STOP, CHLD, and the stop signals below")
	// Without --grace usher forwards the stop signals too, and also repeated ones.
	for _, n := range []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGINT} {
		r.signal(n)
		r.stdout.expect(fmt.Sprintf("got %d", n))
	}
	r.in.Close()
	assert.Equal(t, 0, r.code())
}

// If usher is started with all signals blocked, it still receives them. The app inherits
// the signal mask.
func TestStartedWithEverySignalBlocked(t *testing.T) {
	blocked := launcher{inherit: []string{"block=" + sequence(1, 64)}}
	r := blocked.start(t, append([]string{binary(t)}, catcher(t)...)...)
	r.stdout.expect("ready")
	for n := syscall.Signal(1); n <= 64; n++ {
		if signals.CheckReceivable(n) == nil && n != syscall.SIGTERM {
			r.signal(n)
			r.stdout.expect(fmt.Sprintf("got %d", n))
		}
	}
	r.signal(syscall.SIGTERM)
	r.stdout.expect("got 15")
	r.in.Close()
	assert.Equal(t, 0, r.code())

	r = blocked.start(t, binary(t), "--verbose", "--wait", "tcp://127.0.0.1:1", "--", "true")
	r.stderr.expect("attempt 1")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 143, r.code())

	// The app has SIGTERM blocked, so SIGKILL ends it at the deadline.
	r = blocked.start(t, binary(t), "--grace", "1s", "--", "sh", "-c", `echo up; exec sleep 100000`)
	r.stdout.expect("up")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 137, r.code())
}

func TestSignalsBeforeTheAppAreKeptOrEndTheWait(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	r := launcher{}.usher(t, "--verbose", "--wait", "file://"+ready, "--", "sh", "-c", "read line")
	r.stderr.expect("attempt 1")
	r.signal(syscall.SIGUSR1)
	r.stderr.expect("received SIGUSR1")
	require.NoError(t, os.WriteFile(ready, nil, 0o644))
	assert.Equal(t, 128+int(syscall.SIGUSR1), r.code())

	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		r := launcher{}.usher(t, "--verbose", "--wait", "tcp://127.0.0.1:1", "--", "sh", "-c", "echo started")
		r.stderr.expect("attempt 1")
		r.signal(sig)
		assert.Equal(t, 128+int(sig), r.code())
		assert.Empty(t, r.stdout.rest(), "the app was started")
	}
}

// SIGTERM stops usher, even if it arrives while usher is starting, from usher's first
// instructions on.
func TestTermAtEveryMomentOfTheStart(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const tries, within = 300, 20 * time.Millisecond
	var early atomic.Int64
	t.Run("SIGTERM after", func(t *testing.T) {
		for i := range tries {
			after := within * time.Duration(i) / tries
			t.Run(after.String(), func(t *testing.T) {
				t.Parallel()
				p := launcher{}.start(t, binary(t), "--", "sh", "-c", "echo up; exec sleep 100000")
				<-time.After(after) // usher starts within 20 ms, so each test sends SIGTERM at another instant of the start
				begun := hasBegun(p.pid())
				p.signal(syscall.SIGTERM)
				if !begun {
					// The kernel drops a signal for PID 1 if PID 1 has no handler for it and does not
					// block it. So a SIGTERM before usher's first instruction may be lost. In that
					// case the app starts.
					early.Add(1)
					if _, started := p.stdout.next(); started {
						p.signal(syscall.SIGTERM)
					}
				}
				assert.Equal(t, 143, p.code())
			})
		}
	})
	if runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" {
		assert.Less(t, early.Load(), int64(tries), "all signals were sent before usher's first instruction, so this test proves nothing")
	}
}

// hasBegun reports whether usher has begun to run. It checks whether SIGUSR1 is blocked,
// because usher's first instructions block all signals. SIGUSR1 stays blocked, except in the
// thread on which usher handles the blocked signals (keepUnblockedThread in package signals).
// SIGTERM is not checked, because the Go runtime unblocks it, and some others, in each thread.
//
// hasBegun does not check the signal handlers, because until execve(2) has finished, the
// process has the handlers of the program that called execve.
func hasBegun(usher int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", usher))
	_, mask, _ := strings.Cut(string(status), "\nSigBlk:\t")
	mask, _, _ = strings.Cut(mask, "\n")
	set, err := strconv.ParseUint(mask, 16, 64)
	return err == nil && set&(1<<(syscall.SIGUSR1-1)) != 0
}

// A stop signal takes effect even if orphans exit all the time and the test keeps sending
// SIGCHLD.
func TestTermAmongManySIGCHLD(t *testing.T) {
	needRoot(t)
	t.Parallel()
	r := launcher{}.start(t, binary(t), "--grace", "20s", "--drain", "echo drained", "--", "sh", "-c",
		`(while :; do (true &); done) & (while :; do (true &); done) & trap "exit 9" TERM; echo up; while :; do wait; done`)
	r.stdout.expect("up")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				r.cmd.Process.Signal(syscall.SIGCHLD)
			}
		}
	}()
	r.signal(syscall.SIGTERM)
	r.stderr.expect("drain echo| drained")
	code := r.code()
	close(stop)
	<-stopped
	assert.Equal(t, 9, code)
}

// If SIGSTOP stops the app, usher does not treat that as an exit. A stopped app does not
// handle signals until SIGCONT, so usher sends SIGCONT after the stop signal.
func TestAppThatStopsItself(t *testing.T) {
	needRoot(t)
	const app = `trap 'echo USR1' USR1; trap "exit 5" TERM; echo up; kill -STOP $$; echo goes on; while :; do read line; done`
	stopped := func(t *testing.T, args ...string) *process {
		r := launcher{}.start(t, slices.Concat([]string{binary(t), "--verbose"}, args, []string{"--", "sh", "-c", app})...)
		r.stdout.expect("up")
		r.waitForApp("T")
		r.signal(syscall.SIGUSR1)
		r.stderr.expect("forwarded SIGUSR1") // so usher has not treated the stop as an exit
		return r
	}
	t.Run("continued by SIGCONT", func(t *testing.T) {
		t.Parallel()
		r := stopped(t)
		r.signal(syscall.SIGCONT)
		r.stdout.expect("USR1")
		r.stdout.expect("goes on")
		r.signal(syscall.SIGTERM)
		assert.Equal(t, 5, r.code())
	})
	t.Run("stopped, SIGTERM continues it", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{nil, {"--grace", "20s"}, {"--group", "--grace", "20s"}} {
			r := stopped(t, args...)
			r.signal(syscall.SIGTERM)
			assert.Equal(t, 5, r.code(), "%v", args)
		}
	})
}
