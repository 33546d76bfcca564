package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

// The tests in this file run usher as the real PID 1 of a new PID namespace: the
// test binary executes itself, and plays usher when it is called so. The apps
// are shells, and one puppet that tells which signals it gets.
func TestMain(m *testing.M) {
	becomePoor() // where bare_test.go asks for it
	if filepath.Base(os.Args[0]) == "usher" {
		main()
	}
	if os.Getenv("TEST_PUPPET") == "blocked" {
		guardDeadline(&supervisor.Config{Grace: time.Second}, supervisor.Event{Kind: supervisor.StopRequested})
		select {}
	}
	if os.Getenv("TEST_PUPPET") == "signals" {
		tellSignals()
		return
	}
	os.Exit(m.Run())
}

// tellSignals prints "ready", then a line for each signal, until its stdin ends.
func tellSignals() {
	inbox, err := signals.Open() // os/signal merges and drops some
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		select {
		case sig := <-inbox.Control:
			fmt.Println("got", int(sig.(syscall.Signal)))
		case sig := <-inbox.Other:
			fmt.Println("got", int(sig.(syscall.Signal)))
		}
	}
}

// world is how usher is started.
type world struct {
	notPID1 bool
	env     []string
	stdin   *os.File
	files   []*os.File // from descriptor 3 on
	stderr  *os.File   // instead of lines
	tty     *os.File   // the controlling terminal, and stdin, stdout
	procfs  bool       // with /proc of its own
}

// running is a started usher.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     *os.File // the app's stdin; its end is the puppets' end
	stdout *reader
	stderr *reader
}

func (w world) start(t *testing.T, args ...string) *running {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := &exec.Cmd{Path: exe, Args: append([]string{"usher"}, args...), Env: w.env}
	if w.env == nil {
		cmd.Env = append(os.Environ(), "TEST_EXE="+exe)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if !w.notPID1 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
		if os.Geteuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
	}
	if w.procfs {
		needRoot(t)
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-c", `mount -t proc proc /proc; exec "$0" "$@"`, usherLink(t, exe)}, args...)
	}
	r := &running{t: t, cmd: cmd}
	cmd.ExtraFiles = w.files
	inR, inW, err := os.Pipe()
	require.NoError(t, err)
	r.in, cmd.Stdin = inW, inR
	if w.stdin != nil {
		cmd.Stdin = w.stdin
	}
	var ends []*os.File
	r.stdout, ends = newReader(t, ends)
	r.stderr, ends = newReader(t, ends)
	cmd.Stdout, cmd.Stderr = ends[0], ends[1]
	if w.stderr != nil {
		cmd.Stderr = w.stderr
	}
	if w.tty != nil {
		cmd.Stdin, cmd.Stdout = w.tty, w.tty
		cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	}
	if err := cmd.Start(); err != nil {
		skip(t, "no PID namespace can be made here: "+err.Error())
	}
	for _, f := range append(ends, inR) {
		f.Close()
	}
	t.Cleanup(func() {
		inW.Close()
		cmd.Process.Kill()
		cmd.Process.Wait()
	})
	return r
}

// usherLink is a path by which the test binary is called "usher".
func usherLink(t *testing.T, exe string) string {
	link := filepath.Join(t.TempDir(), "usher")
	require.NoError(t, os.Symlink(exe, link))
	return link
}

func needBash(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		skip(t, "needs bash")
	}
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "needs root")
	}
}

func (r *running) signal(sig syscall.Signal) {
	require.NoError(r.t, r.cmd.Process.Signal(sig))
}

// code waits for usher's own end.
func (r *running) code() int {
	r.t.Helper()
	state, err := r.cmd.Process.Wait()
	require.NoError(r.t, err)
	return state.ExitCode()
}

// reader is what comes out of one end of a pipe.
type reader struct {
	t   *testing.T
	ch  chan string
	all []string
}

// patience is only ever used up by a test that has failed.
const patience = 2 * time.Minute

