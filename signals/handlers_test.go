//go:build (amd64 || arm64) && !purego

package signals

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notReceivable lists the signals from -1 to 66 for which CheckReceivable returns an error.
const notReceivable = "signal -1 signal 0 SIGKILL SIGCHLD SIGSTOP signal 65 signal 66"

// sigqueue sends a signal as sigqueue(3) does. While the kernel's queue is full
// (RLIMIT_SIGPENDING), the system call fails with EAGAIN. sigqueue then repeats the call
// until the listener has received some signals.
func (l *listener) sigqueue(sig syscall.Signal) {
	l.Helper()
	info := struct {
		sig, errno, code, _ int32
		pid, uid            int32
		_                   [104]byte
	}{sig: int32(sig), code: -1 /* SI_QUEUE */, pid: int32(os.Getpid())}
	for {
		_, _, errno := syscall.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(l.cmd.Process.Pid), uintptr(sig), uintptr(unsafe.Pointer(&info)))
		if errno == 0 {
			return
		}
		if errno != syscall.EAGAIN {
			l.Fatalf("cannot queue %s: %v", Name(sig), errno)
		}
		runtime.Gosched()
	}
}

// The kernel queues real-time signals, so each of them must arrive. The test sends more of
// them than the pipe of the signal handlers holds, and faster than the listener prints them.
func TestEveryRealTimeSignalOfABurstArrives(t *testing.T) {
	l := startListener(t)
	burst := []syscall.Signal{34, 40, 64}
	const rounds = 5000
	for range rounds {
		for _, sig := range burst {
			l.sigqueue(sig)
		}
	}
	l.send(syscall.SIGUSR1)
	got := map[string]int{}
	for l.stdout.Scan() {
		got[l.stdout.Text()]++
		if got["other 34"]+got["other 40"]+got["other 64"] == len(burst)*rounds && got["other 10"] == 1 {
			return
		}
	}
	t.Errorf("the listener exited after %v", got)
}

// Nothing is read from the channels until all signals have been sent, so the pipe becomes
// full and the handler counts the signals that do not fit. Of two SIGUSR2 that do not fit one
// arrives, because deliverMissed merges standard signals, as the kernel does.
func TestSignalsBeyondThePipeAreCounted(t *testing.T) {
	if got := playRole(t, "unread"); got != "30000 of 40, 1 of SIGUSR2\n" {
		t.Error(got)
	}
}

func unread() {
	const total = 30_000
	in := mustOpen()
	// More signals are sent than fit into the channel and the pipe. tgkill(2) of a real-time
	// signal fails if the kernel's queue is full (RLIMIT_SIGPENDING), so each signal must be
	// handled before the next one is sent. This thread sends the signals to itself and
	// blocks no signal, so it handles each signal before Tgkill returns.
	runtime.LockOSThread()
	setMask(unix.SIG_SETMASK, 0)
	for range total {
		_ = unix.Tgkill(os.Getpid(), unix.Gettid(), 40)
	}
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.SIGUSR2)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.SIGUSR2)
	got := map[os.Signal]int{}
	lost := time.After(100 * time.Second)
	for got[syscall.Signal(40)] < total || got[syscall.SIGUSR2] == 0 {
		select {
		case sig := <-in.Other:
			got[sig]++
			continue
		case <-lost:
		}
		break
	}
	fmt.Printf("%d of 40, %d of SIGUSR2\n", got[syscall.Signal(40)], got[syscall.SIGUSR2])
}

// The kernel sends signals such as SIGSEGV and SIGPIPE to a process because of its own actions,
// and the Go runtime sends SIGURG to its own threads. usher must receive such a signal if
// another process has sent it.
func TestFaultsThatAreSentAreReceived(t *testing.T) {
	all := append([]syscall.Signal{syscall.SIGURG}, append(faults, own...)...)
	t.Run("sigqueue", func(t *testing.T) {
		l := startListener(t)
		for _, sig := range all {
			l.sigqueue(sig)
			l.expect(fmt.Sprintf("other %d", sig))
		}
	})
	t.Run("tgkill", func(t *testing.T) {
		l := startListener(t)
		for _, sig := range all {
			if err := unix.Tgkill(l.cmd.Process.Pid, l.cmd.Process.Pid, sig); err != nil {
				t.Fatal(err)
			}
			l.expect(fmt.Sprintf("other %d", sig))
		}
	})
}

