package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The tests in this file start a program twice, without any init and below the
// real usher, and compare. The app is to notice nothing but that it has another
// parent and leads a process group of its own.

// ways are what stands before the app.
var ways = []struct {
	name  string
	pid1  bool // else a child of PID 1
	usher []string
}{
	{"PID 1", true, []string{"--"}},
	{"not PID 1", false, []string{"--"}},
	{"with duties", false, []string{"--verbose", "--grace", "9s", "--wait", "file:///", "--pre-start", "true",
		"--ready", "file:///", "--post-start", "true", "--post-stop", "true", "--"}},
}

// stage is where one way's two starts take place: they share all of it, so that
// even the names of the open files are the same.
type stage struct {
	t                     *testing.T
	pid1                  bool
	stdin, stdout, stderr *os.File
	files                 []*os.File
	tty                   *os.File
}

func newStage(t *testing.T, pid1 bool) *stage {
	needRoot(t)
	s := &stage{t: t, pid1: pid1}
	for _, f := range []**os.File{&s.stdin, &s.stdout, &s.stderr} {
		var err error
		*f, err = os.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
		require.NoError(t, err)
		t.Cleanup(func() { (*f).Close() })
	}
	_, err := s.stdin.WriteString("12345 and what the app reads\n")
	require.NoError(t, err)
	return s
}

// run starts argv by the launcher, in a PID namespace of its own, waits for its
// end, and returns what it has printed and its exit status.
func (s *stage) run(launch []string, argv ...string) (text string, code int) {
	s.t.Helper()
	_, err := s.stdin.Seek(5, io.SeekStart)
	require.NoError(s.t, err)
	for _, f := range []*os.File{s.stdout, s.stderr} {
		require.NoError(s.t, f.Truncate(0))
	}
	if !s.pid1 {
		launch = append([]string{"fork=1"}, launch...)
	}
	cmd := exec.Command(puppets(s.t), append(append(append([]string{"launch"}, launch...), "--"), argv...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = s.stdin, s.stdout, s.stderr, s.files
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Setpgid: s.tty == nil} // no Pdeathsig: execve(2) keeps it
	if s.tty != nil {
		cmd.Stdin = s.tty
		cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	}
	require.NoError(s.t, cmd.Start())
	late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	cmd.Wait()
	require.True(s.t, late.Stop(), "it does not end")
	return s.said(s.stdout), cmd.ProcessState.ExitCode()
}

func (s *stage) said(f *os.File) string {
	text, err := os.ReadFile(f.Name())
	require.NoError(s.t, err)
	return string(text)
}

// own is what may differ between two states: pid, ppid and pgid.
func own(state string) map[string]string {
	numbers := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^own (\w+) (\d+)$`).FindAllStringSubmatch(state, -1) {
		numbers[m[1]] = m[2]
	}
	return numbers
}

// different are the lines of two states that are not the same: what the app had
// without an init and what it has now. Each start as PID 1 has its own namespace.
func different(direct, through string) (all []string) {
	may := regexp.MustCompile(`^own |^/proc/self/ns/pid`)
	lines := strings.Split(direct, "\n")
	others := strings.Split(through, "\n")
	for _, l := range lines {
		if !slices.Contains(others, l) && !may.MatchString(l) {
			all = append(all, "- "+l)
		}
	}
	for _, l := range others {
		if !slices.Contains(lines, l) && !may.MatchString(l) {
			all = append(all, "+ "+l)
		}
	}
	return all
}

// sameState compares the whole state of an app, below each of the ways, after
// the launcher has been told what to change. A last prepare may add more.
func sameState(t *testing.T, launch, args []string, prepare ...func(*stage)) {
	t.Helper()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, way.pid1)
			for _, f := range prepare {
				f(s)
			}
			app := append([]string{puppets(t), "state"}, args...)
			direct, code := s.run(launch, app...)
			require.Equal(t, 0, code, "the puppet itself")
			through, code := s.run(launch, append(append([]string{binary(t)}, way.usher...), app...)...)
			said := s.said(s.stderr)
			require.Equal(t, 0, code, said)

			assert.Empty(t, different(direct, through))
			numbers := own(through)
			assert.Equal(t, numbers["pid"], numbers["pgid"], "a process group of its own")
			assert.Equal(t, pidOf(way.pid1), numbers["ppid"], "usher is its parent")
		})
	}
}

func TestAppGetsItsArgumentsByteForByte(t *testing.T) {
	t.Parallel()
	sameState(t, nil, []string{"", "a b", "two\nlines", "\xff\xfe", "é", "--", "-h", "--help", "--version", "--grace", "-", "$HOME", "${HOME}", "$(id)",
		"`id`", "*", "~", "[a-z]", "{a,b}", `"'\`, "\x01\x7f", "a=b", "", strings.Repeat("long", 10_000), ""})
}

func TestAppGetsItsEnvironment(t *testing.T) {
	t.Parallel()
	t.Run("as it is", func(t *testing.T) {
		sameState(t, []string{"env=B=2", "env=A=1", "env=A=2", "env=A=1", "env=EMPTY=", "env=no equals sign", "env==", "env==x", "env=LINES=a\nb", "env=BYTES=\xff",
			"env=lower case and=blanks", "env=USHER_SERVICE_HOST=10.0.0.1", "env=usher_grace=9s", "env=USHER_=x", "env=GODEBUG=x=y", "env=GOMAXPROCS=7",
			"env=HTTP_PROXY=http://proxy", "env=PATH=/usr/bin:/bin", "env=PATH=/other", "env=PWD=/not/here", "env=LAST=1"}, nil)
	})
	t.Run("empty", func(t *testing.T) { sameState(t, []string{"env="}, nil) })
	t.Run("less usher's own", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, false)
		direct, _ := s.run([]string{"env=A=1", "env=B=2", "env=A=3"}, puppets(t), "state")
		through, code := s.run([]string{"env=A=1", "env=USHER_GRACE=5s", "env=B=2", "env=USHER_QUIET=true", "env=A=3", "env=USHER_WAIT="}, binary(t), puppets(t), "state")
		require.Equal(t, 0, code, s.said(s.stderr))
		assert.Empty(t, different(direct, through))
	})
}