func newReader(t *testing.T, ends []*os.File) (*reader, []*os.File) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	return readLines(t, r), append(ends, w)
}

// readLines collects the lines of f until it ends.
func readLines(t *testing.T, f *os.File) *reader {
	l := &reader{t: t, ch: make(chan string, 1<<16)}
	go func() {
		defer close(l.ch)
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			l.ch <- s.Text()
		}
	}()
	return l
}

// unread is the writing end of a pipe that nobody reads, but that stays open.
func unread(t *testing.T) *os.File {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return w
}

// next is the next line, or false at the end.
func (l *reader) next() (string, bool) {
	l.t.Helper()
	select {
	case line, ok := <-l.ch:
		if ok {
			l.all = append(l.all, line)
		}
		return line, ok
	case <-time.After(patience):
		require.FailNow(l.t, "no line", "so far:\n%s", lastLines(strings.Join(l.all, "\n")))
		return "", false
	}
}

// expect reads up to a line that contains text.
func (l *reader) expect(text string) string {
	l.t.Helper()
	for {
		line, ok := l.next()
		require.True(l.t, ok, "the output ended without %q:\n%s", text, lastLines(strings.Join(l.all, "\n")))
		if strings.Contains(line, text) {
			return line
		}
	}
}

// rest is everything to the end.
func (l *reader) rest() string {
	l.t.Helper()
	for {
		if _, ok := l.next(); !ok {
			return strings.Join(l.all, "\n")
		}
	}
}

var puppet = []string{"--", "sh", "-c", `TEST_PUPPET=signals exec "$TEST_EXE"`}

func TestExitCodesOfTheApp(t *testing.T) {
	for code := range 256 {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, code, world{}.start(t, "--", "sh", "-c", fmt.Sprintf("exit %d", code)).code())
		})
	}
}

func TestExitCodesOfDeathsBySignal(t *testing.T) {
	for _, sig := range []int{1, 2, 3, 6, 9, 10, 11, 13, 14, 15, 24, 31, 40, 64} {
		t.Run(fmt.Sprint(sig), func(t *testing.T) {
			t.Parallel()
			// A shell that is killed by the signal it sends to itself; the app is no
			// PID 1, so nothing shields it.
			r := world{}.start(t, "--", "sh", "-c", fmt.Sprintf("kill -%d $$; read line", sig))
			assert.Equal(t, 128+sig, r.code())
		})
	}
}

func TestExitCodesOfACommandThatDoesNotRun(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin") // a directory in it that may not be searched makes it a 126, as for execvp(3)
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	for _, c := range []struct {
		command string
		code    int
		says    string
	}{
		{"no-such-command", 127, "usher: error: cannot run no-such-command: not found"},
		{"/no/such/command", 127, "usher: error: cannot run /no/such/command: not found"},
		{write("plain", "x", 0o644), 126, "permission denied"},
		{dir, 126, "is a directory"},
		{write("orphaned", "#!/no/such/interpreter\n", 0o755), 126, "/no/such/interpreter: no such file"},
		{write("no-hash-bang", "exit 5\n", 0o755), 5, ""},
	} {
		r := world{}.start(t, "--", c.command)
		assert.Equal(t, c.code, r.code(), c.command)
		said := r.stderr.rest()
		assert.Contains(t, said, c.says)
		assert.LessOrEqual(t, len(r.stderr.all), 1, "one clear line:\n%s", said)
	}
}

func TestEverySignalReachesTheApp(t *testing.T) {
	r := world{}.start(t, puppet...)
	r.stdout.expect("ready")
	var sent int
	for n := syscall.Signal(1); n <= 64; n++ {
		if signals.CheckReceivable(n) != nil || n == syscall.SIGTERM || n == syscall.SIGINT {
			continue
		}
		r.signal(n)
		r.stdout.expect(fmt.Sprintf("got %d", n))
		sent++
	}
	assert.Equal(t, 61-2, sent, "all but KILL, STOP, CHLD, and the stop signals below")
	// The stop signals: without --grace they are passed on, as often as they come.
	for _, n := range []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGINT} {
		r.signal(n)
		r.stdout.expect(fmt.Sprintf("got %d", n))
	}
	r.in.Close()
	assert.Equal(t, 0, r.code())
}

