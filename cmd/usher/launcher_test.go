package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// How the tests of this package start processes.
//
//	p := launcher{}.usher(t, "--grace", "20s", "--", "sh", "-c", "trap 'exit 3' TERM; echo ready; ...")
//	p.stdout.expect("ready")
//	p.signal(syscall.SIGTERM)
//	assert.Equal(t, 3, p.code())
//	assertPrinted(t, p.stderr.rest(), "stop: sent SIGTERM to sh")
//
// A launcher holds the namespaces, environment and descriptors for a process. The zero
// value starts a process as PID 1 of a new PID namespace. Three methods start processes:
//
//   - usher runs the code of usher in the test binary. It needs neither root nor a build,
//     and has the race detector if the test binary has it.
//   - start starts any command. binary(t) is the path of usher as it is shipped.
//   - run starts a command, waits until it exits, and returns its output.
//
// The app, and most other processes that a test needs, are shells or the puppet. The puppet
// has many roles: for example, it prints the signals that it gets. The first comment of
// testdata/puppet.c lists them. A shell script may use $puppet and $usher, the paths of
// the puppet and of usher as it is shipped.
//
// A process is killed at the end of its test. A test waits for lines and for exits. It
// sleeps only to let time pass, for example to see that something does not happen. A wait
// that takes longer than patience (2 minutes) fails the test. A test that fails prints the
// last lines of all its processes.

// launcher describes how a process is started.
type launcher struct {
	hostPID bool     // in the PID namespace of the test, so not as PID 1 (named after Kubernetes' hostPID)
	mounts  bool     // in a new mount namespace; needs root
	proc    bool     // in a new mount namespace, with a new /proc for the PID namespace of the process; needs root
	net     bool     // in a new network namespace; needs root
	inherit []string // options of "puppet launch", which set the attributes that the process inherits
	env     []string // the whole environment; nil means the environment of the test
	vars    []string // variables that are added to the environment
	dir     string

	tty    *os.File   // the process gets it as its controlling terminal, stdin, stdout and stderr
	stdin  io.Reader  // stdin, instead of the pipe process.in
	stdout io.Writer  // stdout, instead of the reader process.stdout
	stderr io.Writer  // stderr, instead of the reader process.stderr
	merged bool       // stderr goes where stdout goes
	files  []*os.File // passed as the descriptors from 3 on
}

// process is a process that a launcher has started.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     *os.File // the writing end of the pipe that is stdin of the process
	stdout *reader
	stderr *reader
	wait   func() // waits until the process has exited
}

// usher starts the test binary by a link that makes it run as usher (see linkTo).
func (l launcher) usher(t *testing.T, args ...string) *process {
	t.Helper()
	link, err := linkTo("usher")
	require.NoError(t, err)
	return l.start(t, append([]string{link}, args...)...)
}

// linkTo makes a symbolic link to the test binary and returns the link's path. If the test
// binary is executed by this path, TestMain calls the function of the role (see roles) and
// runs no tests.
func linkTo(role string) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	link := filepath.Join(filepath.Dir(exe), "built.test", "roles", role)
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return "", err
	}
	if err := os.Symlink(exe, link); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return link, nil
}

// start starts a command, and kills it at the end of the test. It skips the test if this
// user may not make a PID namespace.
func (l launcher) start(t *testing.T, argv ...string) *process {
	t.Helper()
	cmd := l.command(t, argv)
	p := &process{t: t, cmd: cmd, wait: sync.OnceFunc(func() { _ = cmd.Wait() })}
	var ends []*os.File // the ends of the pipes that are passed to the process
	output := func(instead io.Writer) (*reader, io.Writer) {
		if instead != nil {
			return noLines(t), instead
		}
		lines, end := newReader(t)
		ends = append(ends, end)
		return lines, end
	}
	if l.tty != nil {
		l.stdin = cmp.Or[io.Reader](l.stdin, l.tty)
		l.stdout, l.stderr = cmp.Or[io.Writer](l.stdout, l.tty), cmp.Or[io.Writer](l.stderr, l.tty)
	}
	stdin, in, err := os.Pipe()
	require.NoError(t, err)
	ends = append(ends, stdin)
	p.in, cmd.Stdin = in, cmp.Or[io.Reader](l.stdin, stdin)
	p.stdout, cmd.Stdout = output(l.stdout)
	if l.merged {
		l.stderr = cmd.Stdout
	}
	p.stderr, cmd.Stderr = output(l.stderr)

	err = cmd.Start()
	for _, f := range ends {
		f.Close()
	}
	if errors.Is(err, syscall.EPERM) && !l.hostPID {
		skip(t, "no PID namespace can be made here: "+err.Error())
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		p.wait()
		if t.Failed() && p.stdout.soFar()+p.stderr.soFar() != "" {
			t.Logf("%.200q\nstdout:\n%s\nstderr:\n%s", argv, lastLines(p.stdout.soFar()), lastLines(p.stderr.soFar()))
		}
	})
	return p
}

