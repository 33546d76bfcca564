package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
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

	"github.com/usher-init/usher/supervisor"
)

// freeAddress returns a loopback address for usher to listen on. Until the end of the test,
// a socket of the test is bound to the address and does not listen. So the kernel does not
// assign the port to another process. Usher can still listen on the port, because the
// test's socket and usher's socket have SO_REUSEADDR (package net sets it for usher).
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

// get sends a GET request and returns the status and the body.
func get(t *testing.T, address, path string) string {
	t.Helper()
	client := http.Client{Timeout: patience}
	response, err := client.Get("http://" + address + path)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return fmt.Sprint(response.StatusCode, " ", strings.TrimSpace(string(body)))
}

// The test requests /readyz and /servingz during the wait, before the --ready target becomes
// ready, while it is ready, after it has stopped being ready, during the drain, and after the
// app's stop signal. It requests /livez during the wait and the drain, and after the stop signal.
func TestHealthChecksFromWaitToDrain(t *testing.T) {
	t.Parallel()
	address, dir := freeAddress(t), t.TempDir()
	dependency, ready, fifo := filepath.Join(dir, "dependency"), filepath.Join(dir, "ready"), filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	touch := func(file string) { require.NoError(t, os.WriteFile(file, nil, 0o644)) }

	r := launcher{}.usher(t, "--health", address, "--wait", "file://"+dependency, "--ready", "name=self file://"+ready,
		"--grace", "20s", "--drain", "cat "+fifo, "--", puppet(t), "catch", "app")
	r.stderr.expect("usher: listening for health checks on " + address)
	assert.Equal(t, "200 ok", get(t, address, "/livez"))
	assert.Equal(t, "503 not ready: the app has not started", get(t, address, "/readyz"))
	assert.Equal(t, "503 not serving: the app has not started", get(t, address, "/servingz"))

	touch(dependency)
	r.stdout.expect("ready")
	r.stderr.expect("start: puppet started, pid ") // the app may print "ready" before usher knows that it has started
	assert.Equal(t, "503 not ready: waiting for the --ready targets", get(t, address, "/readyz"))
	assert.Equal(t, "503 not serving: waiting for the --ready targets", get(t, address, "/servingz"))
	touch(ready)
	r.stderr.expect("ready: self is ready")
	var last string
	expect := func(path, want string) {
		eventually(t, func() bool { last = get(t, address, path); return last == want }, func() string { return last })
	}
	expect("/readyz", "200 ok")
	expect("/servingz", "200 ok")
	require.NoError(t, os.Remove(ready))
	expect("/servingz", "503 not serving: a --ready target failed")
	expect("/readyz", "503 not ready: a --ready target failed")
	r.stderr.expect("usher: warning: puppet is no longer ready: self: no such file")
	touch(ready)
	expect("/servingz", "200 ok")
	expect("/readyz", "200 ok")
	r.stderr.expect("usher: puppet is ready again")

	r.signal(syscall.SIGTERM)
	r.stderr.expect("shutting down") // the drain lasts until the test opens the FIFO of its hook
	assert.Equal(t, "503 not ready: shutting down", get(t, address, "/readyz"))
	assert.Equal(t, "200 ok", get(t, address, "/servingz"))
	assert.Equal(t, "200 ok", get(t, address, "/livez"))
	end, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	require.NoError(t, err)
	end.Close()
	r.stderr.expect("drain: hook cat finished")
	r.stdout.expect("got 15") // the app is still running, but has got its stop signal
	assert.Equal(t, "503 not serving: shutting down", get(t, address, "/servingz"))
	assert.Equal(t, "503 not ready: shutting down", get(t, address, "/readyz"))
	assert.Equal(t, "200 ok", get(t, address, "/livez"))
	r.in.Close()
	assert.Equal(t, 0, r.code())
}

// If the app exits by itself, /servingz returns 503 as long as usher still runs.
func TestServingzAfterTheAppHasExited(t *testing.T) {
	t.Parallel()
	address, fifo := freeAddress(t), filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	r := launcher{}.usher(t, append([]string{"--health", address, "--post-stop", "cat " + fifo}, catcher(t)...)...)
	r.stdout.expect("ready")
	r.stderr.expect("start: puppet started, pid ")
	assert.Equal(t, "200 ok", get(t, address, "/servingz"))
	r.in.Close()
	end, err := os.OpenFile(fifo, os.O_WRONLY, 0) // blocks until the hook has opened the FIFO
	require.NoError(t, err)
	assert.Equal(t, "503 not serving: shutting down", get(t, address, "/servingz"))
	end.Close()
	assert.Equal(t, 0, r.code())
}

