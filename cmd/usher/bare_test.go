package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/signals"
)

// The tests in this file take away from usher what a container may lack, and
// start the real binary as PID 1 of a new PID namespace: the test binary first
// makes itself as poor as the test wants it, then becomes usher.

// poor says how little a process has when it begins. Its exported fields are
// read by the process itself, in becomePoor.
type poor struct {
	Root       string           // it can see no more than this directory
	Proc, Dev  bool             // but these two are mounted there
	ReadOnly   bool             // nothing can be written
	User       int              // its uid and gid; with any but 0 it has no capability
	NoNewPrivs bool             // no set-uid program will help
	Seccomp    syscall.Errno    // what the forbidden calls fail with; 0: they are allowed
	Hangs      uint32           // the number of a system call that never returns
	Blocked    bool             // every signal
	Ignored    []syscall.Signal // these
	Closed     []int            // of the descriptors 0, 1 and 2
	Threads    uint64           // how many threads its user may have; 0: any number
	Traced     bool             // its parent is to be its tracer
	Exit       int              // it ends at once with this, once it is as poor as that
	Tracing    bool             // it does not become Argv, but follows all of Argv's processes with ptrace(2)
	Argv       []string         // the command it becomes

	stderr *os.File // instead of lines
}

// start starts usher as PID 1 of a new PID namespace.
func (p poor) start(t *testing.T, args ...string) *running {
	t.Helper()
	usher := binary(t)
	if p.Root != "" {
		usher = "/usher"
	}
	return p.run(t, append([]string{usher}, args...)...)
}

// run starts any command like that.
func (p poor) run(t *testing.T, argv ...string) *running {
	t.Helper()
	needRoot(t)
	cmd := exec.Command(testBinary(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	p.Argv = argv
	cmd.Env = []string{"PATH=/bin:/usr/bin", p.variable(t), "TEST_EXE=" + testBinary(t)}
	return startPID1(t, cmd, p.stderr)
}

// variable is what makes the test binary poor.
func (p poor) variable(t *testing.T) string {
	t.Helper()
	spec, err := json.Marshal(p)
	require.NoError(t, err)
	return "TEST_POOR=" + string(spec)
}

// startPID1 starts cmd with pipes, and ends it with the test.
func startPID1(t *testing.T, cmd *exec.Cmd, stderr *os.File) *running {
	t.Helper()
	r := &running{t: t, cmd: cmd}
	inR, inW, err := os.Pipe()
	require.NoError(t, err)
	r.in, cmd.Stdin = inW, inR
	var ends []*os.File
	r.stdout, ends = newReader(t, ends)
	r.stderr, ends = newReader(t, ends)
	cmd.Stdout, cmd.Stderr = ends[0], ends[1]
	if stderr != nil {
		cmd.Stderr = stderr
	}
	err = cmd.Start()
	for _, f := range append(ends, inR) {
		f.Close()
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		inW.Close()
		cmd.Process.Kill()
		cmd.Process.Wait()
		if t.Failed() {
			t.Logf("%.200q\nstdout:\n%s\nstderr:\n%s", cmd.Args, lastLines(r.stdout.soFar()), lastLines(r.stderr.soFar()))
		}
	})
	return r
}

// expectInAnyOrder reads up to the last of some lines.
func (l *reader) expectInAnyOrder(lines ...string) {
	l.t.Helper()
	for len(lines) > 0 {
		line, ok := l.next()
		require.True(l.t, ok, "the output ended without %q:\n%s", lines, lastLines(strings.Join(l.all, "\n")))
		lines = slices.DeleteFunc(lines, func(want string) bool { return want == line })
	}
}

// soFar is what has been read, without waiting for more.
func (l *reader) soFar() string {
	for len(l.ch) > 0 {
		l.all = append(l.all, <-l.ch)
	}
	return strings.Join(l.all, "\n")
}

// codeInTime is usher's exit code; an usher that hangs is killed, and fails the
// test.
func (r *running) codeInTime() int {
	r.t.Helper()
	var hangs atomic.Bool
	limit := time.AfterFunc(patience, func() {
		hangs.Store(true)
		r.cmd.Process.Kill()
	})
	defer limit.Stop()
	code := r.code()
	require.False(r.t, hangs.Load(), "usher hangs")
	return code
}

func testBinary(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return exe
}

// hang makes a system call wait until somebody answers for it (seccomp_unotify(2)),
// which nobody does: the listener is inherited, so it stays open.
func hang(call uint32) {
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the call's number, struct seccomp_data
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	listener, _, errno := syscall.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
		uintptr(unsafe.Pointer(&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})))
	if errno != 0 {
		panic(errno)
	}
	_, err := unix.FcntlInt(listener, unix.F_SETFD, 0)
	must(err)
}

