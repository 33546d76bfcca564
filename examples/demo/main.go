// Demo runs usher twice on this terminal, without Docker and without root. Each run of
// usher is PID 1 of a new PID namespace, or an ordinary process if no namespace can be made.
// Each line below the command line begins with the time since the start of that run.
//
// Run this:
//
//	make demo
//
// Expect two runs. In the first, an app starts once its dependency accepts connections, and
// is drained and stopped in order. In the second, an app ignores its stop signal, and gets
// SIGKILL after 2.4 s, because a fifth of --grace is kept for the post-stop hook.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fail("usage: demo PATH-OF-USHER")
	}
	usher := os.Args[1]
	port := freePort()

	fmt.Println("An app waits for its dependency, and is drained and stopped in order:")
	r := begin(usher, "--wait", "tcp://127.0.0.1:"+port, "--grace", "8s", "--drain-delay", "1s",
		"--drain", `sh -c 'echo deregistered after $USHER_SIGNAL'`, "--post-stop", "echo reported",
		"--", "sh", "-c", `trap 'echo finishing; exit 0' TERM; echo serving; while :; do sleep 0.1; done`)
	time.AfterFunc(1500*time.Millisecond, func() {
		r.print("(the dependency accepts connections)")
		open(port)
	})
	r.stopAfter("serving", time.Second)
	r.expect(0)

	fmt.Println("\nAn app ignores its stop signal, and has a child in another session:")
	r = begin(usher, "--grace", "3s", "--post-stop", "echo reported", "--",
		"sh", "-c", `trap '' TERM; setsid sleep 1000 & echo serving; while :; do sleep 0.1; done`)
	r.stopAfter("serving", 500*time.Millisecond)
	r.expect(137)
}

// run is one run of usher.
type run struct {
	cmd    *exec.Cmd
	began  time.Time
	mu     sync.Mutex // held while a line is printed, so that lines do not mix
	output sync.WaitGroup
	seen   chan string
}

func begin(usher string, args ...string) *run {
	r := &run{began: time.Now(), seen: make(chan string, 1000)}
	fmt.Printf("$ usher %s\n", quoted(args))
	err := r.start(usher, args, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWPID | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	})
	if err != nil {
		fmt.Printf("(no PID namespace here, %v: usher runs as an ordinary process)\n", err)
		err = r.start(usher, args, nil)
	}
	if err != nil {
		fail(err.Error())
	}
	return r
}

func (r *run) start(usher string, args []string, attr *syscall.SysProcAttr) error {
	r.cmd = exec.Command(usher, args...)
	r.cmd.SysProcAttr = attr
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := r.cmd.Start(); err != nil {
		return err
	}
	r.output.Go(func() { r.copy(stdout, "app: ") })
	r.output.Go(func() { r.copy(stderr, "") })
	return nil
}

func (r *run) copy(from io.Reader, mark string) {
	for s := bufio.NewScanner(from); s.Scan(); {
		r.print(mark + s.Text())
		r.seen <- s.Text()
	}
}

func (r *run) print(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Printf("%6.2fs  %s\n", time.Since(r.began).Seconds(), line)
}

// stopAfter waits until usher or the app has printed line, and then waits for d. After that
// it sends SIGTERM to usher, as docker stop and the kubelet do.
func (r *run) stopAfter(line string, d time.Duration) {
	for text := range r.seen {
		if text == line {
			break
		}
	}
	time.Sleep(d)
	r.print("(SIGTERM)")
	r.cmd.Process.Signal(syscall.SIGTERM)
}

func (r *run) expect(code int) {
	r.output.Wait() // all output must be read before cmd.Wait, which closes the pipes
	r.cmd.Wait()
	got := r.cmd.ProcessState.ExitCode()
	r.print(fmt.Sprintf("exit code %d", got))
	if got != code {
		fail(fmt.Sprintf("the exit code should have been %d", code))
	}
}

// freePort returns a port on which no process listens.
func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err.Error())
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// open accepts connections on port until the demo exits.
func open(port string) {
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fail(err.Error())
	}
	go func() {
		for {
			if c, err := l.Accept(); err == nil {
				c.Close()
			}
		}
	}()
}

// quoted returns args as the text that a user would type in a shell.
func quoted(args []string) string {
	var all []string
	for _, a := range args {
		switch {
		case !strings.ContainsAny(a, " $;'\""):
		case strings.Contains(a, "'"):
			a = `"` + strings.ReplaceAll(a, "$", `\$`) + `"`
		default:
			a = "'" + a + "'"
		}
		all = append(all, a)
	}
	return strings.Join(all, " ")
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, "demo:", reason)
	os.Exit(1)
}
