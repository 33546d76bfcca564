package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestAppIsInTheForegroundOfTheTerminal(t *testing.T) {
	ptm, pts := openPTY(t)
	screen := readLines(t, ptm)
	r := launcher{tty: pts}.usher(t, append([]string{"--grace", "20s", "--drain", "echo drained"}, catcher(t)...)...)
	screen.expect("ready")
	// usher changes the foreground process group after the app has been executed, so the app
	// may print "ready" first.
	eventually(t, func() bool {
		group, err := unix.IoctlGetInt(int(ptm.Fd()), unix.TIOCGPGRP)
		return err == nil && group != r.pid()
	}, func() string { return "usher is in the foreground" })

	// On Ctrl-C the terminal sends SIGINT once, and only to the app. Usher gets no stop signal,
	// so it does not run the drain.
	typed(t, ptm, ctrlC)
	screen.expect("got 2")
	require.NoError(t, unix.IoctlSetWinsize(int(ptm.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 11, Col: 22}))
	screen.expect("got 28")
	typed(t, ptm, ctrlD)
	assert.Equal(t, 0, r.code())
	pts.Close()
	shown := screen.rest()
	assert.Equal(t, 1, strings.Count(shown+"\n", "got 2\n"), shown)
	assertNotPrinted(t, shown, "drained")
}

func TestWaitOnATerminalHasOneProgressLine(t *testing.T) {
	t.Parallel()
	ptm, pts := openPTY(t)
	require.NoError(t, unix.IoctlSetWinsize(int(ptm.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60}))
	screen := readLines(t, ptm)
	ready := filepath.Join(t.TempDir(), "ready")
	r := launcher{tty: pts}.usher(t, "--wait", "name=db tcp://127.0.0.1:1", "--wait", "name=flag file://"+ready,
		"--wait-timeout", "2s", "--", "true")
	failed := screen.expect("error: wait: timed out after 2s, 2 targets pending")
	assert.Equal(t, 124, r.code())
	assertPrintedMatch(t, failed, `^\r\x1b\[Kusher: wait: [\d.ms]+: `, "a progress line must come first")
	assertPrintedMatch(t, failed, `flag: no such file \(\d+ attempts?\)|db: connection refused \(\d+ attempts?\)`)
	assertPrinted(t, failed, "\r\x1b[Kusher: error: wait: timed out", "the progress line must be erased before the error")
	drawn := strings.Split(failed, "\r\x1b[K")
	for _, drawn := range drawn[:len(drawn)-1] {
		assert.Less(t, len(strings.TrimSuffix(drawn, "\r")), 60, "columns")
	}
	screen.expect("wait: db is not ready after ")

	piped := launcher{}.usher(t, "--wait", "tcp://127.0.0.1:1", "--wait-timeout", "0.2s", "--", "true")
	assert.Equal(t, 124, piped.code())
	assertNotPrinted(t, piped.stderr.rest(), "\x1b") // no progress line, because stderr is a pipe
}

// The app has the terminal while usher waits for --ready targets, so there is no progress line.
func TestReadyOnATerminalIsLogged(t *testing.T) {
	t.Parallel()
	ptm, pts := openPTY(t)
	screen := readLines(t, ptm)
	r := launcher{tty: pts}.usher(t, "--ready", "name=flag file://"+t.TempDir()+"/flag", "--grace", "5s", "--", "sleep", "1000")
	line := screen.expect("usher: ready: still waiting after ")
	assertPrintedMatch(t, line, `after \d+\.\ds: flag: no such file`)
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 143, r.code())
}

func TestShellOnATerminalHasJobControl(t *testing.T) {
	needBash(t)
	ptm, pts := openPTY(t)
	screen := readLines(t, ptm)
	r := launcher{tty: pts}.usher(t, "--", "bash", "--norc", "-i")
	for _, line := range []string{"sleep 1000 &", "kill %1", "wait", "echo $((6 * 7)) jobs", "exit 5"} {
		typed(t, ptm, line+"\n")
	}
	screen.expect("42 jobs")
	assert.Equal(t, 5, r.code())
	assertNotPrinted(t, screen.text(), "no job control")
}

