package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// With --exec, the app has the same process ID, number of descriptors, blocked and ignored
// signals, limit of descriptors, and directory as without usher.
func TestExecRunsTheAppAsWithoutUsher(t *testing.T) {
	const state = `echo $$; ls /proc/self/fd | wc -l; grep -E "^(Sig(Blk|Ign)|Threads)" /proc/self/status; ulimit -n; pwd`
	run := func(argv ...string) string {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		defer r.Close()
		defer w.Close()
		l := launcher{hostPID: true, merged: true, files: []*os.File{r, w}}
		out, _, code := l.run(t, append([]string{"sh", "-c", `trap "" USR1; echo $$; exec "$@"`, "sh"}, argv...)...)
		require.Equal(t, 0, code, lastLines(out))
		pid, rest, _ := strings.Cut(out, "\n")
		return strings.ReplaceAll(rest, pid, "PID")
	}
	direct := run("sh", "-c", state)
	assert.True(t, strings.HasPrefix(direct, "PID\n"), direct)
	assert.Equal(t, direct, run(binary(t), "--exec", "--", "sh", "-c", state))
	log, rest, _ := strings.Cut(run(binary(t), "--pre-start", "true", "--exec", "--", "sh", "-c", state), ", pid PID\n")
	assertPrinted(t, log, "usher: start: executing sh in place of usher")
	assert.Equal(t, direct, rest)
}

func TestExecRunsTheAppAfterTheWait(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ready")
	wait := []string{"--verbose", "--exec", "--wait", "file://" + file, "--", "sh", "-c", "echo $$; exec cat"}
	r := launcher{}.usher(t, wait...)
	r.stderr.expect("attempt 1")
	r.signal(syscall.SIGUSR1)
	r.stderr.expect("received SIGUSR1")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	r.stderr.expect("warning: SIGUSR1 was received before the app started and is lost")
	r.stdout.expect("1")
	r.in.Close()
	assert.Equal(t, 0, r.code())

	require.NoError(t, os.Remove(file))
	r = launcher{}.usher(t, wait...)
	r.stderr.expect("attempt 1")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 143, r.code())
	assert.Empty(t, r.stdout.rest())
}

// Processes that a hook has left running are children of usher. With --exec, usher executes the
// app in its own process, so they become children of the app. usher warns of that.
func TestExecWarnsAboutProcessesThatHooksLeftRunning(t *testing.T) {
	r := launcher{}.usher(t, "--pre-start", "sh -c 'sleep 100000 &'", "--exec", "--", "true")
	assert.Equal(t, 0, r.code())
	assertPrinted(t, r.stderr.rest(), "usher: warning: processes that the hooks have left running become children of the app")
}

// usher changes LISTEN_PID (sd_listen_fds(3)) only if its value is usher's own pid. In that
// case usher starts the app by a second process, "usher --exec", which sets LISTEN_PID to the
// app's pid. If the app does not exist, usher starts no second process: it prints the usual
// error and exits with the usual code.
func TestListenPIDIsChangedOnlyIfItIsUshersOwn(t *testing.T) {
	out := outputOf(t, "sh", "-c", `export LISTEN_PID=$$; $usher --exec -- sh -c 'test $LISTEN_PID = $PPID && echo the parent'; :`)
	assert.Equal(t, "the parent\n", out)

	log := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(log, nil, 0o644))
	output, _, code := launcher{hostPID: true, merged: true}.run(t, "sh", "-c",
		`export LISTEN_PID=$$ LISTEN_FDS=1; exec $usher --log json --termination-log "$0" --post-stop 'sh -c "echo reason \$USHER_REASON"' -- /no/such/command`, log)
	assert.Equal(t, 127, code)
	assertPrinted(t, output, "reason not-found")
	for line := range strings.Lines(output) {
		assert.True(t, strings.HasPrefix(line, "{"), "JSON: %s", line)
	}
	got, err := os.ReadFile(log)
	require.NoError(t, err)
	assert.Equal(t, "cannot run /no/such/command: not found\n", string(got))
}

func TestExecOfACommandThatCannotBeRun(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	writeProgram(t, script, "echo no interpreter named\n")
	for _, c := range []struct {
		command string
		code    int
		log     string
	}{
		{"no-such-command", 127, "cannot run no-such-command: not found"},
		{dir, 126, "is a directory"},
		{script, 0, ""},
	} {
		r := launcher{}.usher(t, "--exec", "--", c.command)
		assert.Equal(t, c.code, r.code(), c.command)
		assertPrinted(t, r.stderr.rest(), c.log)
	}
}

// Variables such as GODEBUG and GOMEMLIMIT are meant for the app. If the Go runtime of
// usher read them too, it would print traces or fail to start.
func TestVariablesOfTheGoRuntimeAffectOnlyTheApp(t *testing.T) {
	vars := []string{"GODEBUG=inittrace=1,gctrace=1,schedtrace=1", "GOMAXPROCS=7", "GOGC=off", "GOMEMLIMIT=nonsense", "A=1", "PATH=" + os.Getenv("PATH")}
	out, _, code := launcher{hostPID: true, merged: true, env: vars}.run(t, binary(t), "--", "env")
	assert.Equal(t, 0, code)
	assert.Equal(t, strings.Join(vars, "\n")+"\n", out)
}
