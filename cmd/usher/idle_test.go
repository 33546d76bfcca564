package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The tests in this file run usher with --drain-idle as PID 1 of a container with its own
// network, and use real clients.

// idleTime is the value of --drain-idle.
const idleTime = 300 * time.Millisecond

// answerOnDemand is a role of the test binary (see roles): an HTTP server on :8080, or on
// the address in its first argument.
//
//	/now    answers at once
//	/wait   prints "waiting", and answers when the server gets a line on stdin
//	/large  answers with largeAnswer bytes
func answerOnDemand() {
	address := ":8080"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	lines := make(chan bool)
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- true
		}
	}()
	http.HandleFunc("/now", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "now") })
	http.HandleFunc("/wait", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Println("waiting")
		<-lines
		io.WriteString(w, "answer")
	})
	http.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, largeAnswer))
	})
	server, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("serving")
	fmt.Println(http.Serve(server, nil))
	os.Exit(1)
}

// largeAnswer does not fit into the buffers of a connection on the loopback device.
const largeAnswer = 64 << 20

// idleTest is usher as PID 1 of a container with its own network namespace.
type idleTest struct {
	*process
	t       *testing.T
	network *os.File
}

// startWithNetwork starts usher in a new network namespace. flags is the command line of
// usher, such as "$usher --grace 9s", and command is the app.
func startWithNetwork(t *testing.T, flags string, command ...string) *idleTest {
	t.Helper()
	p := launcher{proc: true, net: true}.start(t, append([]string{"sh", "-c", `ip link set lo up; echo network ready; exec ` + flags + ` -- "$@"`, "sh"}, command...)...)
	p.stdout.expect("network ready")
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.pid()))
	require.NoError(t, err)
	t.Cleanup(func() { network.Close() })
	return &idleTest{p, t, network}
}

// startServer starts usher with answerOnDemand as the app.
func startServer(t *testing.T, flags string) *idleTest {
	t.Helper()
	needRoot(t)
	server, err := linkTo("answer-on-demand")
	require.NoError(t, err)
	c := startWithNetwork(t, fmt.Sprintf("$usher --drain-idle %v %s", idleTime, flags), server)
	c.stdout.expect("serving")
	return c
}

// startOutside starts a process in the network of the container, but outside of its PID
// namespace, like a process of another container in the same pod.
func (c *idleTest) startOutside(argv ...string) *process {
	c.t.Helper()
	return launcher{hostPID: true}.start(c.t, append([]string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", c.pid()), "--"}, argv...)...)
}

// dial connects to an address in the network of the container.
func (c *idleTest) dial(address string) (net.Conn, error) {
	// setns(2) changes the network namespace of this thread only. dial changes it back and
	// unlocks the thread. If dial did not unlock it, the thread would end together with its
	// goroutine, and the kernel would then kill the processes that the thread has started
	// (PR_SET_PDEATHSIG in prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	if err := unix.Setns(int(c.network.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	defer func() {
		if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
	}()
	return net.Dial("tcp4", address)
}

// client returns an HTTP client in the network of the container. The client keeps its
// connections open.
func (c *idleTest) client() *http.Client {
	transport := &http.Transport{DialContext: func(_ context.Context, _, address string) (net.Conn, error) { return c.dial(address) }}
	c.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// answer is the result of a request.
type answer struct {
	body string
	err  error
}

func getBody(client *http.Client, url string) answer {
	response, err := client.Get(url)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{string(body), err}
}

// getLater sends a request and returns when the server has received it. The answer arrives
// later on the channel.
func (c *idleTest) getLater(url string, server *process) <-chan answer {
	c.t.Helper()
	got := make(chan answer, 1)
	client := c.client()
	go func() { got <- getBody(client, url) }()
	server.stdout.expect("waiting")
	return got
}

// expectNotIdle waits until usher has begun the wait of --drain-idle, and checks that this wait
// has not ended after duration.
func (c *idleTest) expectNotIdle(duration time.Duration) {
	c.t.Helper()
	c.stderr.expect("keeps serving until no request is open")
	<-time.After(duration)
	assertNotPrinted(c.t, c.stderr.soFar(), "idle after")
}

// frontends are what the client connects to: nginx or HAProxy as a reverse proxy, or the app
// itself ("none"). The proxies keep their connections to the app open for later requests.
// They run outside of the container's PID namespace, so usher does not count the connections
// to their ports.
var frontends = map[string]struct{ url, program, config string }{
	"none": {url: "http://127.0.0.1:8080"},
	"nginx": {"http://127.0.0.1:8081", "nginx", `
		daemon off; master_process off; pid DIR/pid; error_log DIR/error.log; events {}
		http { access_log off;
			client_body_temp_path DIR; proxy_temp_path DIR; fastcgi_temp_path DIR; uwsgi_temp_path DIR; scgi_temp_path DIR;
			upstream app { server 127.0.0.1:8080; keepalive 8; }
			server { listen 8081; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }`},
	"haproxy": {"http://127.0.0.1:8081", "haproxy", `
defaults
  mode http
  timeout connect 5m
  timeout client 5m
  timeout server 5m
  http-reuse always
listen front
  bind :8081
  server app 127.0.0.1:8080
`},
}

func eachFrontend(t *testing.T, test func(t *testing.T, c *idleTest, url string)) {
	for name, f := range frontends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(f.program); f.program != "" && err != nil {
				skip(t, "needs "+f.program)
			}
			c := startServer(t, "--grace 60s")
			if f.program != "" {
				dir := t.TempDir()
				config := filepath.Join(dir, "config")
				require.NoError(t, os.WriteFile(config, []byte(strings.ReplaceAll(f.config, "DIR", dir)), 0o600))
				option := map[string]string{"nginx": "-c", "haproxy": "-f"}[f.program]
				c.startOutside(f.program, option, config)
			}
			client := c.client()
			require.Eventually(t, func() bool { return getBody(client, f.url+"/now").body == "now" }, patience, 10*time.Millisecond)
			test(t, c, f.url)
		})
	}
}