// openPTY returns both ends of a new pseudo terminal.
func openPTY(t *testing.T) (ptm, pts *os.File) {
	ptm, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		skip(t, "no pseudo terminals: "+err.Error())
	}
	require.NoError(t, unix.IoctlSetPointerInt(int(ptm.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(ptm.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	pts, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { pts.Close(); ptm.Close() }) // in this order, because a Read of ptm that is still running ends when pts is closed
	return ptm, pts
}

// The app, "puppet state", prints its attributes. On a terminal they must be the same with and
// without usher (the function different compares them), and the app must be in the foreground.
// This must hold whether usher leads the session, as PID 1, or does not, as a child of PID 1.
func TestAppGetsItsTerminal(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, way.pid1)
			var texts [2]string
			// The app first reads from the terminal, which only a foreground process can do.
			// Without the read, the app might print its state before usher has made it the
			// foreground process group.
			app := []string{"sh", "-c", `read line; exec "$0" state`, puppet(t)}
			for i, argv := range [][]string{app, append(append([]string{binary(t)}, way.usher...), app...)} {
				// Each start has its own terminal, because the kernel hangs up the terminal
				// when the leader of the session exits.
				var ptm *os.File
				ptm, s.tty = openPTY(t)
				typed(t, ptm, "go\n")
				text, code := s.run(nil, argv...)
				require.Equal(t, 0, code, lastLines(s.printed(s.stderr)))
				texts[i] = strings.ReplaceAll(text, s.tty.Name(), "its terminal")
			}
			assertPrinted(t, texts[1], "session 1\n")
			assertPrinted(t, texts[1], "terminal in its foreground\n")
			assert.Empty(t, different(texts[0], texts[1]))
		})
	}
}

// typed sends keys to a terminal, as if a user typed them.
func typed(t *testing.T, ptm *os.File, keys string) {
	t.Helper()
	_, err := ptm.WriteString(keys)
	require.NoError(t, err)
}

const ctrlC, ctrlD, ctrlZ, ctrlBackslash = "\x03", "\x04", "\x1a", "\x1c"

// pidOf returns usher's pid: 1, or 2 if usher is the first child of PID 1.
func pidOf(pid1 bool) string {
	if pid1 {
		return "1"
	}
	return "2"
}

// pidOneOrTwo returns a command that runs argv as PID 1 if the parameter one is true. Otherwise
// the command runs argv as a child of PID 1, in the session and process group of PID 1.
func pidOneOrTwo(t *testing.T, one bool, argv ...string) []string {
	if one {
		return argv
	}
	return append([]string{puppet(t), "launch", "fork=1", "--"}, argv...)
}

func TestKeysReachTheAppOnce(t *testing.T) {
	t.Parallel()
	for _, pid1 := range []bool{true, false} {
		t.Run(fmt.Sprint("PID 1: ", pid1), func(t *testing.T) {
			t.Parallel()
			ptm, pts := openPTY(t)
			screen := readLines(t, ptm)
			// The app reads a line before the keys are typed. Only a foreground process can
			// read from the terminal, so the app is in the foreground by then.
			r := launcher{tty: pts}.start(t, pidOneOrTwo(t, pid1, binary(t), "--verbose", "--grace", "20s", "--drain", "echo drained",
				"--", "sh", "-c", "read line; exec $puppet catch app")...)
			typed(t, ptm, "go\n")
			screen.expect("app ready")
			want := map[int]int{}
			for key, sig := range map[string]int{ctrlC: 2, ctrlBackslash: 3, ctrlZ: 20} {
				typed(t, ptm, key)
				screen.expect(fmt.Sprint("app got ", sig))
				want[sig] = 1
			}
			require.NoError(t, unix.IoctlSetWinsize(int(ptm.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 11, Col: 22}))
			screen.expect("app got 28")
			// Each signal above must come from the terminal only, and not from usher as well. To
			// find out, the test sends SIGHUP and SIGUSR1 to usher. Usher receives them by
			// different channels (Inbox.Control and Inbox.Other), and forwards the signals of
			// each channel in order. So when the app has got both, usher has forwarded everything
			// that it had received before them.
			usher := pidOf(pid1)
			r.kill("HUP", usher)
			screen.expect("app got 1")
			r.kill("USR1", usher)
			screen.expect("app got 10")
			typed(t, ptm, ctrlD)
			screen.expect("app alive")
			assert.Equal(t, 0, r.code())
			all := screen.text()
			for _, sig := range []int{1, 2, 3, 10, 20, 28} {
				assert.Len(t, regexp.MustCompile(fmt.Sprintf(`app got %d\b`, sig)).FindAllString(all, -1), 1, lastLines(all))
			}
			assertNotPrinted(t, all, "drained")
		})
	}
}

