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

// The tests in this file run usher where it is not PID 1: in a PID namespace
// shared with others, below another init, below itself. It is to end what is its
// own, however that hides, and to leave everybody else alone. All of it happens
// in a namespace made for the test, which nothing outlives.

// below puts an init before argv, or skips where it is not installed.
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

// pending is the stdin of those who are to live until the test closes its end.
func pending(t *testing.T) (stdin, end *os.File) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// held is a named pipe that says whether any of those still live who have opened
// it for writing.
type held struct {
	t    *testing.T
	path string
	fd   int
}

func hold(t *testing.T) held {
	path := filepath.Join(t.TempDir(), "held")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	return held{t, path, fd}
}

// isHeld looks now: a process has closed its files before anybody can hear that
// it has ended.
func (h held) isHeld() bool {
	h.t.Helper()
	var b [1]byte
	n, err := syscall.Read(h.fd, b[:])
	if err == syscall.EAGAIN {
		return true
	}
	require.NoError(h.t, err)
	require.Zero(h.t, n, "nobody writes to it")
	return false
}

// TestBelowAnotherInit is docker run --init, and an image that brings its own:
// the init passes signals on, usher does the rest.
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
			// The app has an orphan that ends, and one in a session of its own that
			// lives until it is told to end.
			r := scene{proc: true, files: []*os.File{stdin}}.start(t, below(t, init,
				"$usher", "--verbose", "--grace", "15s", "--drain", "echo drained", "--post-stop", "echo stopped", "--", "sh", "-c",
				`$puppet daemon true; $puppet daemon $puppet hear leftover 15 <&3
				 trap 'echo app got TERM; exit 7' TERM; trap 'echo app got USR1' USR1
				 echo app runs; while :; do read line; done`)...)
			r.stdout.expectAll("leftover ready", "app runs")
			bystander, _ := r.enter(stdin, puppets(t), "hear", "bystander")
			bystander.expect("bystander ready")
			r.stderr.expect("run: reaped orphan ") // it is usher that reaps
			r.signal(syscall.SIGUSR1)
			r.stdout.expect("app got USR1")
			r.signal(syscall.SIGTERM)
			assert.Equal(t, 7, r.code())

			out, said := r.stdout.rest(), r.stderr.rest()
			for _, once := range []string{"app got TERM", "app got USR1", "leftover got 15"} {
				assert.Equal(t, 1, strings.Count(out, once), "%s in\n%s", once, out)
			}
			for _, once := range []string{"drain echo| drained", "post-stop echo| stopped", "not PID 1:"} {
				assert.Equal(t, 1, strings.Count(said, once), "%s in\n%s", once, said)
			}
			assert.NotContains(t, said, "warning")
			if asPID1 := init[0] == "$usher" && slices.Contains(init, "--grace"); !asPID1 { // which ends all there is
				assert.NotContains(t, bystander.rest(), "got")
			}
		})
	}
}

// TestThreeUshersEndAsOne follows one exit code through three of them.
func TestThreeUshersEndAsOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		app   string
		code  int
		says  string
		grace [3]string
	}{
		"killed by TERM":         {`exec $puppet plain app`, 143, "app was killed by SIGTERM", [3]string{"14s", "13s", "12s"}},
		"a code of its own":      {`trap 'exit 7' TERM; echo app ready; while :; do read line; done`, 7, "app exited 7", [3]string{"14s", "13s", "12s"}},
		"nothing wrong":          {`exec $puppet hear app 15`, 0, "app exited 0", [3]string{"14s", "13s", "12s"}},
		"killed at the deadline": {`exec $puppet hear app`, 137, "app was killed by SIGKILL", [3]string{"14s", "13s", "1s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdin, _ := pending(t)
			leftovers := hold(t)
			r := scene{proc: true, files: []*os.File{stdin}, env: []string{"held=" + leftovers.path}}.start(t, below(t,
				[]string{"$usher", "--verbose", "--grace", c.grace[0], "--post-stop", "echo outermost", "--"},
				"$usher", "--verbose", "--grace", c.grace[1], "--",
				"$usher", "--verbose", "--grace", c.grace[2], "--drain", "echo drained", "--post-stop", "echo innermost", "--",
				"sh", "-c", "$puppet daemon true; $puppet daemon $puppet hear leftover 15 <&3 4>$held; "+c.app)...)
			r.stdout.expectAll("app ready", "leftover ready")
			r.stderr.expect("run: reaped orphan ")
			if strings.Contains(c.app, "hear") {
				r.signal(syscall.Signal(40)) // of a real-time signal each one is delivered
				r.stdout.expect("app got 40")
			}
			r.signal(syscall.SIGTERM)
			assert.Equal(t, c.code, r.code())
			assert.False(t, leftovers.isHeld())

			out, said := r.stdout.rest(), r.stderr.rest()
			for _, atMostOnce := range []string{"app got 15", "app got 40"} {
				assert.LessOrEqual(t, strings.Count(out, atMostOnce), 1, out)
			}
			if c.code != 137 { // else the time is over, and SIGKILL comes at once
				assert.Equal(t, 1, strings.Count(out, "leftover got 15"), out)
			}
			asked := "leftovers: sent SIGTERM to 1 process: puppet"
			if c.code == 137 { // the app does not exit before
				asked = "stop: last call: sent SIGTERM to 1 process: puppet"
			}
			for _, once := range []string{"drain echo| drained", "post-stop echo| innermost", "post-stop echo| outermost", asked} {
				assert.Equal(t, 1, strings.Count(said, once), "%s in\n%s", once, said)
			}
			assert.Equal(t, 2, strings.Count(said, "not PID 1:"), said)
			assert.Contains(t, said, c.says)
			accounts := regexp.MustCompile(`(?m)^usher: app .* after .*$`).FindAllString(said, -1)
			require.Len(t, accounts, 3, said)
			for _, outer := range accounts[1:] {
				assert.Contains(t, outer, fmt.Sprintf("app exited %d ", c.code))
			}
			orphans := map[string]int{}
			for _, m := range regexp.MustCompile(`reaped orphan \d+`).FindAllString(said, -1) {
				orphans[m]++
			}
			assert.Len(t, orphans, 2, said)
			for orphan, times := range orphans {
				assert.Equal(t, 1, times, "%s once:\n%s", orphan, said)
			}
		})
	}
}