// becomePoor is called by TestMain; where it was asked for it does not return.
func becomePoor() {
	spec, asked := os.LookupEnv("TEST_POOR")
	if !asked {
		return
	}
	os.Unsetenv("TEST_POOR")
	var p poor
	must(json.Unmarshal([]byte(spec), &p))
	runtime.LockOSThread() // the mask, the filter and the tracer belong to a thread
	if p.Tracing {
		os.Exit(p.trace())
	}
	p.limitFiles()
	p.limitRights()
	p.limitSignals()
	if p.Traced {
		ptraceMe()
	}
	if p.Exit != 0 {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(p.Exit), 0, 0)
	}
	for _, fd := range p.Closed {
		unix.Close(fd)
	}
	syscall.Exec(p.Argv[0], p.Argv, os.Environ())
	os.Exit(99)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (p poor) limitFiles() {
	if p.Root == "" {
		return
	}
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Mount(p.Root, p.Root, "", unix.MS_BIND, ""))
	if p.Proc {
		must(os.MkdirAll(p.Root+"/proc", 0o755))
		must(unix.Mount("proc", p.Root+"/proc", "proc", 0, ""))
	}
	if p.Dev {
		must(os.MkdirAll(p.Root+"/dev", 0o755))
		must(unix.Mount("/dev", p.Root+"/dev", "", unix.MS_BIND, ""))
	}
	if p.ReadOnly {
		must(unix.Mount("", p.Root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
	must(unix.Chroot(p.Root))
	must(unix.Chdir("/"))
}

func (p poor) limitRights() {
	if p.User != 0 {
		must(syscall.Setgroups(nil))
		must(syscall.Setgid(p.User))
		must(syscall.Setuid(p.User))
	}
	if p.Threads != 0 { // after setuid(2), which would make the next execve(2) fail
		must(unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: p.Threads, Max: p.Threads}))
	}
	if p.NoNewPrivs || p.Seccomp != 0 {
		must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	}
}

func (p poor) limitSignals() {
	for _, sig := range p.Ignored {
		signal.Ignore(sig)
	}
	if p.Blocked {
		var all unix.Sigset_t
		for i := range all.Val {
			all.Val[i] = ^all.Val[i]
		}
		must(unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil))
	}
	if p.Hangs != 0 {
		hang(p.Hangs)
	}
	if p.Seccomp != 0 {
		forbid(p.Seccomp)
	}
}

// forbidden is what the strict profiles of container runtimes refuse, and all
// newer calls, for each of which a program should have an older one.
var forbidden = []uint32{
	unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PIDFD_GETFD, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_PRLIMIT64, unix.SYS_SETRLIMIT, unix.SYS_SETPRIORITY, unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETSCHEDULER,
	unix.SYS_CLONE3, unix.SYS_CLOSE_RANGE, unix.SYS_OPENAT2, unix.SYS_FACCESSAT2, unix.SYS_STATX, unix.SYS_EPOLL_PWAIT2, unix.SYS_EXECVEAT,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_USERFAULTFD, unix.SYS_MEMFD_CREATE,
	unix.SYS_RSEQ, unix.SYS_MEMBARRIER, unix.SYS_MBIND, unix.SYS_SET_MEMPOLICY, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_REBOOT, unix.SYS_PERSONALITY,
	unix.SYS_SIGNALFD4, unix.SYS_TIMERFD_CREATE, unix.SYS_INOTIFY_INIT1, unix.SYS_FANOTIFY_INIT, unix.SYS_SPLICE, unix.SYS_COPY_FILE_RANGE,
	unix.SYS_SENDFILE, unix.SYS_WAITID, unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_CAPSET, unix.SYS_RT_SIGQUEUEINFO,
}

// forbid makes the forbidden calls of this thread, and of all it becomes, fail.
func forbid(errno syscall.Errno) {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the call's number, struct seccomp_data
	for i, number := range forbidden {
		toTheEnd := uint8(len(forbidden) - i)
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jt: toTheEnd})
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)})
	must(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})), 0, 0))
	runtime.KeepAlive(program)
}

// bareRoot is a directory with nothing in it but usher, a static busybox, and
// links for some of its commands.
func bareRoot(t *testing.T) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		skip(t, "no busybox on this machine (Debian: busybox-static)")
	}
	root := t.TempDir()
	require.NoError(t, os.Chmod(root, 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(root, "bin"), 0o755))
	for to, from := range map[string]string{"usher": binary(t), "bin/busybox": busybox} {
		data, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, to), data, 0o755))
	}
	for _, name := range []string{"sh", "true", "cat", "sleep", "setsid", "kill", "yes", "seq", "ps"} {
		require.NoError(t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
	}
	return root
}

// orphan is a shell command that leaves a process to PID 1: a child that ends its
// own parent, and lives until that has gone. A shell's "&" would want a /dev/null.
const orphan = `(sh -c "kill -PIPE \$PPID; while kill -0 \$PPID 2>&-; do :; done"; :); `

