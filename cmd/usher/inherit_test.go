package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Most tests in this file start a program twice, directly and as the app of usher, and
// compare the program's state. Only its pid, its parent's pid and its process group may
// differ, and its PID namespace, because each start makes a new one.

// ways are the ways to start a command, which is either the app itself, or usher with the app
// as its argument. They differ in whether the command is PID 1, and in the flags of usher.
var ways = []struct {
	name  string
	pid1  bool // if false, the command is a child of PID 1
	usher []string
}{
	{"PID 1", true, []string{"--"}},
	{"not PID 1", false, []string{"--"}},
	{"with duties", false, []string{"--verbose", "--grace", "9s", "--wait", "file:///", "--pre-start", "true",
		"--ready", "file:///", "--post-start", "true", "--post-stop", "true", "--"}},
}

// stage holds the files and the terminal for the two starts of a comparison. Both starts
// use the same files, because the paths of the open files are compared too.
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

// run starts a command by "puppet launch", with the options in launch, waits until the command
// exits, and returns its stdout and its exit code.
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
	// The launcher sets a parent-death signal. execve(2) keeps that signal, and fork(2)
	// clears it. So without nodeathsignal, an app that is started directly would have a
	// parent-death signal, and an app that usher starts would have none.
	inherit := append(slices.Clip(launch), "nodeathsignal=1")
	l := launcher{inherit: inherit, stdin: s.stdin, stdout: s.stdout, stderr: s.stderr, files: s.files}
	if s.tty != nil {
		l.tty, l.stdin = s.tty, s.tty
	}
	code = l.start(s.t, argv...).code()
	return s.printed(s.stdout), code
}

func (s *stage) printed(f *os.File) string {
	text, err := os.ReadFile(f.Name())
	require.NoError(s.t, err)
	return string(text)
}

