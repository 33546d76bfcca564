package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests in this file run usher where it is not PID 1: in a PID namespace shared with
// other programs, below another init, or below another usher. With --grace and a /proc of its
// PID namespace, usher must end all of its own descendants. It must not signal any other
// process. Each test makes a PID namespace. At the end of the test all processes of this
// namespace are killed.

// below returns a command that runs argv as the child of an init. It replaces "$usher" by
// the path of usher. It skips the test if the init is not installed.
func below(t *testing.T, init []string, argv ...string) []string {
	t.Helper()
	if _, err := exec.LookPath(init[0]); err != nil && init[0] != "$usher" {
		skip(t, "needs "+init[0])
	}
	all := append(append([]string{}, init...), argv...)
	for i, word := range all {
		if word == "$usher" {
			all[i] = binary(t)
		}
	}
	return all
}

// pending returns the two ends of a pipe, for the stdin of a process. The process gets no
// end of file until the test closes the writing end.
func pending(t *testing.T) (stdin, end *os.File) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// held is a named pipe that some processes have open for writing. A test uses it to find out
// whether any of these processes is still running.
type held struct {
	t    *testing.T
	path string
	fd   int
}

// hold makes a named pipe, and opens it for reading.
func hold(t *testing.T) held {
	path := filepath.Join(t.TempDir(), "held")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	return held{t, path, fd}
}

// isHeld reports whether a process has the pipe open for writing. No wait is needed after
// an exit, because a process closes its files before its parent is notified of the exit.
func (h held) isHeld() bool {
	h.t.Helper()
	var b [1]byte
	n, err := syscall.Read(h.fd, b[:])
	if err == syscall.EAGAIN {
		return true
	}
	require.NoError(h.t, err)
	require.Zero(h.t, n, "number of bytes in the pipe, to which no process should write")
	return false
}

// Usher runs below another init, as in an image that has an init or with docker run --init.
// The init forwards signals to usher. Usher reaps the orphans among its descendants, runs
// the hooks, and stops the app.
func TestBelowAnotherInit(t *testing.T) {
	t.Parallel()
	for name, init := range map[string][]string{
		"tini":             {"tini", "--"},
		"tini -g":          {"tini", "-g", "--"},
		"dumb-init":        {"dumb-init", "--"},
		"dumb-init -c":     {"dumb-init", "--single-child", "--"},
		"catatonit":        {"catatonit", "--"},
		"usher":            {"$usher", "--"},
		"usher --grace":    {"$usher", "--grace", "20s", "--"},
		"usher --group":    {"$usher", "--group", "--grace", "20s", "--"},
		"usher below tini": {"tini", "--", "$usher", "--grace", "20s", "--"},
		"tini below usher": {"$usher", "--", "tini", "-s", "--"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdin, _ := pending(t)
			// The app makes two orphans. The first orphan exits. The second orphan has its
			// own session and runs until it gets SIGTERM.
			r := launcher{proc: true, files: []*os.File{stdin}}.start(t, below(t, init,
				"$usher", "--verbose", "--grace", "15s", "--drain", "echo drained", "--post-stop", "echo stopped", "--", "sh", "-c",
				`$puppet daemon true; $puppet daemon $puppet catch leftover 15 <&3
				 trap 'echo app got TERM; exit 7' TERM; trap 'echo app got USR1' USR1
				 echo app runs; while :; do read line; done`)...)
			r.stdout.expectAll("leftover ready", "app runs")
			bystander := r.enter(stdin, puppet(t), "catch", "bystander")
			bystander.stdout.expect("bystander ready")
			r.stderr.expect(": reaped orphan ") // usher reaps the orphan, and the init above usher does not
			r.signal(syscall.SIGUSR1)
			r.stdout.expect("app got USR1")
			r.signal(syscall.SIGTERM)
			assert.Equal(t, 7, r.code())

			out, log := r.stdout.rest(), r.stderr.rest()
			for _, once := range []string{"app got TERM", "app got USR1", "leftover got 15"} {
				assert.Equal(t, 1, strings.Count(out, once), "%s in\n%s", once, lastLines(out))
			}
			for _, once := range []string{"drain echo| drained", "post-stop echo| stopped", "not PID 1:"} {
				assert.Equal(t, 1, strings.Count(log, once), "%s in\n%s", once, lastLines(log))
			}
			assertNotPrinted(t, log, "warning")
			if asPID1 := init[0] == "$usher" && slices.Contains(init, "--grace"); !asPID1 { // usher --grace as PID 1 ends all processes of its namespace, including the bystander
				assertNotPrinted(t, bystander.stdout.rest(), "got")
			}
		})
	}
}