// A whole life, with something in every phase, must be the same whatever is
// missing.
func TestUsherNeedsNothing(t *testing.T) {
	needRoot(t)
	for name, p := range map[string]poor{
		"no /proc, /dev, /tmp, /etc":            {},
		"with /proc and /dev":                   {Proc: true, Dev: true},
		"a read-only root":                      {ReadOnly: true},
		"uid 65534, no capability":              {User: 65534, NoNewPrivs: true},
		"seccomp: EPERM":                        {Seccomp: unix.EPERM},
		"seccomp: ENOSYS, as an old kernel has": {Seccomp: unix.ENOSYS},
		"SIGCHLD ignored":                       {Ignored: []syscall.Signal{syscall.SIGCHLD}},
		"all of it":                             {ReadOnly: true, User: 65534, NoNewPrivs: true, Seccomp: unix.EPERM, Ignored: []syscall.Signal{syscall.SIGCHLD}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.Root = bareRoot(t)
			r := p.start(t, "--verbose", "--grace", "8s", "--health", freeAddress(t),
				"--wait", "file:///usher", "--wait", "name=asked sh -c '"+orphan+"exit 0'",
				"--wait", "name=nowhere optional=0.05s interval=0.01s tcp://127.0.0.1:1",
				"--pre-start", "name=begin sh -c 'echo before; "+orphan+"exit 0'",
				"--ready", "file:///bin/sh", "--post-start", "name=after sh -c 'echo comes up'",
				"--drain", "name=bad sh -c 'echo $USHER_SIGNAL; exit 4'", "--drain", "name=url http://127.0.0.1:1/",
				"--post-stop", "name=last sh -c 'echo code $USHER_EXIT_CODE'",
				"--", "sh", "-c", orphan+orphan+`
					(setsid sh -c 'kill -PIPE $PPID; trap "echo flushed; exit" TERM; echo child; while read line; do :; done'; :)
					trap "echo USR1" USR1; trap "exit 7" TERM; echo ready
					while :; do read line; done`)
			r.stdout.expectInAnyOrder("child", "ready")
			r.stderr.expect("post-start: hook after finished")
			r.signal(syscall.SIGUSR1)
			r.stdout.expect("USR1")
			r.signal(syscall.SIGTERM)
			assert.Equal(t, 7, r.codeInTime())
			assert.Contains(t, r.stdout.rest(), "flushed", "what the app leaves is given time")
			said := r.stderr.rest()
			assert.Contains(t, r.stderr.all[0], "listening for health checks on ")
			for _, fact := range []string{"pre-start begin| before\n", "post-start after| comes up\n",
				"drain bad| SIGTERM\n", "drain: hook bad failed after", "exit status 4", "drain: hook url failed after", "connection refused",
				"leftovers: sent SIGTERM to ", "post-stop last| code 7\n", "app exited 7 after", "warning: wait: optional nowhere not ready after "} {
				assert.Contains(t, said, fact)
			}
			assert.GreaterOrEqual(t, strings.Count(said, ": reaped orphan "), 4, said)
			for _, line := range r.stderr.all {
				assert.True(t, strings.HasPrefix(line, "usher: "), "not usher's own line: %s", line)
			}
		})
	}
}

// Each of them ends usher, and says in words what is missing.
func TestWhatIsMissingIsNamed(t *testing.T) {
	needRoot(t)
	root := bareRoot(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--", "no-such-command"}, 127, "cannot run no-such-command: not found"},
		{[]string{"--pre-start", "no-such-command", "--", "true"}, 125, "cannot run no-such-command: not found"},
		{[]string{"--wait-timeout", "0.2s", "--wait", "http://no-such-host.invalid/", "--", "true"}, 124, "error: wait: http://no-such-host.invalid/ is not ready after "},
		{[]string{"--version"}, 0, ""},
		{[]string{"--wait", "file:///bin"}, 0, ""},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			r := poor{Root: root, ReadOnly: true, User: 65534, NoNewPrivs: true, Seccomp: unix.EPERM}.start(t, c.args...)
			assert.Equal(t, c.code, r.codeInTime())
			said := r.stderr.rest()
			assert.Contains(t, said, c.says)
			assert.NotContains(t, said, "goroutine")
		})
	}
}