func TestSignalsBeforeTheAppAreKeptOrEndTheWait(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	r := world{}.start(t, "--verbose", "--wait", "file://"+ready, "--", "sh", "-c", "read line")
	r.stderr.expect("attempt 1")
	r.signal(syscall.SIGUSR1)
	r.stderr.expect("received SIGUSR1")
	require.NoError(t, os.WriteFile(ready, nil, 0o644))
	assert.Equal(t, 128+int(syscall.SIGUSR1), r.code())

	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		r := world{}.start(t, "--verbose", "--wait", "tcp://127.0.0.1:1", "--", "sh", "-c", "echo started")
		r.stderr.expect("attempt 1")
		r.signal(sig)
		assert.Equal(t, 128+int(sig), r.code())
		assert.Empty(t, r.stdout.rest(), "the app must not be started")
	}
}

func TestOrphansAreReapedInEveryPhase(t *testing.T) {
	const orphans = `for i in 1 2 3 4 5 6 7 8 9 10; do (true &) ; done; `
	r := world{procfs: true}.start(t, "--verbose", "--grace", "20s",
		"--pre-start", "sh -c '"+orphans+"'", "--drain", "sh -c '"+orphans+"'", "--post-stop", "sh -c '"+orphans+"; read x'",
		"--", "sh", "-c", orphans+`trap 'exit 3' TERM; echo ready; while :; do read line || exit 9; done`)
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 3, r.code())
	said := r.stderr.rest()
	assert.GreaterOrEqual(t, strings.Count(said, "orphan"), 30, said)
}

func TestLeftoversFinishTheirWork(t *testing.T) {
	// The app ends at once; its child in another session needs a moment, and says
	// so on the app's stdout.
	r := world{procfs: true}.start(t, "--grace", "20s", "--", "sh", "-c",
		`setsid sh -c 'trap "echo flushed; exit" TERM; echo child; while :; do read line; done' <&0 &
		 trap "exit 4" TERM; while :; do wait; done`)
	r.stdout.expect("child")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 4, r.code())
	assert.Contains(t, r.stdout.rest(), "flushed")
	assert.Contains(t, r.stderr.rest(), "leftovers: sent SIGTERM to 1 process: sh")
}

func TestOnlyTheDeadlineKills(t *testing.T) {
	r := world{}.start(t, "--grace", "2s", "--post-stop", "echo reported", "--", "sh", "-c",
		`trap "" TERM INT; setsid sh -c 'trap "" TERM; while :; do read line; done' <&0 & echo ready; while :; do read line; done`)
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	r.stderr.expect("stop: sent SIGTERM to sh")
	r.signal(syscall.SIGTERM)
	r.signal(syscall.SIGINT)
	assert.Equal(t, 137, r.code())
	r.stdout.rest() // ends: nobody holds the app's stdout any more
	said := r.stderr.rest()
	assert.Contains(t, said, "stop: sh did not exit within ")
	assert.Contains(t, said, "post-stop echo| reported")
	assert.Contains(t, r.stderr.all[len(r.stderr.all)-1], "app was killed by SIGKILL after")
}