// All pipes of a user on the whole machine share a limited number of pages (pipe(7)), and
// a hundred ushers must not use them up.
func TestPipesAreSmall(t *testing.T) {
	in := mustOpen()
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
		t.Errorf("the pipes have %d KiB, want at most 84", sum>>10)
	}
}

// playRole runs the test binary with a role (see roleEnv) and returns its output.
func playRole(t *testing.T, role string) string {
	t.Helper()
	hung, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(hung, os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", role, err, out)
	}
	return string(out)
}

// A fault of this process must still cause a panic, and recover must be able to stop it.
func TestOwnFaultIsAPanic(t *testing.T) {
	if got := playRole(t, "fault"); !strings.Contains(got, "nil pointer dereference") || strings.Contains(got, "received") {
		t.Error(got)
	}
}

func fault() {
	in := mustOpen()
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

// The runtime sends SIGURG to its threads to preempt goroutines that do not yield, and
// these signals must not be received. The test would also fail if the runtime could not
// preempt, because the first endless loop would then never give way to the other
// goroutines.
func TestPreemptionIsNotReceived(t *testing.T) {
	if got := playRole(t, "spin"); got != "other 10\n" {
		t.Error(got)
	}
}

//nolint:staticcheck // the loop is meant to spin
func spin() {
	runtime.GOMAXPROCS(1)
	in := mustOpen()
	for range 3 {
		go func() {
			for {
			}
		}()
	}
	for range 20 {
		runtime.Gosched() // Gosched returns only if the spinning goroutine is preempted
	}
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("other", int((<-in.Other).(syscall.Signal)))
}

// A child must have the signal mask and the ignored signals with which this process was
// started. The mask and the ignored signals of this process may have changed since.
func TestChildInheritsMaskAndIgnoredSignals(t *testing.T) {
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
	in := mustOpen()
	WithInheritedSignals(func() {
		cmd := exec.Command("sh", "-c", `grep -E "^Sig(Blk|Ign)" /proc/self/status`)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Println(err)
		}
	})
	// SIGHUP was ignored only while WithInheritedSignals ran, so it is received now.
	syscall.Kill(os.Getpid(), syscall.SIGHUP)
	<-in.Control
}

// A signal that arrives while a child is being forked is received like any other.
func TestForksLoseNoSignal(t *testing.T) {
	if got := playRole(t, "forks"); got != "500 of 500\n" {
		t.Error(got)
	}
}

func forks() {
	const each = 500
	in := mustOpen()
	forked := make(chan bool)
	go func() {
		for range 100 {
			WithInheritedSignals(func() { exec.Command("/bin/true").Run() })
		}
		close(forked)
	}()
	got := 0
	for sent := 0; sent < each; sent++ {
		syscall.Kill(os.Getpid(), syscall.Signal(36))
		<-in.Other
		got++
	}
	<-forked
	fmt.Println(got, "of", each)
}

// sent makes another process send SIGURG and the signals in faults and own. They must be
// received, although the kernel or the runtime sends signals with the same numbers.
func sent() {
	in := mustOpen()
	for _, sig := range slices.Concat(faults, own, []syscall.Signal{syscall.SIGURG}) {
		if out, err := exec.Command("kill", "-"+strconv.Itoa(int(sig)), strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
			fmt.Println(err, string(out))
		}
		if got := <-in.Other; got != sig {
			fmt.Println("received", got, "instead of", sig)
		}
	}
	fmt.Println("received all")
}

func init() {
	for name, play := range map[string]func(){"fault": fault, "spin": spin, "inherit": inherit, "forks": forks, "unread": unread, "sent": sent} {
		roles[name] = play
	}
}