// Ten processes and threads, 16 MiB for all of them, and much to do.
func TestDockerTightLimits(t *testing.T) {
	needDocker(t)
	t.Parallel()
	image := usherImage(t, busyboxImage(t), `ENTRYPOINT ["/usher"]`)
	const printed = 300_000
	words := []string{"--read-only", "--user", "65534:65534", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--pids-limit", "10", "--memory", "16m", "--memory-swap", "16m", image, "--grace", "60s", "--quiet"}
	for i := range 200 {
		words = append(words, "--wait", fmt.Sprintf("optional=0.5s tcp://127.0.0.1:%d", i+1), "--wait", "file:///usher")
	}
	app := startContainer(t, append(words, "--pre-start", fmt.Sprint("name=loud seq ", printed), "--drain", "http://127.0.0.1:1/", "--drain", "name=begin echo drained",
		"--post-stop", "name=last echo last", "--", "sh", "-c", `trap "kill \$!; exit 7" TERM; echo up; while :; do sleep 100000 & wait; done`)...)
	app.stdout().wait("up")
	// usher keeps what Docker has not read yet, up to a limit. A line that comes when
	// the limit is reached is dropped, and at its exit usher does not wait long for
	// Docker to read the rest. So the stop waits until Docker has read everything:
	// each line of the hook, or the number of those that were dropped.
	log, dropped := app.all(), regexp.MustCompile(`usher: warning: (\d+) lines? dropped`)
	for seen := 0; seen < printed; {
		require.True(t, log.Scan(), "the log ended after %d lines", seen)
		if strings.Contains(log.Text(), "usher: pre-start loud| ") {
			seen++
		} else if m := dropped.FindStringSubmatch(log.Text()); m != nil {
			n, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			seen += n
		}
	}
	app.stop("--time", "60")
	assert.Equal(t, 7, app.exitCode())
	_, stderr := app.logs()
	assertPrinted(t, stderr, "usher: drain begin| drained\n")
	assertPrinted(t, stderr, "usher: post-stop last| last\n")
	killed := app.run(t, nil, "inspect", "--format", "{{.State.OOMKilled}}", app.id)
	assert.Equal(t, "false\n", killed)
}

// openOnes is a shell command that exits with 64, plus 1, 2 and 4 for each of
// the descriptors 0, 1 and 2 that is open: dup2(2) says so, and needs no /dev.
const openOnes = `n=64; true 9<&0 && n=$((n+1)); true 9<&1 && n=$((n+2)); true 9<&2 && n=$((n+4)); exit $n`

func TestClosedDescriptorsStayClosed(t *testing.T) {
	needRoot(t)
	root := bareRoot(t)
	withDev := bareRoot(t)
	for open := range 8 {
		var closed []int
		for fd := range 3 {
			if open&(1<<fd) == 0 {
				closed = append(closed, fd)
			}
		}
		for _, p := range []poor{{Root: root, Closed: closed}, {Root: withDev, Dev: true, Proc: true, Closed: closed}} {
			t.Run(fmt.Sprintf("closed %v, dev %v", closed, p.Dev), func(t *testing.T) {
				t.Parallel()
				require.Equal(t, 64+open, p.run(t, "/bin/busybox", "sh", "-c", openOnes).codeInTime(), "the app without usher")
				assert.Equal(t, 64+open, p.start(t, "--", "sh", "-c", openOnes).codeInTime())

				// A pipe to a hook, or /dev/null, may get the number of a closed one.
				mark := fmt.Sprintf("/mark%d", open)
				assert.Equal(t, 64+open, p.start(t, "--verbose", "--grace", "20s",
					"--wait", "sh -c 'true'", "--pre-start", "sh -c 'echo begin'",
					"--post-stop", "sh -c 'seq 1000; read line || echo $USHER_EXIT_CODE >"+mark+"'",
					"--", "sh", "-c", openOnes).codeInTime(), "with hooks")
				got, err := os.ReadFile(p.Root + mark)
				require.NoError(t, err)
				assert.Equal(t, fmt.Sprintln(64+open), string(got), "the hook has run")
			})
		}
	}
}

// The log goes to a pipe that is full from the beginning, or to one that nobody
// will ever read.
func TestStderrThatTakesNothing(t *testing.T) {
	for name, stderr := range map[string]func(*testing.T) *os.File{"full": full, "broken": broken} {
		for _, log := range []string{"text", "json"} {
			t.Run(name+" "+log, func(t *testing.T) {
				t.Parallel()
				for _, c := range []struct {
					code int
					stop bool
					args []string
				}{
					{0, false, []string{"--", "true"}},
					{127, false, []string{"--", "/no/such/command"}},
					{125, false, []string{"--no-such-flag"}},
					{124, false, []string{"--wait-timeout", "0.1s", "--wait", "tcp://127.0.0.1:1", "--", "true"}},
					{9, true, []string{"--grace", "20s", "--drain", "seq 100000", "--post-stop", "echo bye", "--",
						"sh", "-c", `trap "exit 9" TERM; echo up; while :; do read line; done`}},
				} {
					r := poor{stderr: stderr(t)}.start(t, append([]string{"--verbose", "--log", log}, c.args...)...)
					if c.stop {
						r.stdout.expect("up")
						r.signal(syscall.SIGTERM)
					}
					assert.Equal(t, c.code, r.codeInTime(), c.args)
				}
			})
		}
	}
}

// full is a pipe without any room.
func full(t *testing.T) *os.File {
	w := unread(t)
	raw, err := w.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		require.NoError(t, syscall.SetNonblock(int(fd), true))
		for _, piece := range [][]byte{make([]byte, 4096), make([]byte, 1)} {
			for err == nil {
				_, err = syscall.Write(int(fd), piece)
			}
			assert.Equal(t, syscall.EAGAIN, err)
			err = nil
		}
		require.NoError(t, syscall.SetNonblock(int(fd), false))
	}))
	return w
}

// broken is a pipe that can have no reader any more.
func broken(t *testing.T) *os.File {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

// execve(2) takes strings of 128 KiB and, for all of them, a quarter of the
// stack's limit. A hook gets a few variables more than usher got, for which
// there may be no room; the app needs less.
func TestArgumentsAndEnvironmentAsLargeAsCanBe(t *testing.T) {
	needRoot(t)
	var stack unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_STACK, &stack))
	room := int(min(stack.Cur/4, 6<<20)) - 2048 // the strings beside the large ones, their pointers, and a little
	const longest = 128<<10 - 1                 // without its NUL
	large := func(head string, i int) string {
		size := min(longest, room-len("\x00")-8)
		room -= size + len("\x00") + 8 // a pointer
		return head + strings.Repeat(string(rune('a'+i%26)), size-len(head))
	}
	args := []string{"--grace", "20s", "--drain", "name=hook echo bye", "--", "sh", "-c",
		`trap "exit 9" TERM; echo up; while :; do read line; done`}
	env := []string{"PATH=/bin:/usr/bin"}
	for i := 0; room > 4096; i++ {
		if i%2 == 0 {
			args = append(args, large("", i))
		} else {
			env = append(env, large(fmt.Sprintf("V%d=", i), i))
		}
	}
	cmd := exec.Command(binary(t), args...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	r := startPID1(t, cmd, nil)
	r.stdout.expect("up")
	app := childrenOf(t, cmd.Process.Pid)
	require.Len(t, app, 1)
	read := func(file string) string {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", app[0], file))
		require.NoError(t, err)
		return string(data)
	}
	same := func(want []string, got string) bool { return strings.Join(want, "\x00")+"\x00" == got }
	assert.True(t, same(env, read("environ")), "the environment is another")
	assert.True(t, same(args[5:], read("cmdline")), "the arguments are others")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 9, r.codeInTime())
	assert.Regexp(t, `usher: warning: drain: hook hook failed after \S+: .*argument list too long|usher: drain hook\| bye`, r.stderr.rest())
}