// Each of three nested ushers exits with the exit code of the app.
func TestThreeNestedUshers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		app   string
		code  int
		want  string
		grace [3]string
	}{
		"killed by TERM":         {`exec $puppet pause app`, 143, "app was killed by SIGTERM", [3]string{"14s", "13s", "12s"}},
		"its own exit code":      {`trap 'exit 7' TERM; echo app ready; while :; do read line; done`, 7, "app exited 7", [3]string{"14s", "13s", "12s"}},
		"exit code 0":            {`exec $puppet catch app 15`, 0, "app exited 0", [3]string{"14s", "13s", "12s"}},
		"killed at the deadline": {`exec $puppet catch app`, 137, "app was killed by SIGKILL", [3]string{"60s", "50s", "10s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdin, _ := pending(t)
			leftovers := hold(t)
			r := launcher{proc: true, files: []*os.File{stdin}, vars: []string{"held=" + leftovers.path}}.start(t, below(t,
				[]string{"$usher", "--verbose", "--grace", c.grace[0], "--post-stop", "echo outermost", "--"},
				"$usher", "--verbose", "--grace", c.grace[1], "--",
				"$usher", "--verbose", "--grace", c.grace[2], "--drain", "echo drained", "--post-stop", "echo innermost", "--",
				"sh", "-c", "$puppet daemon true; $puppet daemon $puppet catch leftover 15 <&3 4>$held; "+c.app)...)
			r.stdout.expectAll("app ready", "leftover ready")
			r.stderr.expect(": reaped orphan ")
			if strings.Contains(c.app, "catch") {
				r.signal(syscall.Signal(40)) // the kernel does not merge pending real-time signals, so if a signal were forwarded twice, the app would print it twice
				r.stdout.expect("app got 40")
			}
			r.signal(syscall.SIGTERM)
			assert.Equal(t, c.code, r.code())
			assert.False(t, leftovers.isHeld())

			out, log := r.stdout.rest(), r.stderr.rest()
			for _, atMostOnce := range []string{"app got 15", "app got 40"} {
				assert.LessOrEqual(t, strings.Count(out, atMostOnce), 1, lastLines(out))
			}
			if c.code != 137 { // SIGKILL at the deadline may kill the leftover before it prints a line
				assert.Equal(t, 1, strings.Count(out, "leftover got 15"), lastLines(out))
			}
			sigterm := "leftovers: sent SIGTERM to 1 process: puppet"
			if c.code == 137 { // this app does not exit on SIGTERM, so the leftover gets SIGTERM only when four fifths of the time until SIGKILL have passed
				sigterm = "stop: last call: sent SIGTERM to 1 process: puppet"
			}
			for _, once := range []string{"drain echo| drained", "post-stop echo| innermost", "post-stop echo| outermost", sigterm} {
				assert.Equal(t, 1, strings.Count(log, once), "%s in\n%s", once, lastLines(log))
			}
			assert.Equal(t, 2, strings.Count(log, "not PID 1:"), lastLines(log))
			assertPrinted(t, log, c.want)
			summaries := regexp.MustCompile(`(?m)^usher: app .* after .*$`).FindAllString(log, -1)
			require.Len(t, summaries, 3, lastLines(log))
			for _, outer := range summaries[1:] {
				assert.Contains(t, outer, fmt.Sprintf("app exited %d ", c.code))
			}
			orphans := map[string]int{}
			for _, m := range regexp.MustCompile(`reaped orphan \d+`).FindAllString(log, -1) {
				orphans[m]++
			}
			assert.Len(t, orphans, 2, lastLines(log))
			for orphan, times := range orphans {
				assert.Equal(t, 1, times, "%s:\n%s", orphan, lastLines(log))
			}
		})
	}
}