func TestIdleConnectionsDoNotDelayTheStop(t *testing.T) {
	t.Parallel()
	eachFrontend(t, func(t *testing.T, c *idleTest, url string) {
		client := c.client()
		for range 20 {
			require.Equal(t, answer{body: "now"}, getBody(client, url+"/now"))
		}
		c.signal(syscall.SIGTERM)
		c.stderr.expect("drain: idle after")
		assert.Equal(t, 143, c.code())
		assertNotPrinted(t, c.stderr.rest(), "warning")
	})
}

func TestOpenRequestsDelayTheStop(t *testing.T) {
	t.Parallel()
	eachFrontend(t, func(t *testing.T, c *idleTest, url string) {
		got := c.getLater(url+"/wait", c.process)
		c.signal(syscall.SIGTERM)
		c.expectNotIdle(5 * idleTime)
		c.write("answer\n")
		assert.Equal(t, answer{body: "answer"}, <-got)
		c.stderr.expect("drain: idle after")
		assert.Equal(t, 143, c.code())
	})
}

// usher does not stop the app while a client has not read its whole answer.
func TestUnreadAnswersDelayTheStop(t *testing.T) {
	t.Parallel()
	c := startServer(t, "--grace 60s")
	response, err := c.client().Get("http://127.0.0.1:8080/large")
	require.NoError(t, err)
	defer response.Body.Close()
	c.signal(syscall.SIGTERM)
	c.expectNotIdle(5 * idleTime)
	n, err := io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	assert.EqualValues(t, largeAnswer, n)
	c.stderr.expect("drain: idle after")
	assert.Equal(t, 143, c.code())
}

// Each request opens a connection and closes it again between two of usher's polls of the
// connections. usher notices these connections nevertheless, and stops the app only when no
// more of them are opened. The health checks do not delay the stop, although they go on after
// the last request, until usher exits.
func TestShortConnectionsDelayTheStop(t *testing.T) {
	t.Parallel()
	needRoot(t)
	server, err := linkTo("answer-on-demand")
	require.NoError(t, err)
	// --drain-idle is longer than a client on a busy machine pauses between two requests.
	c := startWithNetwork(t, "$usher --drain-idle 3s --grace 60s --health :8086", server)
	c.stdout.expect("serving")
	requests := func(url string) (stop func() error) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan bool)
		client := c.client()
		client.Transport.(*http.Transport).DisableKeepAlives = true
		var failed error
		go func() {
			defer close(ended)
			for ctx.Err() == nil && failed == nil {
				failed = getBody(client, url).err
				<-time.After(20 * time.Millisecond)
			}
		}()
		return func() error {
			cancel()
			<-ended
			return failed
		}
	}
	stopChecks := requests("http://127.0.0.1:8086/livez")
	stopRequests := requests("http://127.0.0.1:8080/now")
	c.signal(syscall.SIGTERM)
	c.expectNotIdle(5 * time.Second)
	require.NoError(t, stopRequests())
	c.stderr.expect("drain: idle after")
	_ = stopChecks() // the error is ignored, because a check fails once usher has exited
}