// own returns the numbers in the output of "puppet state" that may be different at each
// start: the keys of the map are pid, ppid and pgid.
func own(state string) map[string]string {
	numbers := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^own (\w+) (\d+)$`).FindAllStringSubmatch(state, -1) {
		numbers[m[1]] = m[2]
	}
	return numbers
}

// different compares two states of an app: direct is its state without usher, through is
// its state when usher starts it. It returns the lines that differ. It ignores the pid, the
// parent, the process group and the PID namespace, which differ at each start.
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

// sameState starts "puppet state", which prints its state, twice for each element of ways:
// directly, and as the app of usher. The two states must be equal; the function different
// compares them. launch holds options of "puppet launch" for both starts, args are
// arguments of "puppet state", and the functions in prepare may change the files and the
// terminal.
func sameState(t *testing.T, launch, args []string, prepare ...func(*stage)) {
	t.Helper()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, way.pid1)
			for _, f := range prepare {
				f(s)
			}
			app := append([]string{puppet(t), "state"}, args...)
			direct, code := s.run(launch, app...)
			require.Equal(t, 0, code, "exit code of the puppet")
			through, code := s.run(launch, append(append([]string{binary(t)}, way.usher...), app...)...)
			require.Equal(t, 0, code, lastLines(s.printed(s.stderr)))

			assert.Empty(t, different(direct, through))
			numbers := own(through)
			assert.Equal(t, numbers["pid"], numbers["pgid"], "the app must lead its process group")
			assert.Equal(t, pidOf(way.pid1), numbers["ppid"], "usher must be the parent of the app")
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
	t.Run("without usher's variables", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, false)
		direct, _ := s.run([]string{"env=A=1", "env=B=2", "env=A=3"}, puppet(t), "state")
		through, code := s.run([]string{"env=A=1", "env=USHER_GRACE=5s", "env=B=2", "env=USHER_QUIET=true", "env=A=3", "env=USHER_WAIT="}, binary(t), puppet(t), "state")
		require.Equal(t, 0, code, lastLines(s.printed(s.stderr)))
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
				for i, argv := range [][]string{{puppet(t), "state"}, append(append([]string{binary(t)}, way.usher...), puppet(t), "state")} {
					dir := filepath.Join(t.TempDir(), "gone")
					require.NoError(t, os.Mkdir(dir, 0o755))
					text, code := s.run([]string{"chdir=" + dir, "rmdir=" + dir}, argv...)
					require.Equal(t, 0, code, lastLines(s.printed(s.stderr)))
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
		"umask 0":           {"umask=0"},
		"umask 077":         {"umask=077"},
		"few files":         {"limit=7:64:512"},
		"files, as Docker":  {"limit=7:1024:10000"},
		"files, hard limit": {"limit=7:10000:10000"},
		"stack and core":    {"limit=3:1048576:16777216", "limit=4:0:0", "limit=1:1000000:2000000", "limit=2:900000000:-1", "limit=12:1:2", "limit=10:5:6", "limit=6:5000:6000"},
		"priorities":        {"nice=7", "oom=321", "iopriority=16388", "slack=123456"},
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
		sameState(t, []string{"close=3,6", "limit=7:2000:4000", "dup=4:17", "dup=5:200", "dup=7:1500"}, nil, give(8))
	})
	t.Run("with O_NONBLOCK", func(t *testing.T) { sameState(t, []string{"nonblock=3", "nonblock=4", "nonblock=0"}, nil, give(2)) })
	for _, closed := range []string{"0", "1", "2", "0,2", "1,2", "0,1,2"} {
		t.Run("without "+closed, func(t *testing.T) {
			sameState(t, []string{"dup=1:9", "close=" + closed, "env=REPORT=9", "env=PATH=/usr/bin:/bin"}, nil)
		})
	}
}

func TestAppGetsItsSignalMask(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]string{"some": "10,12,34,40", "stop signals": "1,2,3,15", "child and terminal": "17,20,21,22,28", "all": sequence(1, 64)} {
		t.Run(name, func(t *testing.T) { sameState(t, []string{"block=" + block}, nil) })
	}
}

// The app gets the default action of some signals, even if usher inherited them as ignored:
// of SIGCHLD, because usher resets it (see TestAppDoesNotIgnoreItsChildren), and of SIGILL,
// SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSTKFLT, SIGSYS, SIGPROF and the real-time signal 33,
// because package syscall resets them when it forks. The cases below leave these out.
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
		"all": "1,2,3,6,10,12,13,14,15,18,20,21,22,23,24,25,26,28,29,30,32," +
			sequence(34, 64),
		"ignored and blocked": "1,2,10,15,40",
	} {
		t.Run(name, func(t *testing.T) {
			launch := []string{"ignore=" + ignore}
			if name == "ignored and blocked" {
				launch = append(launch, "block="+ignore)
			}
			sameState(t, launch, nil)
		})
	}
}

// If a process ignores SIGCHLD, wait4(2) does not return the exit status of its children.
// Programs do not expect to be started with SIGCHLD ignored. So usher starts the app with
// the default action of SIGCHLD.
func TestAppDoesNotIgnoreItsChildren(t *testing.T) {
	t.Parallel()
	s := newStage(t, false)
	through, code := s.run([]string{"ignore=17,10"}, binary(t), "--grace", "5s", "--pre-start", "true", puppet(t), "state")
	assert.Equal(t, 0, code, "usher must get the exit status of its own children: %s", lastLines(s.printed(s.stderr)))
	assertPrintedMatch(t, through, `SigIgn:\t0000000000000200\n`, "USR1")
}

func sequence(from, to int) string {
	var all []string
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return strings.Join(all, ",")
}

// A process uses the descriptors of socket activation only if LISTEN_PID is its pid
// (sd_listen_fds(3)). If LISTEN_PID is usher's pid, usher sets it to the app's pid.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	sockets := func(s *stage) { s.files = []*os.File{s.stdin, s.stdout} }
	around := func(pid string) []string {
		return []string{"env=A=1", pid, "env=LISTEN_FDS=2", "env=LISTEN_FDNAMES=web:admin", "env=Z=1"}
	}
	t.Run("for usher", func(t *testing.T) { sameState(t, around("listen=1"), nil, sockets) })
	t.Run("for another process", func(t *testing.T) { sameState(t, around("env=LISTEN_PID=2147483647"), nil, sockets) })
	t.Run("empty", func(t *testing.T) { sameState(t, around("env=LISTEN_PID="), nil, sockets) })
	t.Run("not a number", func(t *testing.T) { sameState(t, around("env=LISTEN_PID=self"), nil, sockets) })
}

// When the app has started, usher closes the descriptors that it has passed to the app. So
// the reader of a pipe gets the end of file when the app closes its descriptor. Usher keeps
// stderr, for its log, and as PID 1 also stdin and stdout, because other processes open them
// through /proc/1/fd. Usher also changes its working directory to /.
func TestUsherClosesTheAppsDescriptors(t *testing.T) {
	needBash(t)
	for _, notPID1 := range []bool{false, true} {
		extra, end := newReader(t)
		var files []*os.File
		for range 8 { // descriptors 3 to 10; if usher sorted the numbers as text, 10 would come before 3
			files = append(files, end)
		}
		r := launcher{files: files, hostPID: notPID1}.usher(t, "--", "bash", "-c",
			`for fd in 3 4 5 6 7 8 9 10; do eval "echo $fd >&$fd; exec $fd>&-"; done; exec 1>&-; echo closed >&2; read line`)
		end.Close()
		r.stderr.expect("closed")
		// The reader gets the end of file although usher and the app still run, so both have
		// closed the descriptors.
		assert.Equal(t, "3\n4\n5\n6\n7\n8\n9\n10", extra.rest())
		if notPID1 {
			assert.Empty(t, r.stdout.rest())
		}
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", r.pid()))
		require.NoError(t, err)
		assert.Equal(t, "/", cwd)
		r.in.Close()
		r.code()
		assert.Empty(t, r.stdout.rest())
	}
}

// execve(2) accepts arguments and variables of up to 128 KiB each. In total they may take up
// a quarter of RLIMIT_STACK, and at most 6 MiB. The app gets nearly as much as that. A hook
// gets further variables, so execve(2) of the hook may fail.
func TestLargeArgumentsAndEnvironment(t *testing.T) {
	needRoot(t)
	var stack unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_STACK, &stack))
	room := int(min(stack.Cur/4, 6<<20)) - 2048 // 2048 bytes are left for the other strings, their pointers, and the auxiliary vector
	const longest = 128<<10 - 1                 // 128 KiB include the NUL at the end of a string
	large := func(head string, i int) string {
		size := min(longest, room-len("\x00")-8)
		room -= size + len("\x00") + 8 // 8 bytes for the pointer to the string
		return head + strings.Repeat(string(rune('a'+i%26)), size-len(head))
	}
	args := []string{"--grace", "20s", "--drain", "name=hook echo bye", "--", "sh", "-c",
		exitOnTERM(9)}
	env := []string{"PATH=/bin:/usr/bin"}
	for i := 0; room > 4096; i++ {
		if i%2 == 0 {
			args = append(args, large("", i))
		} else {
			env = append(env, large(fmt.Sprintf("V%d=", i), i))
		}
	}
	r := launcher{env: env}.start(t, append([]string{binary(t)}, args...)...)
	r.stdout.expect("ready")
	app := childrenOf(t, r.pid())
	require.Len(t, app, 1)
	read := func(file string) string {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", app[0], file))
		require.NoError(t, err)
		return string(data)
	}
	same := func(want []string, got string) bool { return strings.Join(want, "\x00")+"\x00" == got }
	assert.True(t, same(env, read("environ")), "the environment differs")
	assert.True(t, same(args[5:], read("cmdline")), "the arguments differ")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 9, r.code())
	assertPrintedMatch(t, r.stderr.rest(), `usher: warning: drain: hook hook failed after \S+: .*argument list too long|usher: drain hook\| bye`)
}