// childrenOf are the children of a process that have not been reaped, zombies
// too.
func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	var children []int
	for _, file := range stats {
		stat, _ := os.ReadFile(file) // the process may have ended since
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			require.NoError(t, err)
			children = append(children, child)
		}
	}
	return children
}

// A process that was started with every signal blocked must still hear them;
// what the app does about its mask is the app's business.
func TestStartedWithEverySignalBlocked(t *testing.T) {
	r := poor{Blocked: true}.start(t, puppet...)
	r.stdout.expect("ready")
	for n := syscall.Signal(1); n <= 64; n++ {
		if signals.CheckReceivable(n) == nil && n != syscall.SIGTERM {
			r.signal(n)
			r.stdout.expect(fmt.Sprintf("got %d", n))
		}
	}
	r.signal(syscall.SIGTERM)
	r.stdout.expect("got 15")
	r.in.Close()
	assert.Equal(t, 0, r.codeInTime())

	r = poor{Blocked: true}.start(t, "--verbose", "--wait", "tcp://127.0.0.1:1", "--", "true")
	r.stderr.expect("attempt 1")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 143, r.codeInTime())

	// It cannot hear TERM; the deadline ends it.
	r = poor{Blocked: true}.start(t, "--grace", "1s", "--", "sh", "-c", `echo up; exec sleep 100000`)
	r.stdout.expect("up")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 137, r.codeInTime())
}

// The user of a container may have ten threads, as many as "docker run
// --pids-limit 10" gives to root.
func TestFewThreadsForTheUser(t *testing.T) {
	needRoot(t)
	root := bareRoot(t)
	for threads := uint64(1); threads <= 12; threads++ {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			t.Parallel()
			r := poor{Root: root, User: freshUser(), Threads: threads}.start(t, "--", "/bin/sh", "-c", "exit 7")
			code, said := r.codeInTime(), r.stderr.rest()
			if threads >= 10 {
				assert.Equal(t, 7, code)
				assert.Empty(t, said)
				return
			}
			// Not even Go's runtime may have enough: then it ends with 2.
			assert.Contains(t, []int{7, 125, 126, 2}, code, lastLines(said))
		})
	}
}

// freshUser is a uid that nobody else has: RLIMIT_NPROC counts what a user has on
// the whole machine.
func freshUser() int { return 2_000_000_000 + os.Getpid()*100 + int(users.Add(1)) }

var users atomic.Int64

// A neighbour of the same user, who has no limit, has taken all that usher may
// have.
func TestForkThatFails(t *testing.T) {
	needRoot(t)
	const eagain = "resource temporarily unavailable"
	const limit = 40
	fill := func(t *testing.T, user int) {
		script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do sleep 100000 & i=$((i+1)); done; echo full; read line`, limit)
		poor{User: user}.run(t, "/bin/sh", "-c", script).stdout.expect("full")
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"the app's":   {nil, 126, "usher: error: cannot run sh: " + eagain},
		"pre-start's": {[]string{"--pre-start", "name=hook true"}, 125, "cannot run true: " + eagain},
		"with a wait": {[]string{"--grace", "5s", "--post-stop", "name=hook true"}, 126, "post-stop: hook hook failed after"},
		"in json":     {[]string{"--log", "json"}, 126, `"msg":"cannot run sh: ` + eagain + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, user := bareRoot(t), freshUser()
			r := poor{Root: root, User: user, Threads: limit}.start(t, slices.Concat(
				[]string{"--verbose", "--wait", "name=ready file:///ready"}, c.args, []string{"--", "sh", "-c", "exit 7"})...)
			r.stderr.expect("attempt 1")
			fill(t, user)
			require.NoError(t, os.WriteFile(filepath.Join(root, "ready"), nil, 0o644))
			assert.Equal(t, c.code, r.codeInTime())
			assert.Contains(t, r.stderr.rest(), c.says)
		})
	}
	t.Run("a probe's", func(t *testing.T) {
		t.Parallel()
		user := freshUser()
		r := poor{Root: bareRoot(t), User: user, Threads: limit}.start(t, "--verbose", "--wait", "name=probe cat /ready", "--", "true")
		r.stderr.expect("attempt 1 failed: exit status 1")
		fill(t, user)
		r.stderr.expect("cannot run cat: " + eagain)
		r.signal(syscall.SIGTERM)
		assert.Equal(t, 143, r.codeInTime())
	})
	t.Run("on the way down", func(t *testing.T) {
		t.Parallel()
		user := freshUser()
		r := poor{Root: bareRoot(t), User: user, Threads: limit}.start(t, "--grace", "20s", "--drain", "name=hook true", "--drain", "http://127.0.0.1:1/", "--post-stop", "name=last true",
			"--", "sh", "-c", `trap "exit 7" TERM; echo up; while :; do read line; done`)
		r.stdout.expect("up")
		fill(t, user)
		r.signal(syscall.SIGTERM)
		assert.Equal(t, 7, r.codeInTime())
		said := r.stderr.rest()
		assert.Regexp(t, `usher: warning: drain: hook hook failed after \S+: .*`+eagain, said)
		assert.Regexp(t, `usher: warning: post-stop: hook last failed after \S+: .*`+eagain, said)
		assert.Contains(t, said, "connection refused", "what needs no fork is still done")
	})
}

