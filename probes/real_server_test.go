package probes

import (
	"bufio"
	"context"
	"crypto/x509"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests in real_*_test.go probe real servers, from Debian's packages, in several states:
// not running, starting, ready, full and others. They also check what probes make a server log.

// findProgram returns the path of a server's program, or skips the test if there is none.
// patterns are its paths in Debian, in the syntax of filepath.Glob.
func findProgram(t *testing.T, name string, patterns ...string) string {
	t.Helper()
	for _, pattern := range patterns {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	skip(t, name+" is not installed")
	return ""
}

// An account is the user that a server runs as. Some servers refuse to run as root.
type account struct {
	uid, gid int
	dir      string // its home directory
}

// command returns a command that runs as the account, in a process group of its own. If the
// tests do not run as root, the command runs as their user.
func (a account) command(argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.SysProcAttr = a.dir, &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + a.dir, "TMPDIR=" + a.dir, "LC_ALL=C"}
	return cmd
}

func (a account) run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := a.command(argv...).CombinedOutput()
	require.NoError(t, err, "%v: %s", argv, out)
	return string(out)
}

// write creates a file that the account can read, and returns the path of the file.
func (a account) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(path, a.uid, a.gid))
	}
	return path
}

// writeCertificate creates a certificate for 127.0.0.1. It returns the paths of the
// certificate, of its key, and of the certificate of its authority. The account can read
// these files.
func (a account) writeCertificate(t *testing.T) (cert, key, ca string) {
	t.Helper()
	authority := newIssuer(t)
	authority.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	for _, file := range []string{"server.pem", "server.key", "ca.pem"} {
		a.write(t, file, string(readFile(t, authority.path(file))))
	}
	return filepath.Join(a.dir, "server.pem"), filepath.Join(a.dir, "server.key"), filepath.Join(a.dir, "ca.pem")
}

func (a account) start(t *testing.T, argv ...string) *daemon {
	t.Helper()
	return startCommand(t, a.command(argv...))
}

// accountOf returns the account that Debian's package of a server has created under this name.
// If the tests do not run as root, accountOf returns the user that runs them.
func accountOf(t *testing.T, name string) account {
	t.Helper()
	a := account{os.Getuid(), os.Getgid(), t.TempDir()}
	if os.Geteuid() == 0 {
		u, err := user.Lookup(name)
		require.NoError(t, err)
		a.uid, _ = strconv.Atoi(u.Uid)
		a.gid, _ = strconv.Atoi(u.Gid)
		require.NoError(t, os.Chown(a.dir, a.uid, a.gid))
		for dir := a.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			require.NoError(t, os.Chmod(dir, 0o755))
		}
	}
	return a
}

// A daemon is a server that the test has started in its own process group. Its log is its
// stdout and stderr.
type daemon struct {
	t          *testing.T
	cmd        *exec.Cmd
	killSignal syscall.Signal // ends the server and all processes that it has started

	mu       sync.Mutex
	lines    []string // the lines of the log
	logEnded bool
	changed  chan struct{} // closed after each line and replaced by a new channel; closed at the end of the log
}

func (d *daemon) addLine(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *daemon) endLog() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.logEnded = true
	close(d.changed)
}

// stop kills the server and all processes that it has started.
func (d *daemon) stop() {
	if d.cmd.ProcessState != nil {
		return
	}
	group := -d.cmd.Process.Pid
	syscall.Kill(group, d.killSignal)
	hung := time.AfterFunc(longTimeout, func() { syscall.Kill(group, syscall.SIGKILL) })
	d.cmd.Wait()
	hung.Stop()
}

func (d *daemon) logLength() int { return len(d.linesSince(0)) }

// linesSince returns the lines of the log from the index start on.
func (d *daemon) linesSince(start int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines[start:])
}

// waitForLog calls done at once and then whenever the log has changed, until it returns true.
func (d *daemon) waitForLog(done func(lines []string, ended bool) bool) {
	d.t.Helper()
	for limit := time.After(longTimeout); ; {
		d.mu.Lock()
		lines, ended, changed := d.lines, d.logEnded, d.changed
		d.mu.Unlock()
		if done(lines, ended) {
			return
		}
		select {
		case <-changed:
		case <-limit:
			d.t.Fatal("the log of the server does not have the expected lines in time")
		}
	}
}

// waitForLogEnd waits for the end of the log of a server that has exited.
func (d *daemon) waitForLogEnd() {
	d.t.Helper()
	d.waitForLog(func(_ []string, ended bool) bool { return ended })
}