// Usher does not signal processes that are not its descendants: its parent, other processes
// of its process group and session, orphans whose parent is PID 1, a process in another
// session, and a process that nsenter has put into the PID namespace. Usher ends its
// descendants, although some are in another process group, session or PID namespace.
func TestOtherProcessesSurvive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		app  string
		term bool
		code int
	}{
		"ends by itself": {`read line; exit 3`, false, 3},
		"ends on TERM":   {`trap "exit 4" TERM; while :; do read line; done`, true, 4},
		"is killed":      {`exec $puppet catch app <&3`, true, 137},
	} {
		for _, init := range [][]string{{"sh", "-c", `"$@"; :`, "sh"}, {"tini", "--"}, {"$usher", "--grace", "9s", "--"}} {
			if c.code != 4 && init[0] != "sh" {
				continue // to save time, only the app that exits with 4 runs below all three inits, the others only below sh
			}
			t.Run("the app "+name+" below "+strings.TrimPrefix(init[0], "$"), func(t *testing.T) {
				t.Parallel()
				stdin, end := pending(t)
				own := hold(t)
				r := launcher{proc: true, files: []*os.File{stdin}, vars: []string{"held=" + own.path, "app=" + c.app}}.start(t, below(t, init,
					"sh", "-c", `
					for signal in HUP INT QUIT TERM USR1 USR2 CONT ALRM; do trap "echo parent got $signal" $signal; done
					exec 5<&0
					$puppet catch sibling <&3 & setsid $puppet catch stranger <&3 &
					$puppet daemon $puppet catch orphan <&3; ($puppet catch cousin <&3 &)
					$usher --verbose --grace 10s --stop-reserve 8s -- sh -c '
						exec 4>$held
						$puppet catch child <&3 & $puppet launch fork=1 -- $puppet catch deep <&3 & setsid $puppet catch apart <&3 & $puppet daemon $puppet catch hidden <&3
						$puppet daemon sh -c "echo stopped ready; kill -STOP \$\$; read line <&3"
						$puppet daemon unshare --pid --fork $puppet catch inner <&3
						$puppet daemon $puppet chain-on-signal; $puppet daemon $puppet chain-on-signal
						echo app of $PPID; eval "$app"' <&5 &
					wait $!; echo code $?; read line <&5; exit 0`)...)
				lines := r.stdout.expectAll("app of ", "sibling ready", "stranger ready", "orphan ready", "cousin ready", "child ready",
					"deep ready", "apart ready", "hidden ready", "stopped ready", "inner ready", "chain-on-signal ready", "chain-on-signal ready")
				usher := pidIn(t, lines[0])
				entered := r.enter(stdin, puppet(t), "catch", "entered")
				entered.stdout.expect("entered ready")

				if c.term {
					r.kill("TERM", usher)
				} else {
					r.write("go\n")
				}
				r.stdout.expect(fmt.Sprintf("code %d", c.code))
				assert.False(t, own.isHeld(), "a descendant is still running")

				end.Close()
				r.stdout.expectAll("sibling alive", "stranger alive", "orphan alive", "cousin alive")
				entered.stdout.expect("entered alive")
				r.in.Close()
				assert.Equal(t, 0, r.code())
				out := r.stdout.rest()
				assertNotPrintedMatch(t, out, `(parent|sibling|stranger|orphan|cousin) got`)
				assert.Len(t, entered.stdout.all, 2, "lines other than ready and alive")
				for _, name := range []string{"child", "deep", "apart", "hidden"} {
					if c.code == 137 {
						break // SIGKILL at the deadline may kill these processes before they print a line
					}
					assert.Equal(t, 1, strings.Count(out, name+" got 15"), "%s must get SIGTERM before SIGKILL:\n%s", name, lastLines(out))
				}
			})
		}
	}
}

// Each process of a chain forks a successor in a new session and exits. A chain is faster
// than usher reads /proc, so the processes that usher finds in /proc have already exited.
// Usher must kill the chains nevertheless. A cgroup limits the number of zombies, because
// they could fill the machine's process table.
func TestForkersAreKilled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ chains, crowd int }{
		"one":                {1, 0},
		"several":            {4, 0},
		"several in a crowd": {4, 2000}, // the test starts 2000 more processes, and usher has to read their files in /proc
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin, end := pending(t)
			own := hold(t)
			room := limited{pids: c.crowd + 2000}.cgroup(t)
			r := launcher{proc: true, files: []*os.File{begin}, vars: []string{"held=" + own.path, fmt.Sprint("chains=", c.chains), fmt.Sprint("crowd=", c.crowd)}}.start(t, room.argv(puppet(t), "launch", "fork=1", "--", "sh", "-c", `
				exec 5<&0
				$puppet crowd $crowd &
				$usher --verbose --grace 2s -- sh -c '
					exec 4>$held
					while [ $chains -gt 0 ]; do $puppet daemon $puppet chain; chains=$((chains - 1)); done
					read line; exit 6' <&5 &
				wait $!; echo code $?; read line <&5; exit 0`)...)
			r.stdout.expectAll(append(slices.Repeat([]string{"chain ready"}, c.chains), slices.Repeat([]string{"crowd ready"}, min(c.crowd, 1))...)...)
			end.Close() // only now, because running chains fill the cgroup, and the shell could not start the others
			r.stdout.expectAll(slices.Repeat([]string{"chain begins"}, c.chains)...)
			r.write("go\n")
			r.stdout.expect("code 6")
			assert.False(t, own.isHeld(), "a process of the chains is still running")
		})
	}
}