// Orchestrators change their minds early: SIGTERM comes at any moment, from the
// very first.
func TestTermAtEveryMomentOfTheStart(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const tries, within = 300, 20 * time.Millisecond
	usher := binary(t)
	codes := make([]int, tries)
	unheard := make([]bool, tries)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < tries; i = next.Add(1) - 1 {
				codes[i], unheard[i] = termAfter(t, usher, within*time.Duration(i)/tries)
			}
		})
	}
	workers.Wait()
	other := map[int]int{}
	early := 0
	for i, code := range codes {
		if code != 143 {
			other[code]++
			t.Logf("after %v: exit code %d", within*time.Duration(i)/tries, code)
		}
		if unheard[i] {
			early++
		}
	}
	assert.Empty(t, other, "exit codes other than 143, and how often")
	if runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" {
		assert.Less(t, early, tries/2, "sent before usher's first instruction: the test proves little")
	}
}

// termAfter starts usher, sends TERM after a while, and returns usher's exit
// code. The kernel drops a signal for a PID 1 that neither blocks it nor has a
// handler for it: so it does before the first instruction, whatever the program.
// Where that may have been so, TERM is sent again once the app runs.
func termAfter(t *testing.T, usher string, while time.Duration) (code int, early bool) {
	cmd := exec.Command(usher, "--", "sh", "-c", "echo up; exec sleep 100000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if !assert.NoError(t, err) || !assert.NoError(t, cmd.Start()) {
		return -1, false
	}
	sent := make(chan struct{})
	time.AfterFunc(while, func() {
		defer close(sent)
		early = !hasBegun(cmd.Process.Pid)
		cmd.Process.Signal(syscall.SIGTERM)
	})
	limit := time.AfterFunc(patience, func() { cmd.Process.Kill() }) // -1: a hang
	defer limit.Stop()
	n, _ := stdout.Read(make([]byte, 16))
	<-sent
	if early && n > 0 {
		cmd.Process.Signal(syscall.SIGTERM)
	}
	cmd.Wait()
	return cmd.ProcessState.ExitCode(), early
}

// hasBegun reports whether usher has blocked the signals, as it does first of
// all. Which have a handler says nothing: until the kernel has done with its
// execve(2), a process has those of the program that it was before.
func hasBegun(usher int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", usher))
	_, mask, _ := strings.Cut(string(status), "\nSigBlk:\t")
	mask, _, _ = strings.Cut(mask, "\n")
	set, err := strconv.ParseUint(mask, 16, 64)
	return err == nil && set&(1<<(syscall.SIGUSR1-1)) != 0 // in no phase is this unblocked
}

// The children's ends must not keep a stop waiting: not those of orphans, which
// never stop coming, and not signals of that number from anybody.
func TestTermInAStormOfSIGCHLD(t *testing.T) {
	needRoot(t)
	t.Parallel()
	r := poor{}.start(t, "--grace", "20s", "--drain", "echo drained", "--", "sh", "-c",
		`(while :; do (true &); done) & (while :; do (true &); done) & trap "exit 9" TERM; echo up; while :; do wait; done`)
	r.stdout.expect("up")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				r.cmd.Process.Signal(syscall.SIGCHLD)
			}
		}
	}()
	r.signal(syscall.SIGTERM)
	r.stderr.expect("drain echo| drained")
	code := r.codeInTime()
	close(stop)
	<-stopped
	assert.Equal(t, 9, code)
}

func TestThousandsOfOrphansAtOnce(t *testing.T) {
	needRoot(t)
	t.Parallel()
	// All of them live until the pipe ends that they read; then they end together.
	const orphans = 2000
	r := poor{}.start(t, "--verbose", "--", "busybox", "sh", "-c", fmt.Sprintf(`
		mkfifo "$0" && exec 3<>"$0" 4<"$0" && rm "$0"
		i=0; while [ $i -lt %d ]; do (exec 3<&-; read line <&4 &); i=$((i+1)); [ $((i%%100)) != 0 ] || echo $i; done
		echo made; read line; exec 3<&- 4<&-; echo ended; read line; exit 11`, orphans), filepath.Join(t.TempDir(), "fifo"))
	r.stdout.expect("made")
	pid := r.cmd.Process.Pid
	require.Len(t, childrenOf(t, pid), orphans+1, "the app and the orphans")
	_, err := r.in.WriteString("\n")
	require.NoError(t, err)
	r.stdout.expect("ended")
	for reaped := 0; reaped < orphans; {
		line, ok := r.stderr.next()
		require.True(t, ok, "usher ended after %d", reaped)
		if strings.Contains(line, ": reaped orphan ") {
			reaped++
		}
	}
	assert.Len(t, childrenOf(t, pid), 1, "only the app is left")
	r.in.Close()
	assert.Equal(t, 11, r.codeInTime())
}