func TestAppGetsItsDirectory(t *testing.T) {
	t.Parallel()
	t.Run("any", func(t *testing.T) { sameState(t, []string{"chdir=" + t.TempDir()}, nil) })
	t.Run("behind a link", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "link")
		require.NoError(t, os.Symlink(t.TempDir(), link))
		sameState(t, []string{"chdir=" + link, "env=PWD=" + link}, nil)
	})
	t.Run("that has been removed", func(t *testing.T) {
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t, way.pid1)
				var texts [2]string
				for i, argv := range [][]string{{puppets(t), "state"}, append(append([]string{binary(t)}, way.usher...), puppets(t), "state")} {
					dir := filepath.Join(t.TempDir(), "gone")
					require.NoError(t, os.Mkdir(dir, 0o755))
					text, code := s.run([]string{"chdir=" + dir, "rmdir=" + dir}, argv...)
					require.Equal(t, 0, code, s.said(s.stderr))
					texts[i] = text
				}
				assert.Empty(t, different(texts[0], texts[1]))
			})
		}
	})
}

func TestAppGetsItsLimitsAndPriorities(t *testing.T) {
	t.Parallel()
	for name, launch := range map[string][]string{
		"umask 0":         {"umask=0"},
		"umask 077":       {"umask=077"},
		"few files":       {"limit=7:64:512"},
		"files as Docker": {"limit=7:1024:10000"},
		"files all":       {"limit=7:10000:10000"},
		"stack and core":  {"limit=3:1048576:16777216", "limit=4:0:0", "limit=1:1000000:2000000", "limit=2:900000000:-1", "limit=12:1:2", "limit=10:5:6", "limit=6:5000:6000"},
		"priorities":      {"nice=7", "oom=321", "iopriority=16388", "slack=123456"},
	} {
		t.Run(name, func(t *testing.T) { sameState(t, launch, nil) })
	}
}

