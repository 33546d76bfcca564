package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// If a wait fails, the log has an error for each pending target, and for no other target.
// The error gives the target's last error, the number of attempts, the time and a hint.
func TestFailedWaitLogsEachPendingTargetWithAHint(t *testing.T) {
	t.Parallel()
	args := []string{
		"--wait-timeout", "10s", "--wait", "name=db tcp://127.0.0.1:1", "--wait", "file:///", "--wait", "file:///no/such/file",
		"--wait", "name=check sh -c 'exit 3'", "--wait", "name=missing no-such-command", "app",
	}
	r := launcher{}.usher(t, args...)
	quiet := launcher{}.usher(t, append([]string{"--log", "json", "--quiet"}, args...)...)
	verbose := launcher{}.usher(t, append([]string{"--verbose"}, args...)...)
	assert.Equal(t, 124, r.code())
	log := r.stderr.rest()
	for _, line := range []string{
		`usher: error: wait: timed out after 10s, 4 targets pending`,
		`usher: error: wait: db is not ready after \d+\.\ds \(\d+ attempts?\): connection refused \(is it listening on that port\? .*\)`,
		`usher: error: wait: file:///no/such/file is not ready after \d+\.\ds \(\d+ attempts?\): no such file \(is the path right, .*\?\)`,
		`usher: error: wait: check is not ready after \d+\.\ds \(\d+ attempts?\): exit status 3 \(--verbose shows what it prints\)`,
		`usher: error: wait: missing is not ready after \d+\.\ds \(\d+ attempts?\): cannot run no-such-command: not found \(is it a command\? .*\)`,
	} {
		assertPrintedMatch(t, log, `(?m)^`+line+`$`)
	}
	assert.Equal(t, 4, strings.Count(log, "is not ready after "), lastLines(log))

	assert.Equal(t, 124, quiet.code())
	quiet.stderr.rest()
	errs := map[string]string{} // by target
	for _, line := range quiet.stderr.all {
		var record struct {
			Target, Error, Hint string
			Attempts            int
			Seconds             float64
		}
		require.NoError(t, json.Unmarshal([]byte(line), &record), line)
		if record.Attempts > 0 {
			assert.Positive(t, record.Seconds)
			errs[record.Target] = record.Error
			assert.NotEmpty(t, record.Hint, line)
		}
	}
	assert.Equal(t, map[string]string{
		"db": "connection refused", "file:///no/such/file": "no such file",
		"check": "exit status 3", "missing": "cannot run no-such-command: not found",
	}, errs)

	assert.Equal(t, 124, verbose.code())
	assertNotPrinted(t, verbose.stderr.rest(), "--verbose", "the hint suggests a flag that was given")
}

// Without a command there is no app, so the last line is about the targets.
func TestLastLineOfAWaitWithoutAnApp(t *testing.T) {
	r := launcher{}.usher(t, "--wait-timeout", "0.1s", "--wait", "file:///no/such/file")
	assert.Equal(t, 124, r.code())
	assert.Contains(t, lastLines(r.stderr.rest()), "usher: not all targets are ready")
	assertNotPrinted(t, strings.Join(r.stderr.all, "\n"), "the app")

	r = launcher{}.usher(t, "--verbose", "--wait", "file:///no/such/file")
	r.stderr.expect("attempt 1")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 143, r.code())
	assert.Contains(t, lastLines(r.stderr.rest()), "usher: stopped by SIGTERM during the wait")
}