// If usher cannot listen on the address, it exits before it starts anything.
func TestHealthAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	r := launcher{}.usher(t, "--health", l.Addr().String(), "--pre-start", "echo did-run", "--", "echo", "did-run")
	assert.Equal(t, 125, r.code())
	assert.Equal(t, "usher: error: --health: cannot listen on "+l.Addr().String()+": bind: address already in use\n"+
		"usher: error: nothing was started (usher --help shows the flags)", r.stderr.rest())
	assert.Empty(t, r.stdout.rest())
}

// A hostile client cannot prevent the responses to other clients, and cannot prevent the
// shutdown.
func TestHealthSurvivesHostileClients(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	r := launcher{}.usher(t, append([]string{"--health", address}, catcher(t)...)...)
	r.stdout.expect("ready")
	r.stderr.expect("start: puppet started, pid ")
	dial := func(request string) net.Conn {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		_, _ = io.WriteString(conn, request) // fails if usher has already closed the connection
		return conn
	}
	statusLine := func(request string) string {
		all, _ := io.ReadAll(dial(request))
		line, _, _ := strings.Cut(string(all), "\r\n")
		return line
	}
	const host = "Host: x\r\n\r\n"
	assert.Equal(t, "HTTP/1.1 200 OK", statusLine("GET /readyz?verbose HTTP/1.1\r\n"+host))
	assert.Equal(t, "HTTP/1.1 200 OK", statusLine("GET /livez HTTP/1.0\r\n\r\n"))
	assert.Equal(t, "HTTP/1.1 405 Method Not Allowed", statusLine("POST /livez HTTP/1.1\r\n"+host))
	assert.Equal(t, "HTTP/1.1 405 Method Not Allowed", statusLine("POST /servingz HTTP/1.1\r\n"+host))
	assert.Equal(t, "HTTP/1.1 200 OK", statusLine("HEAD /servingz HTTP/1.1\r\n"+host))
	assert.Equal(t, "HTTP/1.1 404 Not Found", statusLine("GET / HTTP/1.1\r\n"+host))
	assert.Equal(t, "404 not found (try /livez, /readyz or /servingz)", get(t, address, "/healthz"))
	head, _ := io.ReadAll(dial("HEAD /livez HTTP/1.1\r\n" + host))
	assert.True(t, strings.HasSuffix(string(head), "\r\n\r\n"), "%q", head)
	assert.Contains(t, string(head), "\r\nContent-Length: 3\r\n")
	assert.Regexp(t, `\r\nDate: \w+, .* GMT\r\n`, string(head))

	assert.Equal(t, "HTTP/1.1 400 Bad Request", statusLine("\x16\x03\x01\x02\x00\x01garbage\r\n\r\n"))
	assert.Contains(t, []string{"HTTP/1.1 400 Bad Request", ""}, statusLine("GET /livez HTTP/1.1\r\nX: "+strings.Repeat("x", 1<<20)), "usher must respond with an error or reset the connection")
	oldest := dial("GET /livez HTTP/1.1\r\n") // an incomplete request
	for range maxSilent {
		dial("")
	}
	newest := dial("GET /livez HTTP/1.1\r\n")
	_, err := oldest.Read(make([]byte, 1))
	assert.Error(t, err, "the oldest connection was not closed")
	_, _ = io.WriteString(newest, host)
	all, _ := io.ReadAll(newest)
	assert.Contains(t, string(all), "HTTP/1.1 200 OK", "the newest connection was closed")
	r.signal(syscall.SIGTERM)
	r.stdout.expect("got 15")
	r.in.Close()
	assert.Equal(t, 0, r.code())
}

// slowTarget is an HTTP server for a --ready target. If hold is true, the server responds
// only after release is closed, else at once.
type slowTarget struct {
	url     string
	hold    atomic.Bool
	held    chan struct{} // receives a value for each request that is held back
	release chan struct{} // once it is closed, the server responds to all requests
}

