package probes

import (
	"bufio"
	"context"
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

// program finds a server's program by its paths in Debian, which may be patterns.
func program(t *testing.T, name string, patterns ...string) string {
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
	dir      string // its own
}

func (a account) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		attributes.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attributes
}

func (a account) command(argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.SysProcAttr = a.dir, a.attributes()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + a.dir, "TMPDIR=" + a.dir, "LC_ALL=C"}
	return cmd
}

func (a account) run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := a.command(argv...).CombinedOutput()
	require.NoError(t, err, "%v: %s", argv, out)
	return string(out)
}

// write creates a file that the account can read.
func (a account) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(path, a.uid, a.gid))
	}
	return path
}

func (a account) start(t *testing.T, argv ...string) *daemon {
	t.Helper()
	return startCommand(t, a.command(argv...))
}

// accountOf returns the account as which Debian's package runs the server, or this user if
// the test does not run as root.
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

// A daemon is a running server in its own process group, with its log.
type daemon struct {
	t   *testing.T
	cmd *exec.Cmd
	end syscall.Signal // kills it and all processes that it has started

	mu    sync.Mutex
	lines []string
	ended bool
	news  chan struct{} // closed and replaced at every line
}

func (d *daemon) add(line string, last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended = last; !last {
		d.lines = append(d.lines, line)
	}
	close(d.news)
	d.news = make(chan struct{})
}

// stop kills the server and all processes that it has started.
func (d *daemon) stop() {
	if d.cmd.ProcessState != nil {
		return
	}
	group := -d.cmd.Process.Pid
	syscall.Kill(group, d.end)
	hung := time.AfterFunc(enough, func() { syscall.Kill(group, syscall.SIGKILL) })
	d.cmd.Wait()
	hung.Stop()
}

// logEnds waits for the end of the log of a server that has exited.
func (d *daemon) logEnds() {
	for limit := time.After(enough); ; {
		d.mu.Lock()
		ended, news := d.ended, d.news
		d.mu.Unlock()
		if ended {
			return
		}
		select {
		case <-news:
		case <-limit:
			d.t.Fatal("the log has no end")
		}
	}
}

func (d *daemon) mark() int { return len(d.since(0)) }

func (d *daemon) since(mark int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines[mark:])
}

// line waits for a line after the mark, and returns the mark after that line.
func (d *daemon) line(mark int, pattern string) int {
	d.t.Helper()
	want := regexp.MustCompile(pattern)
	for limit := time.After(enough); ; {
		d.mu.Lock()
		lines, ended, news := d.lines, d.ended, d.news
		d.mu.Unlock()
		for ; mark < len(lines); mark++ {
			if want.MatchString(lines[mark]) {
				return mark + 1
			}
		}
		if ended {
			d.t.Fatalf("the server has ended without a line like %q", pattern)
		}
		select {
		case <-news:
		case <-limit:
			d.t.Fatalf("no line like %q", pattern)
		}
	}
}

// logged returns the lines from the mark up to one that matches pattern, which the last
// action of the test causes. Lines that match a pattern of usual are left out.
func (d *daemon) logged(mark int, pattern string, usual ...string) []string {
	d.t.Helper()
	end := d.line(mark, pattern)
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []string
	for _, line := range d.lines[mark : end-1] {
		if !slices.ContainsFunc(usual, func(p string) bool { return regexp.MustCompile(p).MatchString(line) }) {
			found = append(found, line)
		}
	}
	return found
}

func startCommand(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = write, write
	require.NoError(t, cmd.Start())
	write.Close()
	d := &daemon{t: t, cmd: cmd, end: syscall.SIGKILL, news: make(chan struct{})}
	go func() {
		for lines := bufio.NewScanner(read); lines.Scan(); {
			d.add(lines.Text(), false)
		}
		read.Close()
		d.add("", true)
	}()
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", filepath.Base(cmd.Path), strings.Join(d.since(0), "\n"))
		}
	})
	return d
}

// waiting probes in the background, as --wait does, until the target is ready.
type waiting struct {
	t      *testing.T
	answer chan string // every result that differs from the one before; "yes" at last
	cancel func()
}

// hears waits for the result want. Results that come before it must be in the list.
func (w *waiting) hears(want string, before ...string) {
	w.t.Helper()
	for {
		got, open := <-w.answer
		require.True(w.t, open, "the wait ended without %q", want)
		if got == want {
			return
		}
		require.Contains(w.t, before, got)
	}
}

func wait4(t *testing.T, text string) *waiting {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	w := &waiting{t, make(chan string, 100), cancel}
	t.Cleanup(cancel)
	targets := []Target{parse(t, text, ForWait)}
	go func() {
		var last string
		err := Wait(ctx, targets, Attempt{}, func(u Update) {
			if u.Kind == TargetTried && u.Status.Last != nil && u.Status.Last.Error() != last {
				last = u.Status.Last.Error()
				w.answer <- last
			}
		})
		if err == nil {
			w.answer <- "yes"
		}
		close(w.answer)
	}()
	return w
}

const notThere = "connection refused"

func isRefused(t *testing.T, text string) {
	t.Helper()
	err := ask(t, text, ForWait)
	assert.EqualError(t, err, notThere)
	assert.True(t, classify(err).isCheap())
}

// isNo asserts that an error is an answer of the server, which gets fewer attempts then.
func isNo(t *testing.T, text, want string) {
	t.Helper()
	err := ask(t, text, ForWait)
	assert.EqualError(t, err, want)
	assert.Equal(t, wrongAnswer, classify(err))
}

// several probes often enough for effects that add up.
func several(t *testing.T, text string) {
	t.Helper()
	for range 5 {
		require.NoError(t, ask(t, text, ForWait))
	}
}

// say connects, sends, and returns the connection and the beginning of the answer.
func say(t *testing.T, port, words string) (net.Conn, string) {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(enough))
	_, err = io.WriteString(conn, words)
	require.NoError(t, err)
	first := make([]byte, 4096)
	n, err := conn.Read(first)
	require.NoError(t, err)
	return conn, string(first[:n])
}

// elsewhere returns an address of this machine that is not loopback. Servers treat its
// clients as remote.
func elsewhere(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			return ip.IP.String()
		}
	}
	skip(t, "no address but loopback")
	return ""
}