// TestOthersSurvive has bystanders wherever usher could take them for its own: in
// its process group, in its session, in the parent's place, as an orphan below
// the same PID 1, entered from outside. Its own hide as well as they can.
func TestOthersSurvive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		app  string
		term bool
		code int
	}{
		"ends by itself": {`read line; exit 3`, false, 3},
		"ends on TERM":   {`trap "exit 4" TERM; while :; do read line; done`, true, 4},
		"is killed":      {`exec $puppet hear app <&3`, true, 137},
	} {
		for _, init := range [][]string{{"sh", "-c", `"$@"; :`, "sh"}, {"tini", "--"}, {"$usher", "--grace", "9s", "--"}} {
			if c.code != 4 && init[0] != "sh" {
				continue // the way the app ends does not depend on who is PID 1
			}
			t.Run("the app "+name+" below "+strings.TrimPrefix(init[0], "$"), func(t *testing.T) {
				t.Parallel()
				stdin, end := pending(t)
				own := hold(t)
				r := scene{proc: true, files: []*os.File{stdin}, env: []string{"held=" + own.path, "app=" + c.app}}.start(t, below(t, init,
					"sh", "-c", `
					for signal in HUP INT QUIT TERM USR1 USR2 CONT ALRM; do trap "echo parent got $signal" $signal; done
					exec 5<&0
					$puppet hear sibling <&3 & setsid $puppet hear stranger <&3 &
					$puppet daemon $puppet hear orphan <&3; ($puppet hear cousin <&3 &)
					$usher --verbose --grace 2s --stop-reserve 1s -- sh -c '
						exec 4>$held
						$puppet hear deaf <&3 & $puppet launch fork=1 -- $puppet hear deep <&3 & setsid $puppet hear apart <&3 & $puppet daemon $puppet hear hidden <&3
						$puppet daemon sh -c "echo stopped ready; kill -STOP \$\$; read line <&3"
						$puppet daemon unshare --pid --fork $puppet hear inner <&3
						$puppet daemon $puppet dodge; $puppet daemon $puppet dodge
						echo app of $PPID; eval "$app"' <&5 &
					wait $!; echo code $?; read line <&5; exit 0`)...)
				lines := r.stdout.expectAll("app of ", "sibling ready", "stranger ready", "orphan ready", "cousin ready", "deaf ready",
					"deep ready", "apart ready", "hidden ready", "stopped ready", "inner ready", "dodge ready", "dodge ready")
				usher := pidIn(t, lines[0])
				entered, _ := r.enter(stdin, puppets(t), "hear", "entered")
				entered.expect("entered ready")

				if c.term {
					r.kill("TERM", usher)
				} else {
					_, err := r.in.WriteString("go\n")
					require.NoError(t, err)
				}
				r.stdout.expect(fmt.Sprintf("code %d", c.code))
				assert.False(t, own.isHeld(), "all of its own are gone")

				end.Close()
				r.stdout.expectAll("sibling lives", "stranger lives", "orphan lives", "cousin lives")
				entered.expect("entered lives")
				r.in.Close()
				assert.Equal(t, 0, r.code())
				out := r.stdout.rest()
				assert.NotRegexp(t, `(parent|sibling|stranger|orphan|cousin) got`, out)
				assert.Len(t, entered.all, 2, "nothing but ready and lives")
				for _, told := range []string{"deaf", "deep", "apart", "hidden"} {
					if c.code == 137 {
						break // the time was over, and SIGKILL came at once
					}
					assert.Equal(t, 1, strings.Count(out, told+" got 15"), "%s is asked first:\n%s", told, out)
				}
			})
		}
	}
}

