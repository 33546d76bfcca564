// Demo shows the main job of usher on this terminal, without Docker and without
// root: each part is one life of a container, with usher as the PID 1 of a new
// PID namespace, and every line has its time in front.
//
// Run this:
//
//	make demo
//
// Expect two lives: an app whose dependency opens late and which is drained and
// stopped in order; and one that ignores its stop signal and meets the deadline.
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

	fmt.Println("A dependency that opens late, an app, a stop with a drain:")
	l := begin(usher, "--wait", "tcp://127.0.0.1:"+port, "--grace", "8s", "--drain-delay", "1s",
		"--drain", `sh -c 'echo told the load balancer, because of $USHER_SIGNAL'`, "--post-stop", "echo reported",
		"--", "sh", "-c", `trap 'echo finishing my work; exit 0' TERM; echo serving; while :; do sleep 0.1; done`)
	time.AfterFunc(1500*time.Millisecond, func() {
		l.print("(the dependency opens)")
		open(port)
	})
	l.stopAfter("serving", time.Second)
	l.expect(0)

	fmt.Println("\nAn app that ignores its stop signal, and its child in another session:")
	l = begin(usher, "--grace", "3s", "--post-stop", "echo reported", "--",
		"sh", "-c", `trap '' TERM; setsid sleep 1000 & echo serving; while :; do sleep 0.1; done`)
	l.stopAfter("serving", 500*time.Millisecond)
	l.expect(137)
}

// life is one run of usher.
type life struct {
	cmd    *exec.Cmd
	began  time.Time
	mu     sync.Mutex // one line at a time
	output sync.WaitGroup
	seen   chan string
}

func begin(usher string, args ...string) *life {
	l := &life{began: time.Now(), seen: make(chan string, 1000)}
	fmt.Printf("$ usher %s\n", quoted(args))
	err := l.start(usher, args, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWPID | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	})
	if err != nil {
		fmt.Printf("(no PID namespace here, %v: usher runs as an ordinary process)\n", err)
		err = l.start(usher, args, nil)
	}
	if err != nil {
		fail(err.Error())
	}
	return l
}

func (l *life) start(usher string, args []string, attr *syscall.SysProcAttr) error {
	l.cmd = exec.Command(usher, args...)
	l.cmd.SysProcAttr = attr
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := l.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := l.cmd.Start(); err != nil {
		return err
	}
	l.output.Go(func() { l.copy(stdout, "app: ") })
	l.output.Go(func() { l.copy(stderr, "") })
	return nil
}

func (l *life) copy(from io.Reader, mark string) {
	for s := bufio.NewScanner(from); s.Scan(); {
		l.print(mark + s.Text())
		l.seen <- s.Text()
	}
}

func (l *life) print(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Printf("%6.2fs  %s\n", time.Since(l.began).Seconds(), line)
}

// stopAfter sends SIGTERM, as docker stop and the kubelet do, some time after a
// line has been printed.
func (l *life) stopAfter(line string, d time.Duration) {
	for text := range l.seen {
		if text == line {
			break
		}
	}
	time.Sleep(d)
	l.print("(SIGTERM)")
	l.cmd.Process.Signal(syscall.SIGTERM)
}

func (l *life) expect(code int) {
	l.output.Wait() // the app's and usher's output have ended: so have they
	l.cmd.Wait()
	got := l.cmd.ProcessState.ExitCode()
	l.print(fmt.Sprintf("exit code %d", got))
	if got != code {
		fail(fmt.Sprintf("the exit code should have been %d", code))
	}
}

// freePort is a port that nothing listens on.
func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err.Error())
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// open accepts connections for the rest of the demo.
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

// quoted is args as one would type them.
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

func fail(why string) {
	fmt.Fprintln(os.Stderr, "demo:", why)
	os.Exit(1)
}