// waitForLine waits for a line of the log that matches pattern. It searches from the index
// start on. It returns the index of the line after the match.
func (d *daemon) waitForLine(start int, pattern string) int {
	d.t.Helper()
	want := regexp.MustCompile(pattern)
	d.waitForLog(func(lines []string, ended bool) bool {
		for ; start < len(lines); start++ {
			if want.MatchString(lines[start]) {
				return true
			}
		}
		if ended {
			d.t.Fatalf("the server has exited without a line like %q", pattern)
		}
		return false
	})
	return start + 1
}

// unusualLines waits for a line of the log that matches pattern. It returns the lines
// before that line, from the index start on, without the lines that match a pattern in usual.
// The line that matches pattern must come from the test's last action before the call, so that
// the lines of all earlier actions come before it.
func (d *daemon) unusualLines(start int, pattern string, usual ...string) []string {
	d.t.Helper()
	end := d.waitForLine(start, pattern)
	return slices.DeleteFunc(d.linesSince(start)[:end-1-start], func(line string) bool {
		return slices.ContainsFunc(usual, func(p string) bool { return regexp.MustCompile(p).MatchString(line) })
	})
}

// startCommand starts a server and stops it at the end of the test. If the test has failed,
// startCommand also prints the log of the server.
func startCommand(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = write, write
	require.NoError(t, cmd.Start())
	write.Close()
	d := &daemon{t: t, cmd: cmd, killSignal: syscall.SIGKILL, changed: make(chan struct{})}
	go func() {
		for lines := bufio.NewScanner(read); lines.Scan(); {
			d.addLine(lines.Text())
		}
		read.Close()
		d.endLog()
	}()
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", filepath.Base(cmd.Path), strings.Join(d.linesSince(0), "\n"))
		}
	})
	return d
}

// A backgroundWait is a call of Wait for one target in a goroutine.
type backgroundWait struct {
	t       *testing.T
	results chan string // each error that differs from the one before; "ready" after a success
}

// waitFor waits for the result want. Until then, only the results in allowed may come.
func (w *backgroundWait) waitFor(want string, allowed ...string) {
	w.t.Helper()
	for {
		got, open := <-w.results
		require.True(w.t, open, "the wait has ended without %q", want)
		if got == want {
			return
		}
		require.Contains(w.t, allowed, got)
	}
}

func startWaiting(t *testing.T, text string) *backgroundWait {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longTimeout)
	w := &backgroundWait{t, make(chan string, 100)}
	t.Cleanup(cancel)
	targets := []Target{parse(t, text, ForWait)}
	targets[0].Timeout = longTimeout // a busy server must not add the result "timed out"
	go func() {
		var last string
		err := Wait(ctx, targets, Attempt{}, func(u Update) {
			if u.Kind == TargetTried && u.Status.Last != nil && u.Status.Last.Error() != last {
				last = u.Status.Last.Error()
				w.results <- last
			}
		})
		if err == nil {
			w.results <- "ready"
		}
		close(w.results)
	}()
	return w
}

// assertRefused asserts that a target's server refuses connections.
func assertRefused(t *testing.T, text string) {
	t.Helper()
	err := ask(t, text, ForWait)
	assert.EqualError(t, err, "connection refused")
	assert.True(t, classify(err).isCheap())
}

// assertNotReady asserts that an attempt fails with the error want, because the server reports
// that it is not ready. The failure must be classified as wrongAnswer: such a server is probed
// less often than a server that refuses connections.
func assertNotReady(t *testing.T, text, want string) {
	t.Helper()
	err := ask(t, text, ForWait)
	assert.EqualError(t, err, want)
	assert.Equal(t, wrongAnswer, classify(err))
}

// probeSeveralTimes probes a ready server five times, because some servers block a client only
// after several failed connections.
func probeSeveralTimes(t *testing.T, text string) {
	t.Helper()
	for range 5 {
		require.NoError(t, ask(t, text, ForWait))
	}
}

// sendAndReceive connects, sends data, and returns the connection and the beginning of the
// response. The connection stays open until the test ends.
func sendAndReceive(t *testing.T, port, data string) (net.Conn, string) {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(longTimeout))
	_, err = io.WriteString(conn, data)
	require.NoError(t, err)
	first := make([]byte, 4096)
	n, err := conn.Read(first)
	require.NoError(t, err)
	return conn, string(first[:n])
}

// nonLoopbackAddress returns an IPv4 address of this machine that is not loopback. Servers treat
// clients with this address as remote.
func nonLoopbackAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			return ip.IP.String()
		}
	}
	skip(t, "this machine has no address but loopback")
	return ""
}