func TestAppThatDaemonizes(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		poor
		args []string
		says string
	}{
		{poor{Proc: true}, nil, "usher: warning: sh exited and left 1 process running: sleep (the kernel kills them with PID 1: end the script with exec, or give --grace)"},
		{poor{Proc: true}, []string{"--grace", "20s"}, "usher: warning: sh exited and left 1 process running: sleep (run the server in the foreground, with exec)"},
		{poor{}, nil, "usher: warning: sh exited and left other processes running (the kernel kills them with PID 1: end the script with exec, or give --grace)"},
	} {
		t.Run(fmt.Sprintf("proc %v %v", c.Proc, c.args), func(t *testing.T) {
			t.Parallel()
			c.Root = bareRoot(t)
			r := c.start(t, append(c.args, "--", "sh", "-c", `(setsid sh -c 'kill -PIPE $PPID; echo daemon; exec sleep 100000'; :); read line; exit 3`)...)
			r.stdout.expect("daemon")
			r.in.Close()
			assert.Equal(t, 3, r.codeInTime())
			r.stdout.rest() // ends: the daemon has gone with its PID namespace
			// The daemon may not have become sleep yet, and busybox executes /proc/self/exe.
			said := regexp.MustCompile(`running: (sh|exe) `).ReplaceAllString(r.stderr.rest()+"\n", "running: sleep ")
			assert.Contains(t, said, c.says+"\n")
		})
	}
}

func TestAppThatStopsItself(t *testing.T) {
	needRoot(t)
	const app = `trap 'echo USR1' USR1; trap "exit 5" TERM; echo up; kill -STOP $$; echo goes on; while :; do read line; done`
	stopped := func(t *testing.T, args ...string) *running {
		r := poor{}.start(t, append(append([]string{"--verbose"}, args...), "--", "sh", "-c", app)...)
		r.stdout.expect("up")
		r.waitForApp("T")
		r.signal(syscall.SIGUSR1)
		r.stderr.expect("forwarded SIGUSR1") // usher runs, and the app is no zombie to it
		return r
	}
	t.Run("continued", func(t *testing.T) {
		t.Parallel()
		r := stopped(t)
		r.signal(syscall.SIGCONT)
		r.stdout.expect("USR1")
		r.stdout.expect("goes on")
		r.signal(syscall.SIGTERM)
		assert.Equal(t, 5, r.codeInTime())
	})
	t.Run("continued by usher, with its stop signal", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{nil, {"--grace", "20s"}, {"--group", "--grace", "20s"}} {
			r := stopped(t, args...)
			r.signal(syscall.SIGTERM)
			assert.Equal(t, 5, r.codeInTime(), "%v", args)
		}
	})
}

// waitForApp looks at usher's only child until it is in a state. Nothing tells
// of it but /proc: usher is the one to whom the kernel tells it.
func (r *running) waitForApp(letter string) {
	r.t.Helper()
	children := childrenOf(r.t, r.cmd.Process.Pid)
	require.Len(r.t, children, 1)
	for limit := time.After(patience); state(children[0]) != letter; {
		select {
		case <-limit:
			require.FailNow(r.t, "the app does not stop")
		default:
		}
	}
}

// state is the letter of proc_pid_stat(5), "" for a process that has gone.
func state(pid int) string {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	letter, _, _ := strings.Cut(rest, " ")
	return letter
}

// ptraceMe makes the parent of this process its tracer: it stops at every
// signal, and says so to wait4(2) as if it had been asked. First it blocks
// SIGURG, by which the Go runtime interrupts a goroutine that has run for 10 ms:
// it would stop at that one, before it has become Argv.
func ptraceMe() {
	var urgent unix.Sigset_t
	urgent.Val[0] = 1 << (syscall.SIGURG - 1)
	must(unix.PthreadSigmask(unix.SIG_BLOCK, &urgent, nil))
	_, _, errno := syscall.RawSyscall(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0)
	if errno != 0 {
		panic(errno)
	}
}

// trace runs Argv under ptrace(2), with all that comes of it, as strace -f does.
// It returns Argv's exit code once the last of them has ended.
func (p poor) trace() (code int) {
	first, err := syscall.ForkExec(p.Argv[0], p.Argv, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Ptrace: true}})
	must(err)
	known, ended := map[int]bool{}, 0
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, unix.WALL, nil)
		if err == syscall.ECHILD {
			fmt.Println("traced to the end:", ended)
			return code
		}
		must(err)
		if ws.Exited() || ws.Signaled() {
			ended++
			if pid == first {
				code = ws.ExitStatus()
			}
			continue
		}
		sig := ws.StopSignal()
		switch {
		case !known[pid]: // its first stop is the kernel's
			known[pid], sig = true, 0
			if pid == first {
				must(syscall.PtraceSetOptions(pid, unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK|unix.PTRACE_O_TRACECLONE))
			}
		case sig == syscall.SIGTRAP: // an event, or the end of an execve(2)
			sig = 0
		}
		syscall.PtraceCont(pid, int(sig)) // ESRCH: killed since
	}
}