// In a pod with shareProcessNamespace, PID 1 is the pause process. Usher's parent is outside
// of the pod's PID namespace. The processes of the pod's other containers are inside, and
// usher must not signal them.
func TestSharedPIDNamespace(t *testing.T) {
	t.Parallel()
	forever, over := pending(t)
	stdin, end := pending(t)
	own := hold(t)
	pause := launcher{proc: true, files: []*os.File{forever}, vars: []string{"held=" + own.path}}.start(t, "sh", "-c", "exec $puppet catch pause <&3")
	pause.stdout.expect("pause ready 1")
	neighbour := pause.enter(stdin, "sh", "-c", `exec 3<&0; $puppet catch inner <&3 & exec $puppet catch neighbour`)
	neighbour.stdout.expectAll("neighbour ready", "inner ready")
	app := pause.enter(stdin, "sh", "-c", `exec $usher --verbose --grace 10s -- sh -c '
		exec 3<&0 4>$held; $puppet catch child <&3 & $puppet daemon $puppet catch hidden
		echo app of $PPID; exec $puppet catch app 15'`)
	lines := app.stdout.expectAll("app of ", "child ready", "hidden ready", "app ready")
	pause.kill("TERM", pidIn(t, lines[0]))
	assert.Equal(t, 0, app.code())
	assert.False(t, own.isHeld(), "a descendant is still running")
	end.Close()
	neighbour.stdout.expectAll("neighbour alive", "inner alive")
	over.Close()
	pause.stdout.expect("pause alive")
	assertNotPrinted(t, neighbour.stdout.rest(), "got")
	assertNotPrinted(t, pause.stdout.rest(), "got")
	log := app.stdout.rest()
	assertPrinted(t, log, "not PID 1:")
	assertPrinted(t, log, "warning: leftovers: sent SIGKILL")
	assert.Equal(t, 1, strings.Count(log, "warning: "), lastLines(log))
}

// Without a /proc of its own PID namespace, usher cannot find descendants outside of the
// app's process group. If usher has a deadline, it logs one warning about that.
func TestWithoutProcOnlyTheAppsGroupIsEnded(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]string{
		"/proc of another namespace": `:`,
		"no /proc":                   `mount -t tmpfs none /proc`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdin, end := pending(t)
			group := hold(t)
			r := launcher{mounts: true, files: []*os.File{stdin}, vars: []string{"held=" + group.path}}.start(t, "sh", "-c", prepare+`
				exec 5<&0
				$puppet catch sibling <&3 &
				$usher -- sh -c "exit 4"; echo first code $?
				$usher --grace 20s -- sh -c '
					$puppet catch grouped <&3 4>$held & $puppet daemon $puppet catch apart <&3
					read line; exit 5' <&5 &
				wait $!; echo second code $?; read line <&5`)
			r.stdout.expectAll("first code 4", "sibling ready", "grouped ready", "apart ready")
			r.write("go\n")
			r.stdout.expect("second code 5")
			assert.False(t, group.isHeld(), "the app's group is still running")
			end.Close()
			r.stdout.expectAll("sibling alive", "apart alive")
			r.in.Close()
			r.code()
			out, log := r.stdout.rest(), r.stderr.rest()
			assertNotPrinted(t, out, "sibling got")
			assertNotPrinted(t, out, "apart got")
			assertPrinted(t, out, "grouped got 15") // usher sent SIGTERM before SIGKILL
			assert.Equal(t, 1, strings.Count(log, "only the app's process group"), lastLines(log))
			assertNotPrinted(t, log, "-1 process")
		})
	}
}