func TestAppGetsItsFiles(t *testing.T) {
	t.Parallel()
	give := func(n int) func(*stage) {
		return func(s *stage) {
			r, w, err := os.Pipe()
			require.NoError(s.t, err)
			s.t.Cleanup(func() { r.Close(); w.Close() })
			for i := range n {
				s.files = append(s.files, []*os.File{r, w, s.stdin}[i%3])
			}
		}
	}
	t.Run("none", func(t *testing.T) { sameState(t, nil, nil) })
	t.Run("in order", func(t *testing.T) { sameState(t, nil, nil, give(9)) })
	t.Run("with gaps", func(t *testing.T) {
		sameState(t, []string{"close=3,6", "dup=4:17", "dup=5:200", "dup=7:1500", "limit=7:2000:4000"}, nil, give(8))
	})
	t.Run("that do not block", func(t *testing.T) { sameState(t, []string{"nonblock=3", "nonblock=4", "nonblock=0"}, nil, give(2)) })
	for _, closed := range []string{"0", "1", "2", "0,2", "1,2", "0,1,2"} {
		t.Run("without "+closed, func(t *testing.T) {
			sameState(t, []string{"dup=1:9", "close=" + closed, "env=REPORT=9", "env=PATH=/usr/bin:/bin"}, nil)
		})
	}
}

func TestAppGetsItsSignalMask(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]string{"some": "10,12,34,40", "those that stop": "1,2,3,15", "child and terminal": "17,20,21,22,28", "all": sequence(1, 64)} {
		t.Run(name, func(t *testing.T) { sameState(t, []string{"block=" + block}, nil) })
	}
}

// Not kept are the "ignore"s of signals.WithInheritedSignals's exceptions: SIGCHLD, faults,
// PROF and 33. There is a test of the first.
func TestAppGetsItsIgnoredSignals(t *testing.T) {
	t.Parallel()
	for name, ignore := range map[string]string{
		"some":                "10,15,13,34,40",
		"of a shell's &":      "2,3",
		"of nohup":            "1",
		"of the terminal":     "18,20,21,22,28",
		"of the C library":    "32,34",
		"of the Go runtime":   "13,23",
		"the other standard":  "6,12,14,24,25,26,29,30",
		"the other real-time": sequence(35, 64),
		"every one": "1,2,3,6,10,12,13,14,15,18,20,21,22,23,24,25,26,28,29,30,32," +
			sequence(34, 64),
		"and blocked": "1,2,10,15,40",
	} {
		t.Run(name, func(t *testing.T) {
			launch := []string{"ignore=" + ignore}
			if name == "and blocked" {
				launch = append(launch, "block="+ignore)
			}
			sameState(t, launch, nil)
		})
	}
}

// An app that ignored SIGCHLD could not wait for its children, and whoever starts
// a container does not mean that: this one becomes the default.
func TestAppDoesNotIgnoreItsChildren(t *testing.T) {
	t.Parallel()
	s := newStage(t, false)
	through, code := s.run([]string{"ignore=17,10"}, binary(t), "--grace", "5s", "--pre-start", "true", puppets(t), "state")
	assert.Equal(t, 0, code, "usher still hears of its own children: %s", s.said(s.stderr))
	assert.Regexp(t, `SigIgn:\t00000000[08]0000200\n`, through, "USR1; and 32, if make starts this")
}

func sequence(from, to int) string {
	var all []string
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return strings.Join(all, ",")
}

// TestSocketActivation is sd_listen_fds(3): the descriptors are for the process
// whose pid LISTEN_PID is. Whoever meant usher meant the app.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	sockets := func(s *stage) { s.files = []*os.File{s.stdin, s.stdout} }
	around := func(pid string) []string {
		return []string{"env=A=1", pid, "env=LISTEN_FDS=2", "env=LISTEN_FDNAMES=web:admin", "env=Z=1"}
	}
	t.Run("for usher", func(t *testing.T) { sameState(t, around("listen=1"), nil, sockets) })
	t.Run("for another", func(t *testing.T) { sameState(t, around("env=LISTEN_PID=2147483647"), nil, sockets) })
	t.Run("for nobody", func(t *testing.T) { sameState(t, around("env=LISTEN_PID="), nil, sockets) })
	t.Run("not a number", func(t *testing.T) { sameState(t, around("env=LISTEN_PID=self"), nil, sockets) })
}