// command returns the command with its environment and its namespaces.
func (l launcher) command(t *testing.T, argv []string) *exec.Cmd {
	t.Helper()
	if l.proc {
		l.mounts = true
		l.inherit = append([]string{"proc=/proc"}, l.inherit...)
	}
	if l.inherit != nil {
		argv = slices.Concat([]string{puppet(t), "launch"}, l.inherit, []string{"--"}, argv)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.ExtraFiles = l.dir, l.files
	// If stdout or stderr is not an *os.File, package os/exec makes a pipe for it. Then Wait
	// also waits until all descendants have closed the pipe. WaitDelay limits that wait.
	cmd.WaitDelay = patience
	cmd.Env = slices.Clone(l.env)
	if l.env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, l.vars...)
	for name, path := range map[string]func(testing.TB) string{"usher": binary, "puppet": puppet} {
		if strings.Contains(strings.Join(append(argv, l.vars...), " "), "$"+name) {
			cmd.Env = append(cmd.Env, name+"="+path(t))
		}
	}
	// The process leads a new process group, or a new session if it has a terminal. So if a
	// bug makes usher signal its whole process group, the test is not killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: l.tty == nil, Setsid: l.tty != nil, Setctty: l.tty != nil}
	if l.net {
		needRoot(t)
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	}
	if l.mounts {
		needRoot(t)
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // with CLONE_NEWNS in Unshareflags, Go makes all mounts private; with CLONE_NEWNS in Cloneflags it does not
	}
	if l.hostPID {
		return cmd
	}
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// run starts a command, waits until it exits, and returns its output and its exit code.
func (l launcher) run(t *testing.T, argv ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err strings.Builder
	l.stdout, l.stderr = &out, &err
	if l.merged {
		l.stderr = &out
	}
	code = l.start(t, argv...).code()
	return out.String(), err.String(), code
}

// outputOf runs a program in the PID namespace of the test, and returns its stdout. The
// program must succeed.
func outputOf(t *testing.T, argv ...string) string {
	t.Helper()
	stdout, stderr, code := launcher{hostPID: true}.run(t, argv...)
	require.Equal(t, 0, code, "%.200q\n%s\n%s", argv, lastLines(stdout), lastLines(stderr))
	return stdout
}

// exitOnTERM returns a shell script for the app: it prints "ready", and exits with code on
// SIGTERM. It does not wait in the shell's read, because dash loses the trap of a signal that
// comes just before read(2).
func exitOnTERM(code int) string {
	return fmt.Sprintf("trap 'exit %d' TERM; echo ready; while :; do sleep 0.05; done", code)
}

// pid returns the pid that the process has in the PID namespace of the test.
func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
}

// write writes to the stdin of the process.
func (p *process) write(text string) {
	p.t.Helper()
	_, err := p.in.WriteString(text)
	require.NoError(p.t, err)
}

// code waits for the exit of the process, and returns its exit code, or -1 if it was
// killed by a signal.
func (p *process) code() int {
	p.t.Helper()
	return p.codeWithin(patience)
}

// codeWithin waits for the exit of the process, and returns its exit code, or -1 if it was
// killed by a signal. If the process does not exit within limit, codeWithin kills it and fails
// the test.
func (p *process) codeWithin(limit time.Duration) int {
	p.t.Helper()
	var late atomic.Bool
	timer := time.AfterFunc(limit, func() {
		late.Store(true)
		p.cmd.Process.Kill()
	})
	defer timer.Stop()
	p.wait()
	require.False(p.t, late.Load(), "%.200q did not exit within %v", p.cmd.Args, limit)
	return p.cmd.ProcessState.ExitCode()
}

// enter starts a command in the PID and mount namespaces of the process. The parent of the
// command, nsenter, is outside of the PID namespace, like the parent of a process that docker
// exec starts, or of a process of another container in the same pod.
func (p *process) enter(stdin io.Reader, argv ...string) *process {
	p.t.Helper()
	nsenter := []string{"nsenter", "-t", fmt.Sprint(p.pid()), "-p", "-m", "--"}
	return launcher{hostPID: true, env: p.cmd.Env, stdin: stdin, merged: true}.start(p.t, append(nsenter, argv...)...)
}

// kill sends a signal to a process. pid is the pid that the process has in the PID
// namespace of p.
func (p *process) kill(sig, pid string) {
	p.t.Helper()
	require.Equal(p.t, 0, p.enter(nil, "sh", "-c", "kill -"+sig+" "+pid).code())
}

// pidIn returns the pid at the end of a line.
func pidIn(t *testing.T, line string) string {
	t.Helper()
	pid := regexp.MustCompile(`\d+$`).FindString(line)
	require.NotEmpty(t, pid, line)
	return pid
}
