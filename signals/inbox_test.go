package signals

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleEnv makes the test binary play a process that is sent signals.
const roleEnv = "USHER_SIGNALS_TEST_ROLE"

var roles = map[string]func(){"listener": listen}

func TestMain(m *testing.M) {
	if play := roles[os.Getenv(roleEnv)]; play != nil {
		play()
		return
	}
	os.Exit(m.Run())
}

// listen prints "ready", then a line for each signal: its channel and number.
// It ends when stdin does, so it outlives no test.
func listen() {
	in := Open()
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(over)
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
		case <-over:
			return
		}
	}
}

// listener is a process that listens.
type listener struct {
	*testing.T
	cmd    *exec.Cmd
	stdout *bufio.Scanner
}

// startListener starts a listener, by way of a shell if words of its own are given.
func startListener(t *testing.T, shell ...string) *listener {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := append(shell, exe)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), roleEnv+"=listener",
		"GORACE=atexit_sleep_ms=0") // the race detector would sleep a second at every exit
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
	// A hung listener fails the test instead of stopping the run.
	hung := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
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
		l.Fatalf("the listener ended instead of saying %q", line)
	}
	if got := l.stdout.Text(); got != line {
		l.Fatalf("the listener said %q, want %q", got, line)
	}
}

// Every signal that another process may send comes out of its channel once.
func TestInboxReceivesEverySignal(t *testing.T) {
	l := startListener(t)
	for sig := syscall.Signal(1); sig <= 64; sig++ {
		switch {
		case sig == syscall.SIGCHLD:
			l.send(sig)
			l.expect("child 17")
		case Receivable(sig) != nil: // ends or stops a process, or vanishes
		case isControl(sig):
			l.send(sig)
			l.expect(fmt.Sprintf("control %d", sig))
		default:
			l.send(sig)
			l.expect(fmt.Sprintf("other %d", sig))
		}
	}
}

// A shell starts "cmd &" with INT and QUIT ignored. What is ignored stays so
// over exec, so the shell here is the listener's past.
func TestInboxHearsWhatWasIgnored(t *testing.T) {
	l := startListener(t, "/bin/sh", "-c", `trap "" INT QUIT HUP TERM PIPE USR1; exec "$0"`)
	for _, sig := range control {
		l.send(sig)
		l.expect(fmt.Sprintf("control %d", sig))
	}
	l.send(syscall.SIGUSR1)
	l.expect("other 10")
}

// A flood of one kind may be merged, but a stop sent into it arrives.
func TestInboxFloodDoesNotCrowdOutAStop(t *testing.T) {
	l := startListener(t)
	for range 2_000 {
		l.send(syscall.SIGUSR1)
		l.send(37)
	}
	l.send(syscall.SIGTERM)
	for l.stdout.Scan() {
		if l.stdout.Text() == "control 15" {
			return
		}
	}
	t.Fatal("the listener ended without having seen SIGTERM")
}

// An Inbox that nobody reads still has room for a stop behind a full Other.
func TestInboxChannelsAreApart(t *testing.T) {
	in := Open()
	defer in.Close()
	if cap(in.Child) != 1 || cap(in.Control) < 64 || cap(in.Other) < 4096 {
		t.Errorf("buffers: %d, %d, %d", cap(in.Child), cap(in.Control), cap(in.Other))
	}
}

// With an Inbox open, a write to a pipe without readers is an error, not death,
// also when the pipe is stderr; and a child still starts with SIGPIPE default.
func TestInboxSurvivesABrokenPipe(t *testing.T) {
	in := Open()
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
	_, werr := os.Stderr.WriteString("anybody?\n") // os.File raises SIGPIPE for fd 1 and 2
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

func TestCloseEndsTheListening(t *testing.T) {
	in := Open()
	in.Close()
	back := make(chan os.Signal, 1)
	signal.Notify(back, syscall.SIGUSR1) // else the next line would end the test
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
	(&Inbox{}).Close() // made by hand: nothing to end
}