// TestCommandIsFoundAsByExecvp looks commands up in many a PATH, by execvp(3)
// itself and by usher. The scripts say how they were called; $0 is the very path
// by which one was executed.
func TestCommandIsFoundAsByExecvp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{"a", "b", "c", "d", "a/sub"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "a", "directory"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(dir, "a", "sub"), filepath.Join(dir, "link")))
	script := func(path, first string, mode os.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(first+`echo "$0: $# $*"; pwd; exit 3`+"\n"), mode))
	}
	const sh = "#!/bin/sh\n"
	script("here", sh, 0o755)
	script("plain-here", "", 0o755)
	script("a/tool", sh, 0o755)
	script("a/denied", sh, 0o644)
	script("b/denied", sh, 0o755)
	script("a/plain", "", 0o755)
	script("b/plain", sh, 0o755)
	script("a/orphaned", "#!/no/such/interpreter\n", 0o755)
	script("b/orphaned", sh, 0o755)
	script("b/directory", sh, 0o755)
	script("a/only", sh, 0o755)
	script("c/locked", sh, 0o644)
	script("a/sh", sh, 0o755)
	script("b/-dashed", sh, 0o755)
	script("b/white space", sh, 0o755)

	for i, c := range []struct{ path, command string }{
		{"a:b", "tool"}, {"b:a", "tool"}, {dir + "/a:" + dir + "/b", "tool"},
		{"a:b", "denied"}, {"a", "denied"}, {"c:nowhere", "locked"},
		{"a:b", "plain"}, {"b:a", "plain"}, {dir + "/a", "plain"},
		{"a:b", "orphaned"}, {"a:b", "directory"}, {"a", "directory"},
		{"", "here"}, {":a", "here"}, {"a:", "here"}, {"a::b", "here"}, {".", "here"}, {"./", "here"}, {"a", "here"},
		{"", "plain-here"}, {".", "plain-here"},
		{"nowhere:here:a", "tool"}, {"here", "tool"}, {dir + "/nowhere", "tool"},
		{"link/..", "only"}, {dir + "/link/..", "only"}, {dir + "/link/..:" + dir + "/b", "tool"},
		{dir + "//a/./", "tool"}, {dir + "/b/../a", "tool"},
		{"a", "sh"}, {"b", "-dashed"}, {"b", "white space"}, {"a", ""}, {"", ""}, {"a", "."}, {"a", ".."},
		{"b", "./here"}, {"b", "a/tool"}, {"b", "./a/../here"}, {"b", dir + "/a/plain"}, {"b", "a/plain"}, {"b", "./plain-here"}, {"b", "here/"}, {"b", "a/"},
		{"a:" + strings.Repeat("x", 5000) + ":b", "white space"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, false)
			call := fmt.Sprintf("%.200q with PATH=%.200q", c.command, c.path)
			launch := []string{"chdir=" + dir, "env=PATH=" + c.path, "env=PATH=/ignored"}
			direct, code := s.run(launch, c.command, "x y", "", "*")
			through, throughCode := s.run(launch, binary(t), "--", c.command, "x y", "", "*")
			assert.Equal(t, direct, through, call)
			assert.Equal(t, code, throughCode, "%s: %.200s", call, s.said(s.stderr))
		})
	}
	t.Run("without PATH", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, false)
		direct, code := s.run([]string{"env=A=1"}, "sh", "-c", "echo $PPID >/dev/null; echo $0; exit 4")
		through, throughCode := s.run([]string{"env=A=1"}, binary(t), "--", "sh", "-c", "echo $PPID >/dev/null; echo $0; exit 4")
		assert.Equal(t, direct, through)
		assert.Equal(t, 4, code)
		assert.Equal(t, code, throughCode)
	})
}

// ---- the terminal

