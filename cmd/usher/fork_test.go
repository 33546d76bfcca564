package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// RLIMIT_NPROC limits the number of threads of a container's user. Ten threads are enough
// for usher and the app.
func TestFewThreadsForTheUser(t *testing.T) {
	needRoot(t)
	root := bareRoot(t)
	for threads := 1; threads <= 12; threads++ {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			t.Parallel()
			limited := bareUser(root, freshUser(), threads)
			r := limited.start(t, "/usher", "--", "/bin/sh", "-c", "exit 7")
			code, log := r.code(), r.stderr.rest()
			if threads >= 10 {
				assert.Equal(t, 7, code)
				assert.Empty(t, log)
				return
			}
			// Go's runtime exits with 2 if it cannot start a thread that it needs.
			assert.Contains(t, []int{7, 125, 126, 2}, code, lastLines(log))
		})
	}
}

// bareUser returns a launcher for a bare container whose user may have the given number of
// threads (RLIMIT_NPROC). The limit is set after setuid(2), because a setuid(2) that
// exceeds the limit makes the next execve(2) fail.
func bareUser(root string, user int, threads int) launcher {
	return bare(root, nil, fmt.Sprint("user=", user), fmt.Sprintf("limit=%d:%d:%d", unix.RLIMIT_NPROC, threads, threads))
}

// freshUser returns a uid that no other process has, because RLIMIT_NPROC counts the
// threads of a user on the whole machine.
func freshUser() int { return 2_000_000_000 + os.Getpid()*100 + int(users.Add(1)) }

var users atomic.Int64

// RLIMIT_NPROC counts all threads of the user on the machine, those of other processes too.
// If it leaves too few for usher, usher prints one line. With a higher limit the app runs.
func TestOtherProcessesOfTheUser(t *testing.T) {
	needRoot(t)
	const others = 40
	root, user := bareRoot(t), freshUser()
	startProcesses(t, user, others)
	refused := 0
	for limit := others + 6; limit <= others+16; limit++ { // a lower limit may leave too few threads for the Go runtime to start
		r := bareUser(root, user, limit).start(t, "/usher", "--", "/bin/sh", "-c", "exit 7")
		code, log := r.code(), r.stderr.rest()
		if code == 7 {
			assert.Empty(t, log)
			continue
		}
		refused = limit
		assert.Equal(t, 125, code, "limit %d:\n%s", limit, lastLines(log))
		assert.Equal(t, fmt.Sprintf("usher: error: usher needs 6 threads and the app's process, the limit of the user's processes (RLIMIT_NPROC, ulimit -u) is %d, and too many are in use", limit), log)
	}
	assert.NotZero(t, refused, "the lowest limit was high enough")
	assert.Less(t, refused, others+12, "the highest limit at which usher does not run")
}

// startProcesses starts a shell of the given user, and n children of that shell.
func startProcesses(t *testing.T, user, n int) {
	t.Helper()
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do sleep 100000 & i=$((i+1)); done; echo full; read line`, n)
	launcher{inherit: []string{fmt.Sprint("user=", user)}}.start(t, "/bin/sh", "-c", script).stdout.expect("full")
}

// Usher cannot fork, because another process of the same user has started as many processes
// as the RLIMIT_NPROC of usher allows. That other process has no such limit.
func TestForkThatFails(t *testing.T) {
	needRoot(t)
	const eagain = "resource temporarily unavailable"
	const limit = 40
	fill := func(t *testing.T, user int) { startProcesses(t, user, limit) }
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"the app":                        {nil, 126, "usher: error: cannot run sh: " + eagain},
		"a pre-start hook":               {[]string{"--pre-start", "name=hook true"}, 125, "cannot run true: " + eagain},
		"the app, with a post-stop hook": {[]string{"--grace", "5s", "--post-stop", "name=hook true"}, 126, "post-stop: hook hook failed after"},
		"the app, JSON log":              {[]string{"--log", "json"}, 126, `"msg":"cannot run sh: ` + eagain + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, user := bareRoot(t), freshUser()
			r := bareUser(root, user, limit).start(t, slices.Concat(
				[]string{"/usher", "--verbose", "--wait", "name=ready file:///ready"}, c.args, []string{"--", "sh", "-c", "exit 7"})...)
			r.stderr.expect("attempt 1")
			fill(t, user)
			require.NoError(t, os.WriteFile(filepath.Join(root, "ready"), nil, 0o644))
			assert.Equal(t, c.code, r.code())
			assertPrinted(t, r.stderr.rest(), c.want)
		})
	}
	t.Run("a probe", func(t *testing.T) {
		t.Parallel()
		user := freshUser()
		r := bareUser(bareRoot(t), user, limit).start(t, "/usher", "--verbose", "--wait", "name=probe cat /ready", "--", "true")
		r.stderr.expect("attempt 1 failed: exit status 1")
		fill(t, user)
		r.stderr.expect("cannot run cat: " + eagain)
		r.signal(syscall.SIGTERM)
		assert.Equal(t, 143, r.code())
	})
	t.Run("in the shutdown", func(t *testing.T) {
		t.Parallel()
		user := freshUser()
		r := bareUser(bareRoot(t), user, limit).start(t, "/usher", "--grace", "20s", "--drain", "name=hook true", "--drain", "http://127.0.0.1:1/", "--post-stop", "name=last true",
			"--", "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do read line; done") // read needs no fork
		r.stdout.expect("ready")
		fill(t, user)
		r.signal(syscall.SIGTERM)
		assert.Equal(t, 7, r.code())
		log := r.stderr.rest()
		assertPrintedMatch(t, log, `usher: warning: drain: hook hook failed after \S+: .*`+eagain)
		assertPrintedMatch(t, log, `usher: warning: post-stop: hook last failed after \S+: .*`+eagain)
		assertPrinted(t, log, "connection refused") // the error of the HTTP hook: it needs no fork, so usher could run it
	})
}
