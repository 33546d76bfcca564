package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestOrphansAreReapedInEveryPhase(t *testing.T) {
	const orphans = `for i in 1 2 3 4 5 6 7 8 9 10; do (true &) ; done; `
	r := launcher{proc: true}.usher(t, "--verbose", "--grace", "20s",
		"--pre-start", "sh -c '"+orphans+"'", "--drain", "sh -c '"+orphans+"'", "--post-stop", "sh -c '"+orphans+"; read x'",
		"--", "sh", "-c", orphans+`trap 'exit 3' TERM; echo ready; while :; do read line || exit 9; done`)
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 3, r.code())
	log := r.stderr.rest()
	assert.GreaterOrEqual(t, strings.Count(log, "orphan"), 30, lastLines(log))
}

func TestThousandsOfOrphansAtOnce(t *testing.T) {
	needRoot(t)
	t.Parallel()
	// The orphans read a FIFO, and all of them exit at once when they get the end of file.
	const orphans = 2000
	r := launcher{}.start(t, binary(t), "--verbose", "--", "busybox", "sh", "-c", fmt.Sprintf(`
		mkfifo "$0" && exec 3<>"$0" 4<"$0" && rm "$0"
		i=0; while [ $i -lt %d ]; do (exec 3<&-; read line <&4 &); i=$((i+1)); [ $((i%%100)) != 0 ] || echo $i; done
		echo made; read line; exec 3<&- 4<&-; echo ended; read line; exit 11`, orphans), filepath.Join(t.TempDir(), "fifo"))
	r.stdout.expect("made")
	pid := r.pid()
	require.Len(t, childrenOf(t, pid), orphans+1, "the app and the orphans")
	_, err := r.in.WriteString("\n")
	require.NoError(t, err)
	r.stdout.expect("ended")
	for reaped := 0; reaped < orphans; {
		line, ok := r.stderr.next()
		require.True(t, ok, "usher exited after it had reaped %d orphans", reaped)
		if strings.Contains(line, ": reaped orphan ") {
			reaped++
		}
	}
	assert.Len(t, childrenOf(t, pid), 1, "processes other than the app")
	r.in.Close()
	assert.Equal(t, 11, r.code())
}

// usher runs many hooks and probes while many orphans exit. It must get the exit status of
// each hook and probe. A program that calls wait4(-1) and also waits with os/exec loses
// some exit statuses.
func TestManyHooksAndOrphansAtOnce(t *testing.T) {
	args := []string{"--quiet", "--wait-timeout", "0"}
	for range 100 {
		args = append(args, "--pre-start", "sh -c '(true &); (true &); exit 0'", "--wait", "sh -c '(true &); exit 0'")
	}
	r := launcher{}.usher(t, append(args, "--", "sh", "-c", "exit 42")...)
	assert.Equal(t, 42, r.code(), r.stderr.rest())
}

func TestLeftoversFinishTheirWork(t *testing.T) {
	// On SIGTERM the app exits at once. Its child, in another session, prints a line and
	// then exits.
	r := launcher{proc: true}.usher(t, "--grace", "20s", "--", "sh", "-c",
		`trap "exit 4" TERM
		 setsid sh -c 'trap "echo flushed; exit" TERM; echo child; while :; do read line; done' <&0 &
		 while :; do wait; done`)
	r.stdout.expect("child")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 4, r.code())
	assertPrinted(t, r.stdout.rest(), "flushed")
	assertPrinted(t, r.stderr.rest(), "leftovers: sent SIGTERM to 1 process: sh")
}

func TestOnlyTheDeadlineKills(t *testing.T) {
	t.Parallel()
	r := launcher{}.usher(t, "--grace", "10s", "--post-stop", "echo reported", "--", "sh", "-c",
		`trap "" TERM INT; setsid sh -c 'trap "" TERM; while :; do read line; done' <&0 & echo ready; while :; do read line; done`)
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	r.stderr.expect("stop: sent SIGTERM to sh")
	r.signal(syscall.SIGTERM)
	r.signal(syscall.SIGINT)
	assert.Equal(t, 137, r.code())
	r.stdout.rest() // rest returns when no process has the app's stdout open any more
	log := r.stderr.rest()
	assertPrinted(t, log, "stop: sh did not exit within ")
	assertPrinted(t, log, "post-stop echo| reported")
	assertPrinted(t, r.stderr.all[len(r.stderr.all)-1], "app was killed by SIGKILL after")
}