func TestHooksAreToldWhyAndTheirOutputIsMarked(t *testing.T) {
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer server.Close()
	r := world{}.start(t, "--grace", "20s",
		"--drain", `sh -c 'echo $USHER_REASON $USHER_SIGNAL $USHER_APP_PID; echo to stderr >&2; printf unended'`,
		"--drain", "method=POST name=quit "+server.URL+"/quit?token=canary",
		"--post-stop", `name=last sh -c 'echo code $USHER_EXIT_CODE, $(($USHER_TIME_LEFT > 0)); read x || echo nothing to read'`,
		"--", "sh", "-c", "trap 'exit 6' TERM; echo ready; while :; do read line; done")
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 6, r.code())
	said := r.stderr.rest()
	assert.Regexp(t, `usher: drain sh\| signal SIGTERM \d+\n`, said)
	assert.Contains(t, said, "usher: drain sh| to stderr\nusher: drain sh| unended\nusher: drain: hook sh finished in ")
	assert.Contains(t, said, "usher: post-stop last| code 6, 1\nusher: post-stop last| nothing to read\n")
	assert.Equal(t, "signal", got.Get("Usher-Reason"))
	assert.Equal(t, "SIGTERM", got.Get("Usher-Signal"))
	assert.NotContains(t, said, "canary")
	assert.Empty(t, strings.TrimPrefix(r.stdout.rest(), "ready"), "stdout is the app's alone")
}

func TestHookThatOverrunsIsKilledAsAGroup(t *testing.T) {
	r := world{procfs: true}.start(t, "--grace", "20s", "--drain", `timeout=0.2s sh -c 'trap "" TERM; sleep 1000 & sleep 1000'`,
		"--", "sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do read line; done")
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 0, r.code())
	said := r.stderr.rest()
	assert.Contains(t, said, "drain: hook sh failed after")
	// What was killed may not have exited yet when usher looks for leftovers. But
	// children that ignore SIGTERM and were not killed would stay until the deadline.
	assert.NotContains(t, said, "leftovers: sent SIGKILL", "the hook's children have gone with it")
}

func TestNoOutputBlocksUsher(t *testing.T) {
	// And hooks that write without end.
	r := world{stderr: unread(t)}.start(t, "--verbose", "--grace", "20s", "--pre-start", "sh -c 'yes | head -c 1000000'",
		"--drain", "timeout=0.3s yes", "--", "sh", "-c", "trap 'exit 8' TERM; echo ready; while :; do read line; done")
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 8, r.code())
}

