package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// freeAddress returns an address of loopback for usher to listen on. The test
// keeps a socket that is bound to it and does not listen: as long as there is
// one, the kernel gives the port to nobody who asks for any port. SO_REUSEADDR,
// which usher sets as well (package net), lets it listen beside that socket.
func freeAddress(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	require.NoError(t, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

// get asks and returns the status with the first line of the body.
func get(t *testing.T, address, path string) string {
	t.Helper()
	client := http.Client{Timeout: patience}
	answer, err := client.Get("http://" + address + path)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return fmt.Sprint(answer.StatusCode, " ", strings.TrimSpace(string(body)))
}

// A whole life as a platform's probes see it.
func TestHealthOfALife(t *testing.T) {
	t.Parallel()
	address, dir := freeAddress(t), t.TempDir()
	dependency, ready, fifo := filepath.Join(dir, "dependency"), filepath.Join(dir, "ready"), filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	touch := func(file string) { require.NoError(t, os.WriteFile(file, nil, 0o644)) }

	r := world{}.start(t, "--health", address, "--wait", "file://"+dependency, "--ready", "name=self file://"+ready,
		"--grace", "20s", "--drain", "cat "+fifo, "--", "sh", "-c", "echo up; read line; exit 0")
	r.stderr.expect("usher: listening for health checks on " + address)
	assert.Equal(t, "200 ok", get(t, address, "/livez"))
	assert.Equal(t, "503 not ready: the app has not started", get(t, address, "/readyz"))

	touch(dependency)
	r.stdout.expect("up")
	r.stderr.expect("start: sh started, pid ") // usher's own view, which may come later
	assert.Equal(t, "503 not ready: waiting for the --ready targets", get(t, address, "/readyz"))
	touch(ready)
	r.stderr.expect("ready: self is ready")
	var last string
	seen := func(want string) func() bool {
		return func() bool { last = get(t, address, "/readyz"); return last == want }
	}
	said := func() string { return last }
	eventually(t, seen("200 ok"), said)
	require.NoError(t, os.Remove(ready))
	eventually(t, seen("503 not ready: a --ready target failed"), said)
	r.stderr.expect("usher: warning: sh is no longer ready: self: no such file")
	touch(ready)
	eventually(t, seen("200 ok"), said)
	r.stderr.expect("usher: sh is ready again")

	r.signal(syscall.SIGTERM)
	r.stderr.expect("shutting down") // and the drain hook waits for its pipe: the app still serves
	assert.Equal(t, "503 not ready: shutting down", get(t, address, "/readyz"))
	assert.Equal(t, "200 ok", get(t, address, "/livez"))
	end, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	require.NoError(t, err)
	end.Close()
	r.stderr.expect("drain: hook cat finished")
	assert.Equal(t, 143, r.code())
}

// An address that cannot be had is known before anything starts.
func TestHealthAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	r := world{}.start(t, "--health", l.Addr().String(), "--pre-start", "echo did-run", "--", "echo", "did-run")
	assert.Equal(t, 125, r.code())
	assert.Equal(t, "usher: error: --health: cannot listen on "+l.Addr().String()+": bind: address already in use\n"+
		"usher: error: nothing was started (usher --help shows the flags)", r.stderr.rest())
	assert.Empty(t, r.stdout.rest())
}

// Nothing that a client does keeps others from their answer, or usher from its end.
func TestHealthOfHostileClients(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	r := world{}.start(t, append([]string{"--health", address}, puppet...)...)
	r.stdout.expect("ready")
	dial := func(request string) net.Conn {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		_, _ = io.WriteString(conn, request) // which may be cut off
		return conn
	}
	answer := func(request string) string {
		all, _ := io.ReadAll(dial(request))
		line, _, _ := strings.Cut(string(all), "\r\n")
		return line
	}
	const host = "Host: x\r\n\r\n"
	assert.Equal(t, "HTTP/1.1 200 OK", answer("GET /readyz?verbose HTTP/1.1\r\n"+host))
	assert.Equal(t, "HTTP/1.1 200 OK", answer("GET /livez HTTP/1.0\r\n\r\n"))
	assert.Equal(t, "HTTP/1.1 405 Method Not Allowed", answer("POST /livez HTTP/1.1\r\n"+host))
	assert.Equal(t, "HTTP/1.1 404 Not Found", answer("GET / HTTP/1.1\r\n"+host))
	head, _ := io.ReadAll(dial("HEAD /livez HTTP/1.1\r\n" + host))
	assert.True(t, strings.HasSuffix(string(head), "\r\n\r\n"), "%q", head)
	assert.Contains(t, string(head), "\r\nContent-Length: 3\r\n")
	assert.Regexp(t, `\r\nDate: \w+, .* GMT\r\n`, string(head))

	assert.Equal(t, "HTTP/1.1 400 Bad Request", answer("\x16\x03\x01\x02\x00\x01garbage\r\n\r\n"))
	assert.Contains(t, []string{"HTTP/1.1 400 Bad Request", ""}, answer("GET /livez HTTP/1.1\r\nX: "+strings.Repeat("x", 1<<20)), "or cut off")
	oldest := dial("GET /livez HTTP/1.1\r\n") // which never goes on
	for range maxSilent {
		dial("")
	}
	newest := dial("GET /livez HTTP/1.1\r\n")
	_, err := oldest.Read(make([]byte, 1))
	assert.Error(t, err, "it was closed for a newer one")
	_, _ = io.WriteString(newest, host)
	all, _ := io.ReadAll(newest)
	assert.Contains(t, string(all), "HTTP/1.1 200 OK", "there is time for it")
	r.signal(syscall.SIGTERM)
	r.stdout.expect("got 15")
	r.in.Close()
	assert.Equal(t, 0, r.code())
}

// slowTarget is a ready target that answers at once until its answers are held back.
type slowTarget struct {
	url   string
	hold  atomic.Bool
	asked chan struct{} // something was asked that is held back
	allow chan struct{} // closed: all is answered
}

func newSlowTarget(t *testing.T) *slowTarget {
	s := &slowTarget{asked: make(chan struct{}, 1000), allow: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.hold.Load() {
			s.asked <- struct{}{}
			select {
			case <-s.allow:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	s.url = server.URL
	return s
}

// holdBack returns when a request of /readyz waits for the target. What that is
// answered comes to the channel.
func (s *slowTarget) holdBack(t *testing.T, address string) <-chan string {
	t.Helper()
	s.hold.Store(true)
	answer := make(chan string, 1)
	go func() {
		for { // while it is answered from memory
			all := exchange(address, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
			if len(s.asked) > 0 || !strings.HasSuffix(all, "\nok\n") {
				answer <- all
				return
			}
		}
	}()
	require.Eventually(t, func() bool { return len(s.asked) > 0 }, patience, time.Millisecond)
	return answer
}

// exchange sends a request and returns all that is answered.
func exchange(address, request string) string {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, request)
	all, _ := io.ReadAll(conn)
	return string(all)
}

// Who has sent a request gets its answer, however many others connect and send
// nothing, or ask as well.
func TestHealthKeepsThoseWhoHaveAsked(t *testing.T) {
	t.Parallel()
	address, target := freeAddress(t), newSlowTarget(t)
	r := world{}.start(t, "--health", address, "--ready", "timeout=0 "+target.url, "--grace", "100s", "--", "sh", "-c", "echo up; read line; exit 0")
	r.stdout.expect("up")
	r.stderr.expect("ready: ")
	first := target.holdBack(t, address)

	silent := func() {
		for range 5 * maxSilent {
			conn, err := net.Dial("tcp", address)
			require.NoError(t, err)
			t.Cleanup(func() { conn.Close() })
		}
	}
	answers := make(chan string, 2*maxWaiting)
	ask := func(n int) {
		for range n {
			conn, err := net.Dial("tcp", address)
			require.NoError(t, err)
			_, _ = io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
			go func() {
				defer conn.Close()
				all, _ := io.ReadAll(conn)
				answers <- string(all)
			}()
		}
	}
	ask(1)
	silent()
	const tooMany = 20
	ask(maxWaiting - 2 + tooMany) // one waits in holdBack
	silent()
	// Those who can be answered at once are, and so are those for whom there is no room.
	assert.Equal(t, "200 ok", get(t, address, "/livez"))
	for range tooMany {
		require.Contains(t, <-answers, "\nnot ready: too many requests are waiting\n")
	}
	close(target.allow)
	assert.Contains(t, <-first, "HTTP/1.1 200 OK\r\n")
	for range maxWaiting - 1 {
		require.Contains(t, <-answers, "HTTP/1.1 200 OK\r\n")
	}
	assert.Equal(t, "200 ok", get(t, address, "/readyz"))
	r.in.Close()
	assert.Equal(t, 0, r.code())
}

// Those who wait for an answer when the shutdown begins are not told that all is well.
func TestReadinessOfThoseWhoWaitWhenTheStopBegins(t *testing.T) {
	t.Parallel()
	address, target := freeAddress(t), newSlowTarget(t)
	r := world{}.start(t, "--health", address, "--ready", "timeout=0 "+target.url, "--grace", "100s", "--drain-delay", "90s", "--", "sh", "-c", "echo up; read line; exit 0")
	r.stdout.expect("up")
	r.stderr.expect("ready: ")
	first := target.holdBack(t, address)
	later := make(chan string, 1)
	go func() { later <- exchange(address, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n") }()
	assert.Equal(t, "200 ok", get(t, address, "/livez"))
	r.signal(syscall.SIGTERM)
	for _, answer := range []string{<-first, <-later} {
		assert.Contains(t, answer, "HTTP/1.1 503 ")
		assert.Contains(t, answer, "\nnot ready: shutting down\n")
	}
	r.in.Close()
	assert.Equal(t, 0, r.code())
}

// brokenListener is one whose accept fails.
type brokenListener struct {
	net.Listener
	calls atomic.Int32
	most  int32
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.calls.Add(1) == l.most {
		runtime.Goexit() // serve has no other end
	}
	return nil, syscall.EMFILE
}

// An accept that fails would fail again at once, and usher waits before it tries. The
// silent connections are closed, those that have asked only if there are no others.
func TestHealthDoesNotSpinWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &brokenListener{most: 100}
		closed := make(chan string, 3)
		conn := func(name string) *healthConn {
			far, near := net.Pipe()
			go func() {
				far.Read(make([]byte, 1))
				closed <- name
			}()
			return &healthConn{Conn: near}
		}
		h := &health{listener: l, silent: []*healthConn{conn("silent")}, waiting: []*healthConn{conn("waiting")}, checked: []*healthConn{conn("checked")}}
		go h.serve()
		synctest.Wait()
		assert.EqualValues(t, 1, l.calls.Load())
		time.Sleep(evictPause)
		synctest.Wait()
		assert.Equal(t, "silent", <-closed)
		assert.Empty(t, closed)
		time.Sleep(acceptRetryPause + evictPause)
		synctest.Wait()
		assert.ElementsMatch(t, []string{"waiting", "checked"}, []string{<-closed, <-closed})
		assert.EqualValues(t, 2, l.calls.Load())
		time.Sleep(97 * (evictPause + acceptRetryPause))
		synctest.Wait()
		assert.EqualValues(t, 99, l.calls.Load())
		time.Sleep(evictPause + acceptRetryPause) // serve ends
	})
}

// Clients that take all descriptors give way, those that wait for an answer too.
func TestHealthWithoutDescriptors(t *testing.T) {
	t.Parallel()
	needBash(t)
	for name, request := range map[string]string{"silent": "", "waiting": "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testWithoutDescriptors(t, request)
		})
	}
}

func testWithoutDescriptors(t *testing.T, request string) {
	target := newSlowTarget(t)
	address := freeAddress(t)
	cmd := exec.Command("bash", "-c", `
		for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -le 2 ] || eval "exec $fd>&-"; done # whoever runs this has some open
		ulimit -n 40; exec "$@"`, "bash", binary(t), "--health", address, "--ready", "timeout=0 "+target.url, "--grace", "8s", "--drain", "echo drained", "--", "sh", "-c", "echo up; read line; exit 0")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, ends := newReader(t, nil)
	stderr, ends := newReader(t, ends)
	cmd.Stdout, cmd.Stderr = ends[0], ends[1]
	require.NoError(t, cmd.Start())
	for _, f := range ends {
		f.Close()
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	stdout.expect("up")
	stderr.expect("ready: ")
	if request != "" {
		target.holdBack(t, address)
	}
	for range 60 {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		_, _ = io.WriteString(conn, request)
	}
	assert.Equal(t, "200 ok", get(t, address, "/livez"))
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	stderr.expect("drain echo| drained")
	stdin.Close()
	cmd.Wait()
}

// A command that is being asked when the app ends is usher's own: it ends too, and
// the app is not said to have left it behind.
func TestHealthCommandEndsWithTheApp(t *testing.T) {
	t.Parallel()
	address, own, hang := freeAddress(t), hold(t), filepath.Join(t.TempDir(), "hang")
	r := world{notPID1: true}.start(t, "--verbose", "--health", address,
		"--ready", "name=check timeout=0 sh -c 'test ! -e "+hang+" || { trap : TERM; exec 4>"+own.path+"; echo asked; while test -e "+hang+"; do sleep 0.1; done; }'",
		"--", "sh", "-c", "echo up; read line; exit 3")
	r.stdout.expect("up")
	r.stderr.expect("ready: check is ready")
	require.NoError(t, os.WriteFile(hang, nil, 0o644))
	client := http.Client{Timeout: patience}
	answered := make(chan error, 1)
	go func() {
		for { // until it is not answered from memory
			answer, err := client.Get("http://" + address + "/readyz")
			if err != nil || answer.StatusCode != http.StatusOK {
				answered <- err
				return
			}
			answer.Body.Close()
		}
	}()
	r.stderr.expect("ready check| asked")
	assert.True(t, own.isHeld())
	r.in.Close()
	<-answered
	assert.Equal(t, 3, r.code())
	assert.False(t, own.isHeld(), "it lives on")
	assert.NotContains(t, r.stderr.rest(), "exited and left")
}