// TestAppGetsItsTerminal compares on a terminal: who leads the session does not
// matter, and the app is in the foreground.
func TestAppGetsItsTerminal(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, way.pid1)
			var texts [2]string
			// What has read from a terminal is in its foreground; before that, usher may
			// not yet have handed it over.
			app := []string{"sh", "-c", `read line; exec "$0" state`, puppets(t)}
			for i, argv := range [][]string{app, append(append([]string{binary(t)}, way.usher...), app...)} {
				// A terminal each: the first one's leader hangs its terminal up.
				var ptm *os.File
				ptm, s.tty = openPTY(t)
				typed(t, ptm, "go\n")
				text, code := s.run(nil, argv...)
				require.Equal(t, 0, code, s.said(s.stderr))
				texts[i] = strings.ReplaceAll(text, s.tty.Name(), "its terminal")
			}
			assert.Contains(t, texts[1], "session 1\n")
			assert.Contains(t, texts[1], "terminal in its foreground\n")
			assert.Empty(t, different(texts[0], texts[1]))
		})
	}
}

// typed writes to the terminal as a person does.
func typed(t *testing.T, ptm *os.File, keys string) {
	t.Helper()
	_, err := ptm.WriteString(keys)
	require.NoError(t, err)
}

const ctrlC, ctrlD, ctrlZ, ctrlBackslash = "\x03", "\x04", "\x1a", "\x1c"

// pidOf is usher's pid, which is PID 1 or the first process after it.
func pidOf(pid1 bool) string {
	if pid1 {
		return "1"
	}
	return "2"
}

// pidOneOrTwo makes argv PID 1, or its child in the same session and group.
func pidOneOrTwo(t *testing.T, one bool, argv ...string) []string {
	if one {
		return argv
	}
	return append([]string{puppets(t), "launch", "fork=1", "--"}, argv...)
}

func TestKeysReachTheAppOnce(t *testing.T) {
	t.Parallel()
	for _, pid1 := range []bool{true, false} {
		t.Run(fmt.Sprint("PID 1: ", pid1), func(t *testing.T) {
			t.Parallel()
			ptm, pts := openPTY(t)
			screen := readLines(t, ptm)
			// It reads a line first: so it is in the foreground, and the keys are its own.
			r := scene{tty: pts}.start(t, pidOneOrTwo(t, pid1, binary(t), "--verbose", "--grace", "20s", "--drain", "echo drained",
				"--", "sh", "-c", "read line; exec $puppet hear app")...)
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
			// Had usher heard of any of these it would have passed it on before what
			// comes now, one on each of its channels.
			usher := pidOf(pid1)
			r.kill("HUP", usher)
			screen.expect("app got 1")
			r.kill("USR1", usher)
			screen.expect("app got 10")
			typed(t, ptm, ctrlD)
			screen.expect("app lives")
			assert.Equal(t, 0, r.code())
			all := strings.Join(screen.all, "\n")
			for _, sig := range []int{1, 2, 3, 10, 20, 28} {
				assert.Len(t, regexp.MustCompile(fmt.Sprintf(`app got %d\b`, sig)).FindAllString(all, -1), 1, all)
			}
			assert.NotContains(t, all, "drained")
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
			// The shell tells when it has its terminal back, and what the job's end was:
			// what is typed earlier may be flushed away.
			r := scene{tty: pts, env: []string{"PROMPT_COMMAND=echo prompt-$?"}}.start(t, pidOneOrTwo(t, pid1,
				binary(t), "--verbose", "--grace", "20s", "--", "bash", "--norc", "--noediting", "-i")...)
			screen.expect("prompt-0")
			for key, prompt := range map[string]string{ctrlC: "prompt-130", ctrlBackslash: "prompt-131"} {
				typed(t, ptm, "$puppet plain job\n")
				screen.expect("job ready")
				typed(t, ptm, key)
				screen.expect(prompt)
			}
			// cat's answer to a line, after the line's echo, tells that it has the
			// terminal; the shell says so a moment earlier.
			answers := func(line string) {
				typed(t, ptm, line+"\n")
				screen.expect(line)
				screen.expect(line)
			}
			typed(t, ptm, "cat\n")
			answers("first")
			typed(t, ptm, ctrlZ)
			screen.expect("prompt-148")
			typed(t, ptm, "fg\n")
			answers("second")
			typed(t, ptm, ctrlBackslash)
			screen.expect("prompt-131")

			// What reads in the background is stopped; the shell and usher go on.
			typed(t, ptm, "cat & wait $!\n")
			screen.expect("prompt-149")
			r.kill("WINCH", pidOf(pid1))
			screen.expect("forwarded SIGWINCH to bash")
			typed(t, ptm, "fg\n")
			answers("third")
			typed(t, ptm, ctrlD)
			screen.expect("prompt-0")
			typed(t, ptm, "exit 5\n")
			assert.Equal(t, 5, r.code())
			assert.NotContains(t, strings.Join(screen.all, "\n"), "no job control")
		})
	}
}