// TestForkersAreCaught has processes that fork into a new session and exit faster
// than anybody can read /proc: a pid that was found there has always exited since.
// How many of them wait to be reaped depends on the machine, so a cgroup limits
// them: without it they can fill the process table of the whole machine.
func TestForkersAreCaught(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ chains, crowd int }{
		"one":                {1, 0},
		"several":            {4, 0},
		"several in a crowd": {4, 2000}, // whose size must not matter
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := hold(t)
			room := limited{pids: c.crowd + 2000}.cgroup(t)
			r := scene{proc: true, env: []string{"held=" + own.path, fmt.Sprint("chains=", c.chains), fmt.Sprint("crowd=", c.crowd)}}.start(t, room.argv(puppets(t), "launch", "fork=1", "--", "sh", "-c", `
				exec 5<&0
				$puppet crowd $crowd &
				$usher --verbose --grace 2s -- sh -c '
					exec 4>$held
					while [ $chains -gt 0 ]; do $puppet daemon $puppet chain; chains=$((chains - 1)); done
					read line; exit 6' <&5 &
				wait $!; echo code $?; read line <&5; exit 0`)...)
			r.stdout.expectAll(append(slices.Repeat([]string{"chain ready"}, c.chains), slices.Repeat([]string{"crowd ready"}, min(c.crowd, 1))...)...)
			_, err := r.in.WriteString("go\n")
			require.NoError(t, err)
			r.stdout.expect("code 6")
			assert.False(t, own.isHeld(), "they still fork")
		})
	}
}

// TestSharedNamespaceIsNotItsOwn is shareProcessNamespace of a pod: PID 1 is a
// pause process, and usher's parent is outside. There is another container.
func TestSharedNamespaceIsNotItsOwn(t *testing.T) {
	t.Parallel()
	forever, over := pending(t)
	stdin, end := pending(t)
	own := hold(t)
	pause := scene{proc: true, files: []*os.File{forever}, env: []string{"held=" + own.path}}.start(t, "sh", "-c", "exec $puppet hear pause <&3")
	pause.stdout.expect("pause ready 1")
	neighbour, _ := pause.enter(stdin, "sh", "-c", `exec 3<&0; $puppet hear inner <&3 & exec $puppet hear neighbour`)
	neighbour.expectAll("neighbour ready", "inner ready")
	app, cmd := pause.enter(stdin, "sh", "-c", `exec $usher --verbose --grace 1s -- sh -c '
		exec 3<&0 4>$held; $puppet hear deaf <&3 & $puppet daemon $puppet hear hidden
		echo app of $PPID; exec $puppet hear app 15'`)
	lines := app.expectAll("app of ", "deaf ready", "hidden ready", "app ready")
	pause.kill("TERM", pidIn(t, lines[0]))
	cmd.Wait()
	assert.Equal(t, 0, cmd.ProcessState.ExitCode(), "the app's own")
	assert.False(t, own.isHeld(), "all of its own are gone")
	end.Close()
	neighbour.expectAll("neighbour lives", "inner lives")
	over.Close()
	pause.stdout.expect("pause lives")
	assert.NotContains(t, neighbour.rest(), "got")
	assert.NotContains(t, pause.stdout.rest(), "got")
	said := app.rest()
	assert.Contains(t, said, "not PID 1:")
	assert.Contains(t, said, "warning: leftovers: sent SIGKILL")
	assert.Equal(t, 1, strings.Count(said, "warning: "), said)
}

// TestWithoutProcOnlyTheAppsGroupIsEnded: what is not in the app's group cannot be
// found there, and usher says so once, if it is asked to end anything at all.
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
			r := scene{files: []*os.File{stdin}, env: []string{"held=" + group.path}}.start(t, "sh", "-c", prepare+`
				exec 5<&0
				$puppet hear sibling <&3 &
				$usher -- sh -c "exit 4"; echo first code $?
				$usher --grace 1s -- sh -c '
					$puppet hear grouped <&3 4>$held & $puppet daemon $puppet hear apart <&3
					read line; exit 5' <&5 &
				wait $!; echo second code $?; read line <&5`)
			r.stdout.expectAll("first code 4", "sibling ready", "grouped ready", "apart ready")
			_, err := r.in.WriteString("go\n")
			require.NoError(t, err)
			r.stdout.expect("second code 5")
			assert.False(t, group.isHeld(), "the app's group has ended")
			end.Close()
			r.stdout.expectAll("sibling lives", "apart lives")
			r.in.Close()
			r.code()
			out, said := r.stdout.rest(), r.stderr.rest()
			assert.NotContains(t, out, "sibling got")
			assert.NotContains(t, out, "apart got")
			assert.Contains(t, out, "grouped got 15", "it is asked first")
			assert.Equal(t, 1, strings.Count(said, "only the app's process group"), said)
			assert.NotContains(t, said, "-1 process")
		})
	}
}