func TestInteractiveShellStopsAndContinuesItsJobs(t *testing.T) {
	needBash(t)
	t.Parallel()
	for _, pid1 := range []bool{true, false} {
		t.Run(fmt.Sprint("PID 1: ", pid1), func(t *testing.T) {
			t.Parallel()
			ptm, pts := openPTY(t)
			screen := readLines(t, ptm)
			// The test waits for each prompt, because input that is typed before the shell is in
			// the foreground again may be discarded. The shell prints the job's exit status
			// before each prompt.
			r := launcher{tty: pts, vars: []string{"PROMPT_COMMAND=echo prompt-$?", "job=" + puppet(t)}}.start(t, pidOneOrTwo(t, pid1,
				binary(t), "--verbose", "--grace", "20s", "--", "bash", "--norc", "--noediting", "-i")...)
			screen.expect("prompt-0")
			for key, prompt := range map[string]string{ctrlC: "prompt-130", ctrlBackslash: "prompt-131"} {
				typed(t, ptm, "$job pause job\n")
				screen.expect("job ready")
				typed(t, ptm, key)
				screen.expect(prompt)
			}
			// If cat is in the foreground, a line appears twice: as the terminal's echo, and
			// as the output of cat. The shell's message about cat does not show that cat is in
			// the foreground, because the shell prints it before it makes cat the foreground
			// process group.
			expectTwice := func(line string) {
				typed(t, ptm, line+"\n")
				screen.expect(line)
				screen.expect(line)
			}
			typed(t, ptm, "cat\n")
			expectTwice("first")
			typed(t, ptm, ctrlZ)
			screen.expect("prompt-148")
			typed(t, ptm, "fg\n")
			expectTwice("second")
			typed(t, ptm, ctrlBackslash)
			screen.expect("prompt-131")

			// The kernel stops cat (SIGTTIN), because cat reads from the terminal in the background.
			// The shell's prompt and usher's log of SIGWINCH show that these two are not stopped.
			typed(t, ptm, "cat & wait $!\n")
			screen.expect("prompt-149")
			r.kill("WINCH", pidOf(pid1))
			screen.expect("forwarded SIGWINCH to bash")
			typed(t, ptm, "fg\n")
			expectTwice("third")
			typed(t, ptm, ctrlD)
			screen.expect("prompt-0")
			typed(t, ptm, "exit 5\n")
			assert.Equal(t, 5, r.code())
			assertNotPrinted(t, screen.text(), "no job control")
		})
	}
}

// If the terminal has TOSTOP set, the kernel sends SIGTTOU to a background process that
// writes to it. Usher is in the background while its app runs, but must write its log, so it
// blocks SIGTTOU. Otherwise, as a job of an interactive shell usher would be stopped, and in an
// orphaned process group, as under a container runtime, its write would fail with EIO.
func TestUsherWritesToATerminalThatStopsWriters(t *testing.T) {
	needBash(t)
	t.Parallel()
	const app = `$usher --verbose --grace 20s -- sh -c 'stty tostop; echo parent is $PPID; exec $puppet catch app'`
	for name, argv := range map[string][]string{
		"leader of the session": {"sh", "-c", "exec " + app},
		"a shell's job":         {"bash", "--norc", "--noediting", "-i"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ptm, pts := openPTY(t)
			screen := readLines(t, ptm)
			r := launcher{tty: pts, vars: []string{"usher=" + binary(t), "puppet=" + puppet(t)}}.start(t, argv...)
			job := argv[0] == "bash"
			if job {
				typed(t, ptm, app+"; echo code-$?\n")
			}
			line := screen.expect("parent is ")
			for strings.Contains(line, "$PPID") { // skip the terminal's echo of the command
				line = screen.expect("parent is ")
			}
			usher := pidIn(t, strings.TrimRight(line, "\r"))
			screen.expect("app ready")
			for range 3 {
				r.kill("USR1", usher)
				caught, logged := false, false
				for lines := 0; !caught || !logged; lines++ {
					require.Less(t, lines, 100, "the kernel stops usher again and again")
					line := screen.expect("")
					caught = caught || strings.Contains(line, "app got 10")
					logged = logged || strings.Contains(line, "forwarded SIGUSR1 to sh")
				}
			}
			typed(t, ptm, ctrlD)
			screen.expect("app exited 0 after")
			if job {
				// The shell is in the foreground again.
				screen.expect("code-0")
				typed(t, ptm, "exit 6\n")
				assert.Equal(t, 6, r.code())
				return
			}
			assert.Equal(t, 0, r.code())
		})
	}
}

// A script starts usher in the script's own process group. After usher's exit, the script
// can read the terminal again.
func TestTerminalIsGivenBack(t *testing.T) {
	t.Parallel()
	for name, app := range map[string]string{"after the app": "true", "after an app that was killed": "sh -c 'kill -KILL $$'", "after an app that does not start": "/no/such/app"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ptm, pts := openPTY(t)
			screen := readLines(t, ptm)
			r := launcher{tty: pts}.start(t, "sh", "-c", `$usher -- `+app+`; read line && echo "read $line"`)
			typed(t, ptm, "on\n")
			screen.expect("read on")
			assert.Equal(t, 0, r.code())
		})
	}
}

// The kernel stops a hook that reads the terminal. When the hook times out, it does not handle
// SIGTERM, because it is stopped. SIGKILL ends it a second later.
func TestHookThatReadsTheTerminalTimesOut(t *testing.T) {
	t.Parallel()
	ptm, pts := openPTY(t)
	screen := readLines(t, ptm)
	r := launcher{tty: pts}.start(t, binary(t), "--grace", "20s", "--drain", "name=reader timeout=3s sh -c 'read x </dev/tty'", "--", puppet(t), "catch", "app", "15")
	screen.expect("app ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 0, r.code())
	pts.Close()
	all := screen.rest()
	assertPrintedMatch(t, all, `reader failed after [4-9]\.`, "the hook took all of the drain's 10s")
	assertPrinted(t, all, "app got 15")
}