func newSlowTarget(t *testing.T) *slowTarget {
	s := &slowTarget{held: make(chan struct{}, 1000), release: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.hold.Load() {
			s.held <- struct{}{}
			select {
			case <-s.release:
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

// holdBack waits until usher is ready, and makes the server hold back its responses. Then it
// requests /readyz until usher's probe of the target is held back. The returned channel receives the response to the last
// of these requests.
func (s *slowTarget) holdBack(t *testing.T, address string) <-chan string {
	t.Helper()
	expectReadyz(t, address)
	s.hold.Store(true)
	response := make(chan string, 1)
	go func() {
		for { // repeat, because usher may first respond with the cached result of an earlier probe
			all := exchange(address, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
			if len(s.held) > 0 || !strings.HasSuffix(all, "\nok\n") {
				response <- all
				return
			}
		}
	}()
	require.Eventually(t, func() bool { return len(s.held) > 0 }, patience, time.Millisecond)
	return response
}

// expectReadyz waits until /readyz returns 200. usher logs that a target is ready a moment before.
func expectReadyz(t *testing.T, address string) {
	t.Helper()
	var last string
	eventually(t, func() bool { last = get(t, address, "/readyz"); return last == "200 ok" }, func() string { return last })
}

// exchange sends a request and returns the whole response.
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

// A client that has sent a whole request gets a response, even if many other clients connect
// and send nothing, or also wait for a response to /readyz.
func TestHealthRespondsToEveryCompleteRequest(t *testing.T) {
	t.Parallel()
	address, target := freeAddress(t), newSlowTarget(t)
	r := launcher{}.usher(t, "--health", address, "--ready", "timeout=0 "+target.url, "--grace", "100s", "--", "sh", "-c", "echo up; read line; exit 0")
	r.stdout.expect("up")
	r.stderr.expect("ready: ")
	first := target.holdBack(t, address)

	connectSilently := func() {
		for range 5 * maxSilent {
			conn, err := net.Dial("tcp", address)
			require.NoError(t, err)
			t.Cleanup(func() { conn.Close() })
		}
	}
	responses := make(chan string, 2*maxWaiting)
	requestReadyz := func(n int) {
		for range n {
			conn, err := net.Dial("tcp", address)
			require.NoError(t, err)
			_, _ = io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
			go func() {
				defer conn.Close()
				all, _ := io.ReadAll(conn)
				responses <- string(all)
			}()
		}
	}
	requestReadyz(1)
	connectSilently()
	const tooMany = 20
	requestReadyz(maxWaiting - 2 + tooMany) // two requests are waiting already: the request of holdBack and the request above
	connectSilently()
	assert.Equal(t, "200 ok", get(t, address, "/livez"))
	for range tooMany {
		require.Contains(t, <-responses, "\nnot ready: too many requests are waiting\n")
	}
	close(target.release)
	assert.Contains(t, <-first, "HTTP/1.1 200 OK\r\n")
	for range maxWaiting - 1 {
		require.Contains(t, <-responses, "HTTP/1.1 200 OK\r\n")
	}
	assert.Equal(t, "200 ok", get(t, address, "/readyz"))
	r.in.Close()
	assert.Equal(t, 0, r.code())
}

// When the shutdown starts, waiting requests for /readyz get a 503. Waiting requests for
// /servingz get the result of the last finished probe of the --ready targets, because the app
// still serves.
func TestWaitingRequestsGetResponsesWhenTheShutdownStarts(t *testing.T) {
	t.Parallel()
	address, target := freeAddress(t), newSlowTarget(t)
	r := launcher{}.usher(t, "--health", address, "--ready", "timeout=0 "+target.url, "--grace", "100s", "--drain-delay", "90s", "--", "sh", "-c", "echo up; read line; exit 0")
	r.stdout.expect("up")
	r.stderr.expect("ready: ")
	first := target.holdBack(t, address)
	later, serving := make(chan string, 1), make(chan string, 1)
	go func() { later <- exchange(address, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n") }()
	go func() { serving <- exchange(address, "GET /servingz HTTP/1.1\r\nHost: x\r\n\r\n") }()
	assert.Equal(t, "200 ok", get(t, address, "/livez"))
	r.signal(syscall.SIGTERM)
	for _, response := range []string{<-first, <-later} {
		assert.Contains(t, response, "HTTP/1.1 503 ")
		assert.Contains(t, response, "\nnot ready: shutting down\n")
	}
	assert.Contains(t, <-serving, "HTTP/1.1 200 OK\r\n")
	r.in.Close()
	assert.Equal(t, 0, r.code())
}

// brokenListener is a listener whose Accept fails with EMFILE.
type brokenListener struct {
	net.Listener
	calls    atomic.Int32
	maxCalls int32 // the call with this number ends the goroutine of serve
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.calls.Add(1) == l.maxCalls {
		runtime.Goexit() // serve never returns, but synctest.Test waits for the end of all goroutines
	}
	return nil, syscall.EMFILE
}

// pipeListener is a listener whose connections come from a channel.
type pipeListener struct {
	net.Listener
	conns chan net.Conn
}

func (l *pipeListener) Accept() (net.Conn, error) {
	conn, open := <-l.conns
	if !open {
		runtime.Goexit() // see brokenListener
	}
	return conn, nil
}

// At most maxOpen connections are open, whether they have sent a request or not. The oldest are
// closed first, so the newest client gets a response.
func TestHealthLimitsOpenConnections(t *testing.T) {
	for _, request := range []string{"", "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			l := &pipeListener{conns: make(chan net.Conn)}
			defer close(l.conns)
			h := &health{listener: l, ready: supervisor.NewReadiness(), maxOpen: 4}
			go h.serve()
			connect := func(request string) net.Conn {
				client, server := net.Pipe()
				t.Cleanup(func() { client.Close() })
				l.conns <- server
				_, err := io.WriteString(client, request)
				require.NoError(t, err)
				synctest.Wait()
				return client
			}
			for range 20 {
				connect(request)
				assert.LessOrEqual(t, h.open.Load(), h.maxOpen, "%q", request)
			}
			newest := connect("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
			response, err := http.ReadResponse(bufio.NewReader(newest), nil)
			require.NoError(t, err)
			assert.Equal(t, http.StatusOK, response.StatusCode)
			time.Sleep(3 * requestTimeout) // the checks for the /readyz requests get no answer, and have ended then
		})
	}
}

// If accept fails, usher pauses before it calls accept again. Meanwhile it closes the
// connections that have not sent a request. If there are none, it closes the connections
// that wait for a response.
func TestHealthDoesNotSpinWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &brokenListener{maxCalls: 100}
		closed := make(chan string, 3)
		h := &health{listener: l, maxOpen: 10}
		conn := func(name string) *healthConn {
			far, near := net.Pipe()
			go func() {
				far.Read(make([]byte, 1))
				closed <- name
			}()
			return &healthConn{Conn: near, health: h}
		}
		h.silent, h.waiting, h.checked = []*healthConn{conn("silent")}, []*healthConn{conn("waiting")}, []*healthConn{conn("checked")}
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
		time.Sleep(evictPause + acceptRetryPause) // the next call of Accept ends serve
	})
}

// If clients use up all descriptors, usher closes their connections, so that it can run its
// hooks.
func TestHealthFreesDescriptorsForHooks(t *testing.T) {
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
	r := launcher{hostPID: true}.start(t, "bash", "-c", `
		for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -le 2 ] || eval "exec $fd>&-"; done # close descriptors inherited from the test
		ulimit -n 40; exec "$@"`, "bash", binary(t), "--health", address, "--ready", "timeout=0 "+target.url, "--grace", "8s", "--drain", "echo drained", "--", "sh", "-c", "echo up; exec sleep 100000")
	r.stdout.expect("up")
	r.stderr.expect("ready: ")
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
	r.signal(syscall.SIGTERM)
	r.stderr.expect("drain echo| drained")
	assert.Equal(t, 143, r.code())
}

// If the command of a --ready target is running when the app exits, usher kills the
// command. It does not report the command as a process that the app left running.
func TestReadyCommandIsKilledWhenTheAppExits(t *testing.T) {
	t.Parallel()
	address, own, hang := freeAddress(t), hold(t), filepath.Join(t.TempDir(), "hang")
	r := launcher{hostPID: true}.usher(t, "--verbose", "--health", address,
		"--ready", "name=check timeout=0 sh -c 'test ! -e "+hang+" || { trap : TERM; exec 4>"+own.path+"; echo probed; while test -e "+hang+"; do sleep 0.1; done; }'",
		"--", "sh", "-c", "echo up; read line; exit 3")
	r.stdout.expect("up")
	r.stderr.expect("ready: check is ready")
	expectReadyz(t, address)
	require.NoError(t, os.WriteFile(hang, nil, 0o644))
	client := http.Client{Timeout: patience}
	responded := make(chan error, 1)
	go func() {
		for { // repeat, because usher may first respond with the cached result of an earlier probe
			response, err := client.Get("http://" + address + "/readyz")
			if err != nil || response.StatusCode != http.StatusOK {
				responded <- err
				return
			}
			response.Body.Close()
		}
	}()
	r.stderr.expect("ready check| probed")
	assert.True(t, own.isHeld())
	r.in.Close()
	<-responded
	assert.Equal(t, 3, r.code())
	eventually(t, func() bool { return !own.isHeld() }, func() string { return "the command is still running" })
	assertNotPrinted(t, r.stderr.rest(), "exited and left")
}
