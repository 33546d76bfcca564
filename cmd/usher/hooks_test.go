package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHooksGetTheReasonAndTheirOutputIsMarked(t *testing.T) {
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer server.Close()
	r := launcher{}.usher(t, "--grace", "20s",
		"--drain", `sh -c 'echo $USHER_REASON $USHER_SIGNAL $USHER_APP_PID; echo to stderr >&2; printf unended'`,
		"--drain", "method=POST name=quit "+server.URL+"/quit?token=canary",
		"--post-stop", `name=last sh -c 'echo code $USHER_EXIT_CODE, $(($USHER_TIME_LEFT > 0)); read x || echo nothing to read'`,
		"--", "sh", "-c", exitOnTERM(6))
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 6, r.code())
	log := r.stderr.rest()
	assertPrintedMatch(t, log, `usher: drain sh\| signal SIGTERM \d+\n`)
	assertPrinted(t, log, "usher: drain sh| to stderr\nusher: drain sh| unended\nusher: drain: hook sh finished in ")
	assertPrinted(t, log, "usher: post-stop last| code 6, 1\nusher: post-stop last| nothing to read\n")
	assert.Equal(t, "signal", got.Get("Usher-Reason"))
	assert.Equal(t, "SIGTERM", got.Get("Usher-Signal"))
	assertNotPrinted(t, log, "canary")
	assert.Empty(t, strings.TrimPrefix(r.stdout.rest(), "ready"), "only the app may write to stdout")
}

func TestHookThatOverrunsIsKilledAsAGroup(t *testing.T) {
	r := launcher{proc: true}.usher(t, "--grace", "20s", "--drain", `timeout=0.2s sh -c 'trap "" TERM; sleep 1000 & sleep 1000'`,
		"--", "sh", "-c", exitOnTERM(0))
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 0, r.code())
	log := r.stderr.rest()
	assertPrinted(t, log, "drain: hook sh failed after")
	// The hook's child ignores SIGTERM. If usher killed only the hook, the child would still
	// run after the app's exit, and would get SIGKILL at the deadline. The log may contain
	// "leftovers: sent SIGTERM", because the killed child may still be exiting when the app
	// has exited.
	assertNotPrinted(t, log, "leftovers: sent SIGKILL")
}

// Usher runs its hooks and exits, although nothing reads stderr and a hook prints without
// end.
func TestNoOutputBlocksUsher(t *testing.T) {
	r := launcher{stderr: unread(t)}.usher(t, "--verbose", "--grace", "20s", "--pre-start", "sh -c 'yes | head -c 1000000'",
		"--drain", "timeout=0.3s yes", "--", "sh", "-c", exitOnTERM(8))
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 8, r.code())
}

// The output fits into the pipe that is stderr, because with --grace usher drops hook output
// that it cannot write soon.
func TestOutputOfAProcessThatAHookLeavesRunning(t *testing.T) {
	r := launcher{}.usher(t, "--grace", "20s", "--pre-start", `name=agent sh -c '(trap "seq 1500; echo agent ends; exit" TERM; echo agent ready; while :; do sleep 0.01; done) &'`,
		"--", "sh", "-c", exitOnTERM(0))
	r.stdout.expect("ready")
	r.stderr.expect("agent ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 0, r.code())
	assertPrinted(t, r.stderr.rest(), "usher: pre-start agent| agent ends")
}

func TestUnreadOutputTakesNoMemory(t *testing.T) {
	p := launcher{hostPID: true, stderr: unread(t)}.start(t, binary(t), "--pre-start", `sh -c 'head -c 100000000 /dev/zero | tr "\0" x | fold -w 4000'`,
		"--", "sh", "-c", "grep VmHWM /proc/$PPID/status")
	assert.Equal(t, 0, p.code())
	var kib int
	_, err := fmt.Sscanf(p.stdout.rest(), "VmHWM: %d kB", &kib)
	require.NoError(t, err)
	assert.Less(t, kib, 16<<10, "KiB, after 100 MB of output that was never read")
}