func TestAppThatDaemonizes(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		mounts []string
		args   []string
		want   string
	}{
		{[]string{"proc"}, nil, "usher: warning: sh exited and left 1 process running: sleep (the kernel kills them with PID 1: end the script with exec, or give --grace)"},
		{[]string{"proc"}, []string{"--grace", "20s"}, "usher: warning: sh exited and left 1 process running: sleep (run the server in the foreground, with exec)"},
		{nil, nil, "usher: warning: sh exited and left other processes running (the kernel kills them with PID 1: end the script with exec, or give --grace)"},
	} {
		t.Run(fmt.Sprintf("%v %v", c.mounts, c.args), func(t *testing.T) {
			t.Parallel()
			r := bare(bareRoot(t), c.mounts).start(t, slices.Concat([]string{"/usher"}, c.args,
				[]string{"--", "sh", "-c", `(setsid sh -c 'kill -PIPE $PPID; echo daemon; exec sleep 100000'; :); read line; exit 3`})...)
			r.stdout.expect("daemon")
			r.in.Close()
			assert.Equal(t, 3, r.code())
			r.stdout.rest() // rest returns when the daemon has been killed with its PID namespace
			// The name of the daemon is sleep only after its last execve(2). Before that its
			// name is sh, or exe, because busybox executes sleep as /proc/self/exe.
			log := regexp.MustCompile(`running: (sh|exe) `).ReplaceAllString(r.stderr.rest()+"\n", "running: sleep ")
			assertPrinted(t, log, c.want+"\n")
		})
	}
}

// If usher is not PID 1 and has no --grace, it does not signal the processes that the app and
// a hook leave running. Usher exits although these processes have stdout and stderr open.
func TestGrandchildHoldsStdout(t *testing.T) {
	// The leftovers read this FIFO, and exit when the test closes it. The deferred Close
	// makes them exit even if the test fails.
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o644))
	fifo, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer fifo.Close()

	leave := "exec 3<" + path + "; cat <&3 & echo $!; "
	r := launcher{hostPID: true}.start(t, binary(t), "--post-stop", "name=hook sh -c '"+leave+"'", "--", "sh", "-c", leave+"exit 5")
	holder, ok := r.stdout.next()
	require.True(t, ok)
	assert.Equal(t, 5, r.code())
	hooks := strings.Fields(r.stderr.expect("hook| "))
	for _, word := range []string{holder, hooks[len(hooks)-1]} {
		pid, err := strconv.Atoi(word)
		require.NoError(t, err)
		assert.NotContains(t, []string{"", "Z", "X"}, state(pid), "a leftover was killed")
	}
	fifo.Close()
	assert.Equal(t, holder, r.stdout.rest())
}

// PID 1 of the namespace is a shell; usher is its child and has a sibling.
func TestNotPID1SignalsOnlyItsDescendants(t *testing.T) {
	needRoot(t)
	p := launcher{proc: true, merged: true, vars: []string{"grandchild=" + filepath.Join(t.TempDir(), "pid")}}.start(t, "sh", "-c", `
		sh -c 'trap "echo the sibling got SIGTERM" TERM; while :; do sleep 0.01; done' & sibling=$!
		$usher --verbose --grace 1s -- sh -c '
			(setsid sh -c "trap \"\" TERM; echo \$\$ >$grandchild; echo grandchild; while :; do sleep 0.01; done" &)
			read line; echo app exits; exit 3'
		echo code $?
		kill -0 $sibling && echo the sibling is alive
		while kill -0 $(cat $grandchild) 2>/dev/null; do sleep 0.01; done # after SIGKILL the process may exist for a while
		echo the grandchild is gone
		kill -9 $sibling`)
	p.stdout.expectAll("not PID 1: reaping", "grandchild")
	p.in.Close()
	p.stdout.expect("code 3")
	p.stdout.expect("the sibling is alive")
	p.stdout.expect("the grandchild is gone")
	assert.Equal(t, 0, p.code())
	assertNotPrinted(t, p.stdout.rest(), "the sibling got")
}