// A client that sends a byte now and then makes the drain last until the drain's time limit,
// but no longer.
func TestDrippingClientDoesNotDelayTheDeadline(t *testing.T) {
	t.Parallel()
	c := startServer(t, "--grace 4s")
	conn, err := c.dial("127.0.0.1:8080")
	require.NoError(t, err)
	defer conn.Close()
	drip := func() error {
		_, err := conn.Write([]byte("G"))
		return err
	}
	require.NoError(t, drip()) // before the stop signal, because without a byte the connection is idle
	go func() {
		for drip() == nil {
			<-time.After(idleTime / 3)
		}
	}()
	c.signal(syscall.SIGTERM)
	assert.Regexp(t, `^usher: warning: drain: not idle after \S+s, 1 connection waiting for an answer, 0 more active: its share of --grace is used up$`, c.stderr.expect("not idle"))
	assert.Equal(t, 143, c.code())
}

// A request to another container of the pod is open. The request delays the stop only if
// usher cannot find out on which ports its own container listens.
func TestRequestsToOtherContainersDoNotDelayTheStop(t *testing.T) {
	t.Parallel()
	server, err := linkTo("answer-on-demand")
	require.NoError(t, err)
	otherRequest := func(c *idleTest) (answered func()) {
		other := c.startOutside(server, ":9000")
		other.stdout.expect("serving")
		got := c.getLater("http://127.0.0.1:9000/wait", other)
		return func() {
			other.write("answer\n")
			assert.Equal(t, answer{body: "answer"}, <-got)
		}
	}
	t.Run("known ports", func(t *testing.T) {
		t.Parallel()
		c := startServer(t, "--grace 60s")
		answered := otherRequest(c)
		c.signal(syscall.SIGTERM)
		c.stderr.expect("drain: idle after")
		answered()
		assert.Equal(t, 143, c.code())
		assertNotPrinted(t, c.stderr.rest(), "warning")
	})
	// Without CAP_SYS_PTRACE usher cannot read the descriptors of a process that runs as
	// another user, so it cannot find out on which ports the app listens.
	t.Run("unknown ports", func(t *testing.T) {
		t.Parallel()
		needRoot(t)
		c := startWithNetwork(t, fmt.Sprintf("setpriv --bounding-set -sys_ptrace --inh-caps -sys_ptrace $usher --grace 60s --drain-idle %v", idleTime),
			"setpriv", "--reuid", "65534", "--clear-groups", "sh", "-c", "echo serving; exec sleep 1000")
		c.stdout.expect("serving")
		answered := otherRequest(c)
		c.signal(syscall.SIGTERM)
		line := c.stderr.expect("ports of setpriv are unknown")
		assert.Regexp(t, `^usher: warning: drain: waiting for the clients of all ports, because the ports of setpriv are unknown: read /proc/\d+/fd: permission denied \(a process runs as another user: usher needs CAP_SYS_PTRACE\)$`, line)
		c.expectNotIdle(5 * idleTime)
		answered()
		c.stderr.expect("drain: idle after")
	})
}

// A database has three clients: one is idle, one has subscribed, and one waits for a value.
// usher waits only for the client that waits for a value.
func TestBlockedReadsOfADatabaseDelayTheStop(t *testing.T) {
	t.Parallel()
	needRoot(t)
	if _, err := exec.LookPath("redis-server"); err != nil {
		skip(t, "needs redis-server")
	}
	c := startWithNetwork(t, fmt.Sprintf("$usher --grace 60s --drain-idle %v", idleTime), "redis-server", "--save", "", "--port", "8080")
	c.stdout.expect("Ready to accept connections")
	connect := func(command, reply string) *bufio.ReadWriter {
		conn, err := c.dial("127.0.0.1:8080")
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		client := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
		redisCall(t, client, command, reply)
		return client
	}
	idle := connect("PING", "+PONG")
	connect("SUBSCRIBE news", "*3")
	blocked := connect("PING", "+PONG")
	redisCall(t, blocked, "BLPOP "+strings.Repeat("a", 40)+" key 0", "")
	c.signal(syscall.SIGTERM)
	c.expectNotIdle(5 * idleTime)
	redisCall(t, idle, "RPUSH key value", ":1")
	redisCall(t, blocked, "", "*2")
	c.stderr.expect("drain: idle after")
	assert.Equal(t, 0, c.code())
}

// redisCall sends a command, and checks that reply is the next line. If command is empty,
// it sends nothing. If reply is empty, it reads nothing.
func redisCall(t *testing.T, client *bufio.ReadWriter, command, reply string) {
	t.Helper()
	if command != "" {
		_, err := client.WriteString(command + "\r\n")
		require.NoError(t, err)
		require.NoError(t, client.Flush())
	}
	if reply != "" {
		line, err := client.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, reply+"\r\n", line)
	}
}