// TestUsherWritesToATerminalThatStopsWriters: with TOSTOP the kernel stops
// background processes that write, and usher is one while its app runs. Below an
// interactive shell it is also one that could be stopped: with no shell to
// continue it, as below a container's runtime, the kernel fails the write.
func TestUsherWritesToATerminalThatStopsWriters(t *testing.T) {
	needBash(t)
	t.Parallel()
	const app = `$usher --verbose --grace 20s -- sh -c 'stty tostop; echo usher is $PPID; exec $puppet hear app'`
	for name, argv := range map[string][]string{
		"leader of the session": {"sh", "-c", "exec " + app},
		"a shell's job":         {"bash", "--norc", "--noediting", "-i"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ptm, pts := openPTY(t)
			screen := readLines(t, ptm)
			r := scene{tty: pts}.start(t, argv...)
			job := argv[0] == "bash"
			if job {
				typed(t, ptm, app+"; echo code-$?\n")
			}
			line := screen.expect("usher is ")
			for strings.Contains(line, "$PPID") { // the echo
				line = screen.expect("usher is ")
			}
			usher := pidIn(t, strings.TrimRight(line, "\r"))
			screen.expect("app ready")
			for range 3 {
				r.kill("USR1", usher)
				heard, said := false, false
				for lines := 0; !heard || !said; lines++ {
					require.Less(t, lines, 100, "usher and the kernel go round in a circle")
					line := screen.expect("")
					heard = heard || strings.Contains(line, "app got 10")
					said = said || strings.Contains(line, "forwarded SIGUSR1 to sh")
				}
			}
			typed(t, ptm, ctrlD)
			screen.expect("app exited 0 after")
			if job {
				// The shell has its terminal back.
				screen.expect("code-0")
				typed(t, ptm, "exit 6\n")
				assert.Equal(t, 6, r.code())
				return
			}
			assert.Equal(t, 0, r.code())
		})
	}
}

// TestTerminalIsGivenBack: whoever started usher in its own group, as a script
// does, reads on when usher has ended.
func TestTerminalIsGivenBack(t *testing.T) {
	t.Parallel()
	for name, app := range map[string]string{"after the app": "true", "after one that was killed": "sh -c 'kill -KILL $$'", "after one that does not start": "/no/such/app"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ptm, pts := openPTY(t)
			screen := readLines(t, ptm)
			r := scene{tty: pts}.start(t, "sh", "-c", `$usher -- `+app+`; read line && echo "read $line"`)
			typed(t, ptm, "on\n")
			screen.expect("read on")
			assert.Equal(t, 0, r.code())
		})
	}
}

// TestHookThatReadsTheTerminalIsOnlyLate: the kernel stops it, and a stopped
// process acts on no SIGTERM; neither usher nor the app waits longer for it than
// for any other hook.
func TestHookThatReadsTheTerminalIsOnlyLate(t *testing.T) {
	t.Parallel()
	ptm, pts := openPTY(t)
	screen := readLines(t, ptm)
	r := scene{tty: pts}.start(t, binary(t), "--grace", "20s", "--drain", "name=reader timeout=0.2s sh -c 'read x </dev/tty'", "--", puppets(t), "hear", "app", "15")
	screen.expect("app ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 0, r.code())
	pts.Close()
	all := screen.rest()
	assert.Regexp(t, `reader failed after [1-9]\.`, all, "not after all of the drain's 10s")
	assert.Contains(t, all, "app got 15")
}