func TestWhatAHookLeavesRunningKeepsItsOutput(t *testing.T) {
	r := world{}.start(t, "--grace", "20s", "--pre-start", `name=agent sh -c '(trap "seq 3000; echo agent ends; exit" TERM; echo agent ready; while :; do sleep 0.01; done) &'`,
		"--", "sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do read line; done")
	r.stdout.expect("ready")
	r.stderr.expect("agent ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 0, r.code())
	assertPrinted(t, r.stderr.rest(), "usher: pre-start agent| agent ends")
}

func TestAppGetsWhatUsherGot(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	path := "PATH=" + os.Getenv("PATH")
	out, ends := newReader(t, nil)
	// Not by os/exec, which drops one of the two A.
	p, err := os.StartProcess(exe, []string{"usher", "--", "cat", "/proc/self/environ"}, &os.ProcAttr{
		Env: []string{path, "A=1", "USHER_SERVICE_HOST=10.0.0.1", "A=2", "USHER_GRACE=5", "B=x=y"}, Files: []*os.File{nil, ends[0], os.Stderr}})
	require.NoError(t, err)
	ends[0].Close()
	assert.Equal(t, path+"\x00A=1\x00USHER_SERVICE_HOST=10.0.0.1\x00A=2\x00B=x=y\x00", out.rest())
	_, err = p.Wait()
	require.NoError(t, err)

	r := world{}.start(t, "sh", "-c", `printf '%s|' "$@"; pwd; ulimit -Sn`, "0", "", "a b", "$HOME", "*", "--help", "é\x01")
	assert.Equal(t, 0, r.code())
	here, err := os.Getwd()
	require.NoError(t, err)
	assert.Contains(t, r.stdout.rest(), "|a b|$HOME|*|--help|é\x01|"+here)
}

// Whoever waits for the end of the app's output, or of a descriptor that it got,
// must not have to wait for usher. As PID 1 it keeps 0, 1 and 2 for /proc/1/fd.
func TestUsherHoldsNothingOfTheApps(t *testing.T) {
	needBash(t)
	for _, notPID1 := range []bool{false, true} {
		extra, ends := newReader(t, nil)
		var files []*os.File
		for range 8 { // 3 to 10: the order of names is not that of numbers
			files = append(files, ends[0])
		}
		r := world{files: files, notPID1: notPID1}.start(t, "--", "bash", "-c",
			`for fd in 3 4 5 6 7 8 9 10; do eval "echo $fd >&$fd; exec $fd>&-"; done; exec 1>&-; echo closed >&2; read line`)
		ends[0].Close()
		r.stderr.expect("closed")
		// The end of the descriptors comes while usher and the app still live.
		assert.Equal(t, "3\n4\n5\n6\n7\n8\n9\n10", extra.rest())
		if notPID1 {
			assert.Empty(t, r.stdout.rest())
		}
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", r.cmd.Process.Pid))
		require.NoError(t, err)
		assert.Equal(t, "/", cwd)
		r.in.Close()
		r.code()
		assert.Empty(t, r.stdout.rest())
	}
}

func TestNotPID1TouchesOnlyItsOwn(t *testing.T) {
	needRoot(t)
	// PID 1 of this namespace is a shell; usher is its child and has a sibling.
	exe, err := os.Executable()
	require.NoError(t, err)
	script := filepath.Join(t.TempDir(), "outer")
	require.NoError(t, os.WriteFile(script, []byte(`
		sh -c 'trap "echo the innocent got SIGTERM" TERM; while :; do sleep 0.01; done' & innocent=$!
		"$0" --verbose --grace 1s -- sh -c '
			(setsid sh -c "trap \"\" TERM; echo \$\$ >$GRANDCHILD; echo grandchild; while :; do sleep 0.01; done" &)
			read line; echo app ends; exit 3'
		echo code $?
		kill -0 $innocent && echo the innocent lives
		kill -0 $(cat $GRANDCHILD) || echo the grandchild is gone
		kill -9 $innocent`), 0o755))
	cmd := exec.Command("/bin/sh", "-c", `mount -t proc proc /proc; read outer < "$1"; . "$1"`, usherLink(t, exe), script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "GRANDCHILD="+filepath.Join(t.TempDir(), "pid"))
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, ends := newReader(t, nil)
	cmd.Stdout, cmd.Stderr = ends[0], ends[0]
	require.NoError(t, cmd.Start())
	ends[0].Close()
	out.expect("not PID 1: reaping")
	out.expect("grandchild")
	in.Close()
	out.expect("code 3")
	out.expect("the innocent lives")
	out.expect("the grandchild is gone")
	require.NoError(t, cmd.Wait())
	assert.NotContains(t, out.rest(), "the innocent got")
}

func TestTerminalIsTheApps(t *testing.T) {
	ptm, pts := openPTY(t)
	screen := readLines(t, ptm)
	r := world{tty: pts}.start(t, "--grace", "20s", "--drain", "echo drained", "--", "sh", "-c", `TEST_PUPPET=signals exec "$TEST_EXE"`)
	screen.expect("ready")
	group, err := unix.IoctlGetInt(int(ptm.Fd()), unix.TIOCGPGRP)
	require.NoError(t, err)
	assert.NotEqual(t, r.cmd.Process.Pid, group, "the app has the foreground")

	// Ctrl-C: once, to the app alone, so there is no drain. Then a window change.
	_, err = ptm.Write([]byte{3})
	require.NoError(t, err)
	screen.expect("got 2")
	require.NoError(t, unix.IoctlSetWinsize(int(ptm.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 11, Col: 22}))
	screen.expect("got 28")
	_, err = ptm.Write([]byte{4}) // Ctrl-D: the puppet's stdin ends
	require.NoError(t, err)
	assert.Equal(t, 0, r.code())
	assert.Equal(t, 1, strings.Count(strings.Join(screen.all, "\n"), "got 2\r")+strings.Count(strings.Join(screen.all, "\n")+"\n", "got 2\n"))
	assert.NotContains(t, r.stderr.rest(), "drained")
}

func TestWaitOnATerminalHasOneProgressLine(t *testing.T) {
	t.Parallel()
	ptm, pts := openPTY(t)
	require.NoError(t, unix.IoctlSetWinsize(int(ptm.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60}))
	screen := readLines(t, ptm)
	ready := filepath.Join(t.TempDir(), "ready")
	r := world{tty: pts, stderr: pts}.start(t, "--wait", "name=db tcp://127.0.0.1:1", "--wait", "name=flag file://"+ready,
		"--wait-timeout", "2s", "--", "true")
	failed := screen.expect("error: wait: timed out after 2s, 2 targets pending")
	assert.Equal(t, 124, r.code())
	assert.Regexp(t, `^\r\x1b\[Kusher: wait: [\d.ms]+: `, failed, "the progress line comes first")
	assert.Regexp(t, `flag: no such file \(\d+ attempts?\)|db: connection refused \(\d+ attempts?\)`, failed)
	assert.Contains(t, failed, "\r\x1b[Kusher: error: wait: timed out", "and is erased")
	drawn := strings.Split(failed, "\r\x1b[K")
	for _, drawn := range drawn[:len(drawn)-1] {
		assert.Less(t, len(strings.TrimSuffix(drawn, "\r")), 60, "it fits")
	}
	screen.expect("wait: db is not ready after ")

	piped := world{}.start(t, "--wait", "tcp://127.0.0.1:1", "--wait-timeout", "0.2s", "--", "true")
	assert.Equal(t, 124, piped.code())
	assert.NotContains(t, piped.stderr.rest(), "\x1b", "a log has no progress line")
}

func TestShellOnATerminalHasJobControl(t *testing.T) {
	needBash(t)
	ptm, pts := openPTY(t)
	screen := readLines(t, ptm)
	r := world{tty: pts, stderr: pts}.start(t, "--", "bash", "--norc", "-i")
	for _, line := range []string{"sleep 1000 &", "kill %1", "wait", "echo $((6 * 7)) jobs", "exit 5"} {
		_, err := ptm.Write([]byte(line + "\n"))
		require.NoError(t, err)
	}
	screen.expect("42 jobs")
	assert.Equal(t, 5, r.code())
	assert.NotContains(t, strings.Join(screen.all, "\n"), "no job control")
}

// openPTY is a fresh pseudo terminal: both of its ends.
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
	t.Cleanup(func() { ptm.Close(); pts.Close() })
	return ptm, pts
}

// TestManyHooksAndOrphansAtOnce is the race that steals exit statuses from
// os/exec: every command's own code must come through a storm of orphans.
func TestManyHooksAndOrphansAtOnce(t *testing.T) {
	args := []string{"--quiet"}
	for range 100 {
		args = append(args, "--pre-start", "sh -c '(true &); (true &); exit 0'", "--wait", "sh -c '(true &); exit 0'")
	}
	r := world{}.start(t, append(args, "--", "sh", "-c", "exit 42")...)
	assert.Equal(t, 42, r.code(), r.stderr.rest())
}

func TestUnreadOutputTakesNoMemory(t *testing.T) {
	cmd := exec.Command(binary(t), "--pre-start", `sh -c 'head -c 100000000 /dev/zero | tr "\0" x | fold -w 4000'`,
		"--", "sh", "-c", "grep VmHWM /proc/$PPID/status")
	cmd.Stderr = unread(t)
	out, err := cmd.Output()
	require.NoError(t, err)
	var kib int
	_, err = fmt.Sscanf(string(out), "VmHWM: %d kB", &kib)
	require.NoError(t, err)
	assert.Less(t, kib, 16<<10, "100 MB were printed, and nobody read them")
}
