//go:build (amd64 || arm64) && !purego

package signals

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What nobody can receive, and what is no signal.
const notReceivable = "signal -1 signal 0 SIGKILL SIGCHLD SIGSTOP signal 65 signal 66"

// sigqueue sends as sigqueue(3) does.
func (l *listener) sigqueue(sig syscall.Signal) {
	l.Helper()
	info := struct {
		sig, errno, code, _ int32
		pid, uid            int32
		_                   [104]byte
	}{sig: int32(sig), code: -1 /* SI_QUEUE */, pid: int32(os.Getpid())}
	_, _, errno := syscall.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(l.cmd.Process.Pid), uintptr(sig), uintptr(unsafe.Pointer(&info)))
	if errno != 0 {
		l.Fatalf("cannot queue %s: %v", Name(sig), errno)
	}
}

// The kernel queues real-time signals, and not one is lost on the way.
func TestBurstsArriveWhole(t *testing.T) {
	l := startListener(t)
	bursts := []syscall.Signal{34, 40, 64}
	for range 1000 {
		for _, sig := range bursts {
			l.send(sig)
		}
	}
	l.send(syscall.SIGTERM)
	got := map[string]int{}
	for l.stdout.Scan() {
		got[l.stdout.Text()]++
		if got["control 15"]+got["other 34"]+got["other 40"]+got["other 64"] == 3001 {
			return
		}
	}
	t.Errorf("the listener ended after %v", got)
}

// What sigqueue sends is no fault of the receiver's, whatever its number.
func TestQueuedFaultsAreSignals(t *testing.T) {
	l := startListener(t)
	for _, sig := range stayWithRuntime {
		l.sigqueue(sig)
		l.expect(fmt.Sprintf("other %d", sig))
	}
}

// All pipes of a user share a number of pages, on the whole machine: a hundred
// ushers must not use it up.
func TestPipesAreSmall(t *testing.T) {
	in := Open()
	defer in.Close()
	sum := 0
	for _, sig := range []syscall.Signal{syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGUSR1} {
		size, err := unix.FcntlInt(uintptr(pipes[sig]), unix.F_GETPIPE_SZ, 0)
		if err != nil {
			t.Fatal(err)
		}
		sum += size
	}
	if sum > 84<<10 {
		t.Errorf("%d KiB", sum>>10)
	}
}

// A role prints what comes of it and ends.
func playRole(t *testing.T, role string) string {
	t.Helper()
	hung, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(hung, os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", role, err, out)
	}
	return string(out)
}

// A fault of the process's own stays a panic that can be recovered from.
func TestOwnFaultsStayWithTheRuntime(t *testing.T) {
	if got := playRole(t, "fault"); !strings.Contains(got, "nil pointer dereference") || strings.Contains(got, "received") {
		t.Error(got)
	}
}

func fault() {
	in := Open()
	func() {
		defer func() { fmt.Println(recover()) }()
		var p *int
		*p = 1
	}()
	select {
	case sig := <-in.Other:
		fmt.Println("received", sig)
	default:
	}
}

// The runtime interrupts goroutines that do not yield with SIGURG; that is
// nobody's signal. Without it the first loop would never let the others run.
func TestRuntimesOwnInterruptsAreNotReceived(t *testing.T) {
	if got := playRole(t, "spin"); got != "other 10\n" {
		t.Error(got)
	}
}

//nolint:staticcheck // the loop is meant to spin
func spin() {
	runtime.GOMAXPROCS(1)
	in := Open()
	for range 3 {
		go func() {
			for {
			}
		}()
	}
	for range 20 {
		runtime.Gosched() // comes back only if a spinning goroutine is interrupted
	}
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("other", int((<-in.Other).(syscall.Signal)))
}

// What AsInherited starts has the mask and the ignored signals that the process
// itself was started with, and not those of the threads here.
func TestAsInherited(t *testing.T) {
	const status = `grep -E "^Sig(Blk|Ign)" /proc/self/status`
	direct, err := exec.Command("sh", "-c", `trap "" HUP; exec sh -c '`+status+`'`).Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `trap "" HUP; exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=inherit", "GORACE=atexit_sleep_ms=0")
	got, err := cmd.CombinedOutput()
	if err != nil || string(got) != string(direct) {
		t.Errorf("%v\n%s\nwant:\n%s", err, got, direct)
	}
}

func inherit() {
	in := Open()
	AsInherited(func() {
		cmd := exec.Command("sh", "-c", `grep -E "^Sig(Blk|Ign)" /proc/self/status`)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Println(err)
		}
	})
	// It is heard again.
	syscall.Kill(os.Getpid(), syscall.SIGHUP)
	<-in.Control
}

// In the fork of a child nothing is lost and nothing meets another handler.
func TestForksLoseNoSignal(t *testing.T) {
	if got := playRole(t, "forks"); got != "500 of 500\n" {
		t.Error(got)
	}
}

func forks() {
	const each = 500
	in := Open()
	over := make(chan bool)
	go func() {
		for range 100 {
			AsInherited(func() { exec.Command("/bin/true").Run() })
		}
		close(over)
	}()
	got := 0
	for sent := 0; sent < each; sent++ {
		syscall.Kill(os.Getpid(), syscall.Signal(36))
		<-in.Other
		got++
	}
	<-over
	fmt.Println(got, "of", each)
}

func init() {
	for name, play := range map[string]func(){"fault": fault, "spin": spin, "inherit": inherit, "forks": forks} {
		roles[name] = play
	}
}