// A stop that is for a tracer is neither an end nor a stop for usher; and what
// ends under a tracer ends for usher when the tracer has seen it.
func TestTracedProcesses(t *testing.T) {
	needRoot(t)
	t.Run("the app's whole tree, by the app", func(t *testing.T) {
		t.Parallel()
		tracer := poor{Tracing: true, Argv: []string{"/bin/sh", "-c",
			`i=0; while [ $i -lt 20 ]; do (true &); i=$((i+1)); done; echo up; read line; exit 6`}}
		r := poor{}.start(t, "--verbose", "--", "env", tracer.variable(t), testBinary(t))
		r.stdout.expect("up")
		r.signal(syscall.SIGWINCH)
		r.stderr.expect("forwarded SIGWINCH")
		r.in.Close()
		assert.Equal(t, 6, r.codeInTime())
		assert.Contains(t, r.stdout.rest(), "traced to the end: 41", "the shell, and two for each orphan")
		assert.Equal(t, 20, strings.Count(r.stderr.rest(), ": reaped orphan "), "those are usher's to reap too")
	})
	t.Run("the app, by a debugger", func(t *testing.T) {
		t.Parallel()
		r := poor{}.start(t, "--verbose", "--", "sh", "-c",
			`trap 'echo USR1' USR1; trap "exit 7" TERM; echo up; while :; do read line; done`)
		r.stdout.expect("up")
		app := childrenOf(t, r.cmd.Process.Pid)
		require.Len(t, app, 1)

		runtime.LockOSThread() // the tracer is a thread
		defer runtime.UnlockOSThread()
		gone := false
		defer time.AfterFunc(patience, func() { r.cmd.Process.Kill() }).Stop()
		stops := func() syscall.WaitStatus {
			var ws syscall.WaitStatus
			_, err := syscall.Wait4(app[0], &ws, unix.WALL, nil)
			require.NoError(t, err)
			gone = ws.Exited() || ws.Signaled()
			return ws
		}
		defer func() { // its PID namespace does not end before its tracer has seen it
			for !gone {
				syscall.Kill(app[0], syscall.SIGKILL)
				stops()
			}
		}()
		require.NoError(t, syscall.PtraceAttach(app[0]))
		require.Equal(t, syscall.SIGSTOP, stops().StopSignal())
		require.NoError(t, syscall.PtraceCont(app[0], 0))
		for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM} {
			r.signal(sig)
			require.Equal(t, sig, stops().StopSignal())
			// It waits for the tracer; meanwhile usher is what it was.
			r.signal(syscall.SIGWINCH)
			r.stderr.expect("forwarded SIGWINCH")
			require.NoError(t, syscall.PtraceCont(app[0], int(sig)))
			require.Equal(t, syscall.SIGWINCH, stops().StopSignal())
			require.NoError(t, syscall.PtraceCont(app[0], 0))
			if sig == syscall.SIGUSR1 {
				r.stdout.expect("USR1")
			}
		}
		for stops(); !gone; stops() {
			require.NoError(t, syscall.PtraceCont(app[0], 0))
		}
		assert.Equal(t, 7, r.codeInTime())
	})
	t.Run("the app, by usher itself", func(t *testing.T) {
		t.Parallel()
		// A program that does not like debuggers asks its parent to trace it. It
		// stops at its first signal, execve(2)'s SIGTRAP, and nobody continues it.
		app := poor{Traced: true, Argv: []string{"/bin/sh", "-c", "exit 5"}}
		r := poor{}.start(t, "--verbose", "--grace", "1s", "--", "env", app.variable(t), testBinary(t))
		r.stderr.expect("started, pid")
		r.waitForApp("t")
		r.signal(syscall.SIGUSR1)
		r.stderr.expect("forwarded SIGUSR1")
		r.signal(syscall.SIGTERM)
		assert.Equal(t, 137, r.codeInTime())

		app.Exit = 8
		r = poor{}.start(t, "--", "env", app.variable(t), testBinary(t))
		assert.Equal(t, 8, r.codeInTime())
	})
}

// Not PID 1 and without --grace, usher leaves what the app has left; it waits
// for nobody who holds what was the app's.
func TestGrandchildHoldsStdout(t *testing.T) {
	// Whoever reads it ends with the test, however that goes.
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o644))
	fifo, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer fifo.Close()

	leave := "exec 3<" + path + "; cat <&3 & echo $!; "
	r := startPID1(t, exec.Command(binary(t), "--post-stop", "name=hook sh -c '"+leave+"'", "--", "sh", "-c", leave+"exit 5"), nil)
	holder, ok := r.stdout.next()
	require.True(t, ok)
	assert.Equal(t, 5, r.codeInTime())
	hooks := strings.Fields(r.stderr.expect("hook| "))
	for _, word := range []string{holder, hooks[len(hooks)-1]} {
		pid, err := strconv.Atoi(word)
		require.NoError(t, err)
		assert.NotContains(t, []string{"", "Z", "X"}, state(pid), "it is let live")
	}
	fifo.Close()
	assert.Equal(t, holder, r.stdout.rest())
}
