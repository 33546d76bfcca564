package signals

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleEnv is the name of an environment variable. If its value is a key of roles, the
// test binary calls that function of roles and runs no tests.
const roleEnv = "USHER_SIGNALS_TEST_ROLE"

var roles = map[string]func(){"listener": listen, "limited": limited, "flooded": flooded}

func TestMain(m *testing.M) {
	if play := roles[os.Getenv(roleEnv)]; play != nil {
		play()
		return
	}
	os.Exit(m.Run())
}

// mustOpen calls Open and panics if that fails.
func mustOpen(stopOn ...syscall.Signal) *Inbox {
	in, err := Open(stopOn...)
	if err != nil {
		panic(err)
	}
	return in
}

// listenerStop is the signal that a listener has given to Open.
const listenerStop = syscall.Signal(rtMin + 3)

// listen prints "ready", then one line for each signal, with its channel and its number.
// It returns at end of file on stdin, so that it never outlives its test.
func listen() {
	in := mustOpen(listenerStop)
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(closed)
	}()
	fmt.Println("ready")
	for {
		select {
		case s := <-in.Child:
			fmt.Println("child", int(s.(syscall.Signal)))
		case s := <-in.Control:
			fmt.Println("control", int(s.(syscall.Signal)))
		case s := <-in.Other:
			fmt.Println("other", int(s.(syscall.Signal)))
		case <-closed:
			return
		}
	}
}

// listener is a process that runs the function listen.
type listener struct {
	*testing.T
	cmd    *exec.Cmd
	stdout *bufio.Scanner
}

// startListener starts a listener, or a command that gets the listener's path as its last
// argument and executes it.
func startListener(t *testing.T, command ...string) *listener {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := append(command, exe)
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), roleEnv+"=listener",
		"GORACE=atexit_sleep_ms=0") // otherwise the race detector sleeps a second at every exit
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A listener that hangs is killed, so that its test fails and the other tests still
	// run.
	hung := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	l := &listener{T: t, cmd: cmd, stdout: bufio.NewScanner(stdout)}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
		hung.Stop()
	})
	l.expect("ready")
	return l
}

func (l *listener) send(sig syscall.Signal) {
	l.Helper()
	if err := syscall.Kill(l.cmd.Process.Pid, sig); err != nil {
		l.Fatalf("cannot send %s: %v", Name(sig), err)
	}
}

func (l *listener) expect(line string) {
	l.Helper()
	if !l.stdout.Scan() {
		l.Fatalf("the listener exited before it printed %q", line)
	}
	if got := l.stdout.Text(); got != line {
		l.Fatalf("the listener printed %q, want %q", got, line)
	}
}

func TestEverySignalArrivesOnce(t *testing.T) {
	l := startListener(t)
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch {
		case sig == syscall.SIGCHLD:
			l.send(sig)
			l.expect("child 17")
		case CheckReceivable(sig) != nil:
		case slices.Contains(control, sig) || sig == listenerStop:
			l.send(sig)
			l.expect(fmt.Sprintf("control %d", sig))
		default:
			l.send(sig)
			l.expect(fmt.Sprintf("other %d", sig))
		}
	}
}

// A shell starts "cmd &" with INT and QUIT ignored, and an ignored signal stays ignored
// after execve(2). An Inbox must receive it nevertheless.
func TestIgnoredSignalsAreReceived(t *testing.T) {
	l := startListener(t, "/bin/sh", "-c", `trap "" INT QUIT HUP TERM PIPE USR1; exec "$0"`)
	for _, sig := range control {
		l.send(sig)
		l.expect(fmt.Sprintf("control %d", sig))
	}
	l.send(syscall.SIGUSR1)
	l.expect("other 10")
}

// The process sends itself 40,000 signals and reads none of them from the channels, so the
// buffers cannot hold them all. The stop signals that follow must still be received.
func TestStopIsReceivedAfterAFlood(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=flooded", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "received all\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

func flooded() {
	in := mustOpen(listenerStop)
	for range 20_000 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGHUP)
		_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT)
	}
	missing := map[os.Signal]bool{syscall.SIGTERM: true, syscall.SIGINT: true, listenerStop: true}
	for sig := range missing {
		_ = syscall.Kill(os.Getpid(), sig.(syscall.Signal))
	}
	lost := time.After(100 * time.Second)
	for len(missing) > 0 {
		select {
		case sig := <-in.Control:
			delete(missing, sig)
		case <-lost:
			fmt.Println("lost", missing)
			return
		}
	}
	fmt.Println("received all")
}

// The channels must hold the signals that arrive while the receiver handles one signal.
func TestCapacitiesOfTheChannels(t *testing.T) {
	in := mustOpen()
	defer in.Close()
	if cap(in.Child) != 1 || cap(in.Control) < 64 || cap(in.Other) < 4096 {
		t.Errorf("capacities: %d, %d, %d", cap(in.Child), cap(in.Control), cap(in.Other))
	}
}

// With an Inbox open, a write to a pipe without readers fails with EPIPE and does not
// end the process, even if the pipe is stderr. A child starts with the default
// action for SIGPIPE.
func TestBrokenPipeIsAnError(t *testing.T) {
	in := mustOpen()
	defer in.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	saved, err := syscall.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Dup3(int(w.Fd()), 2, 0); err != nil {
		t.Fatal(err)
	}
	_, werr := os.Stderr.WriteString("text\n") // os.File raises SIGPIPE for descriptors 1 and 2
	if err := syscall.Dup3(saved, 2, 0); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Close(saved)
	if werr == nil || !strings.Contains(werr.Error(), "broken pipe") {
		t.Errorf("write to a broken stderr: %v", werr)
	}
	if out, err := exec.Command("/bin/sh", "-c", `kill -PIPE $$; echo survived`).Output(); err == nil {
		t.Errorf("a child ignores SIGPIPE: %q", out)
	}
}

// A write beyond RLIMIT_FSIZE fails with EFBIG. The SIGXFSZ that the kernel sends for it
// (setrlimit(2)) must not be received, because no other process has sent it.
func TestOwnWriteBeyondTheFileSizeLimitIsNotReceived(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=limited", "GORACE=atexit_sleep_ms=0", "FILE="+t.TempDir()+"/file")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "file too large\nother 10\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

func limited() {
	in := mustOpen()
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 10, Max: unix.RLIM_INFINITY}); err != nil {
		fmt.Println(err)
	}
	f, err := os.Create(os.Getenv("FILE"))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = f.Write(make([]byte, 10))
	if err == nil {
		_, err = f.Write(make([]byte, 10))
	}
	fmt.Println(err.(*os.PathError).Err)
	_ = syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("other", int((<-in.Other).(syscall.Signal)))
}

func TestCloseEndsTheReceiving(t *testing.T) {
	in := mustOpen()
	in.Close()
	back := make(chan os.Signal, 1)
	signal.Notify(back, syscall.SIGUSR1) // without this handler, the next signal would end the test
	defer signal.Stop(back)
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	<-back
	select {
	case s := <-in.Other:
		t.Errorf("a closed inbox received %v", s)
	default:
	}
	(&Inbox{}).Close() // no effect, because Open did not make this Inbox
}
