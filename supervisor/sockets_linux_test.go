package supervisor

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// nobody is the user ID of a user without capabilities.
const nobody = 65534

// inNetworkNamespace runs the calling test again in a new process with a network namespace
// of its own, as the user uid. It returns true in that process, after it has brought up the
// loopback device, and false in the process that has started it.
func inNetworkNamespace(t *testing.T, uid int) bool {
	t.Helper()
	const variable = "USHER_TEST_CHILD"
	if os.Getenv(variable) == t.Name() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		defer unix.Close(fd)
		lo, err := unix.NewIfreq("lo")
		require.NoError(t, err)
		lo.SetUint16(unix.IFF_UP)
		require.NoError(t, unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo))
		if uid != os.Getuid() {
			require.NoError(t, syscall.Setgroups(nil))
			require.NoError(t, syscall.Setgid(uid))
			require.NoError(t, syscall.Setuid(uid))
		}
		return true
	}
	child := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	child.Env = append(os.Environ(), variable+"="+t.Name())
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		if uid != 0 {
			skip(t, "needs root")
		}
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := child.CombinedOutput()
	if err != nil && len(out) == 0 {
		skip(t, "no network namespace can be made here: "+err.Error())
	}
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name(), "%s", out)
	return false
}

// skip skips a test that this machine cannot run. In CI, which sets USHER_TEST_ALL=1, the
// test fails instead, because everything that the tests need is installed there.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("USHER_TEST_ALL") == "1" {
		t.Fatalf("USHER_TEST_ALL=1 allows no skip: %s", reason)
	}
	t.Skip(reason)
}

// realApp is a server with real connections. Its field clients evaluates the state that the
// real kernel reports.
type realApp struct {
	t       *testing.T
	server  net.Listener
	system  kernel
	clients clients
}

func newRealApp(t *testing.T, address string) *realApp {
	server, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	return &realApp{t: t, server: server, system: newSystem(), clients: newClients(server)}
}

func newClients(server net.Listener) clients {
	return clients{ports: []uint16{portOf(server)}, idleTime: 50 * time.Millisecond, longest: longestAnswer}
}

func portOf(l net.Listener) uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }

func (a *realApp) connect() (client, app *net.TCPConn) {
	a.t.Helper()
	c, err := net.Dial("tcp", a.server.Addr().String())
	require.NoError(a.t, err)
	s, err := a.server.Accept()
	require.NoError(a.t, err)
	a.t.Cleanup(func() {
		c.Close()
		s.Close()
	})
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func (a *realApp) network() network {
	a.t.Helper()
	n, err := a.system.network()
	require.NoError(a.t, err)
	return n
}

// poll lists the connections once. It returns how many of them have a client that waits for
// an answer or for bytes ("is owed something").
func (a *realApp) poll() int {
	a.t.Helper()
	a.clients.update(a.network(), 0, time.Now())
	return a.clients.owed
}

// expectOwed polls until the clients of n connections wait for something and no other
// connection is active. A new value of the type clients, which knows nothing of earlier polls,
// must count the same n.
func (a *realApp) expectOwed(n int) {
	a.t.Helper()
	require.Eventually(a.t, func() bool {
		fresh := newClients(a.server)
		fresh.update(a.network(), 0, time.Now())
		return a.poll() == n && a.clients.active == 0 && fresh.owed == n
	}, time.Minute, 10*time.Millisecond, "%d owed, %d active", a.clients.owed, a.clients.active)
}

// expectTick waits until the last bytes were moved at least 20 ms ago. That is longer than a
// tick of the kernel's clock (at most 10 ms), so the kernel records a later time for the next
// bytes than for the last ones.
func (a *realApp) expectTick() {
	a.t.Helper()
	require.Eventually(a.t, func() bool {
		for _, k := range a.network().sockets {
			if k.port == portOf(a.server) && k.state != tcpListen && min(k.lastRecv, k.lastSent) < 20*time.Millisecond {
				return false
			}
		}
		return true
	}, time.Minute, time.Millisecond)
}

func send(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(from, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(to, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

var (
	request = "GET /report HTTP/1.1\r\nHost: app\r\n\r\n" + strings.Repeat(" ", smallTail)
	answer  = "HTTP/1.1 200 OK\r\n\r\n"
)

func TestRealConnections(t *testing.T) {
	for _, user := range []struct {
		name string
		uid  int
	}{{"root", 0}, {"nobody", nobody}} {
		for name, test := range map[string]func(t *testing.T, a *realApp){
			"fresh":          freshConnection,
			"exchange":       realExchange,
			"unread":         unreadRequest,
			"slow client":    slowClient,
			"half-closed":    halfClosed,
			"closed by app":  closedByApp,
			"few bytes":      fewBytesAfterAnAnswer,
			"fast exchanges": fastExchanges,
			"TLS":            overTLS,
		} {
			t.Run(user.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				if !inNetworkNamespace(t, user.uid) {
					return
				}
				for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
					test(t, newRealApp(t, address))
				}
			})
		}
	}
}

func freshConnection(t *testing.T, a *realApp) {
	client, _ := a.connect()
	idleTime := a.clients.idleTime
	a.clients.idleTime = time.Minute
	assert.Zero(t, a.poll())
	assert.Equal(t, 1, a.clients.active)
	a.clients.idleTime = idleTime
	a.expectOwed(0)
	require.NoError(t, client.CloseWrite()) // the client's FIN is not a byte, so nothing is owed
	a.expectOwed(0)
}

// The client waits for an answer until the answer has been sent, and waits again after the
// next request on the same connection.
func realExchange(t *testing.T, a *realApp) {
	client, app := a.connect()
	for range 2 {
		send(t, client, app, request)
		a.expectOwed(1)
		a.expectTick()
		send(t, app, client, answer)
		a.expectOwed(0)
	}
}

// The app has answered one request, and has not read the bytes of the next one.
func unreadRequest(t *testing.T, a *realApp) {
	client, app := a.connect()
	_, err := io.WriteString(client, request+request)
	require.NoError(t, err)
	_, err = io.ReadFull(app, make([]byte, len(request)))
	require.NoError(t, err)
	a.expectTick()
	send(t, app, client, answer)
	a.expectOwed(1)
	_, err = io.ReadFull(app, make([]byte, len(request)))
	require.NoError(t, err)
	a.expectOwed(0)
}

// The client does not read the answer, which fills the buffers of both sides.
func slowClient(t *testing.T, a *realApp) {
	client, app := a.connect()
	send(t, client, app, request)
	a.expectTick()
	sent := fill(t, app)
	a.expectOwed(1)
	_, err := io.CopyN(io.Discard, client, sent)
	require.NoError(t, err)
	a.expectOwed(0)
}

// fill sends as much as the buffers can hold. It calls write(2) directly. On a busy machine
// TCPConn.Write with a deadline could time out before it has tried to write.
func fill(t *testing.T, to *net.TCPConn) (sent int64) {
	t.Helper()
	raw, err := to.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		for {
			n, err := syscall.Write(int(fd), make([]byte, 64<<10))
			if err == nil {
				sent += int64(n)
				continue
			}
			require.Equal(t, syscall.EAGAIN, err)
			writable, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 50)
			if writable == 0 {
				return
			}
		}
	}))
	return sent
}

func halfClosed(t *testing.T, a *realApp) {
	client, app := a.connect()
	send(t, client, app, request)
	require.NoError(t, client.CloseWrite())
	_, err := app.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	a.expectOwed(1)
	a.expectTick()
	send(t, app, client, answer)
	a.expectOwed(0)
}

// The app has closed the connection, but the client has not received the whole answer.
func closedByApp(t *testing.T, a *realApp) {
	client, app := a.connect()
	send(t, client, app, request)
	fill(t, app)
	app.Close()
	a.expectOwed(1)
	_, err := io.Copy(io.Discard, client)
	require.NoError(t, err)
	a.expectOwed(0)
}

func fewBytesAfterAnAnswer(t *testing.T, a *realApp) {
	client, app := a.connect()
	send(t, client, app, request)
	a.poll()
	a.expectTick()
	send(t, app, client, answer)
	a.poll()
	a.expectTick()
	send(t, client, app, "WINDOW_UPDATE")
	n := a.network()
	a.clients.update(n, 0, time.Now())
	assert.Equal(t, 1, a.clients.owed)
	a.clients.update(n, 0, time.Now().Add(unclearTime))
	assert.Zero(t, a.clients.owed)
}

// Requests and answers follow each other so fast that the kernel may report the same time for
// the last byte received and the last byte sent. usher must still find out which came last. If
// it was an answer, the client must count as answered. It would do so in any case after
// unclearTime (5 s), so these polls get the same time (began). If it was a request, the client
// waits for an answer.
func fastExchanges(t *testing.T, a *realApp) {
	client, app := a.connect()
	for range 100 {
		send(t, client, app, request)
		send(t, app, client, answer)
	}
	a.poll()
	send(t, client, app, request)
	send(t, app, client, answer)
	began := time.Now()
	require.Eventually(t, func() bool {
		a.clients.update(a.network(), 0, began)
		return a.clients.owed == 0
	}, time.Minute, 10*time.Millisecond)
	send(t, client, app, request)
	send(t, app, client, answer)
	send(t, client, app, request)
	a.expectTick()
	a.poll()
	assert.Equal(t, 1, a.clients.owed)
}

func overTLS(t *testing.T, a *realApp) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, app := a.connect()
		certificate := httptest.NewUnstartedServer(nil)
		certificate.StartTLS()
		secureApp := tls.Server(app, &tls.Config{Certificates: certificate.TLS.Certificates})
		certificate.Close()
		secureClient := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
		finished := make(chan error)
		go func() { finished <- secureApp.Handshake() }()
		require.NoError(t, secureClient.Handshake())
		require.NoError(t, <-finished)
		send(t, secureClient, secureApp, request)
		a.expectOwed(1)
		a.expectTick()
		send(t, secureApp, secureClient, answer)
		a.expectOwed(0)
		a.expectTick()
		require.NoError(t, secureClient.CloseWrite()) // sends a close_notify alert
		_, err := secureApp.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		n := a.network()
		a.clients.update(n, 0, time.Now())
		a.clients.update(n, 0, time.Now().Add(unclearTime))
		assert.Zero(t, a.clients.owed)
		client.Close()
		app.Close()
	}
}

// Connections that are shorter than the pause between two polls are counted exactly.
func TestShortConnectionsAreCounted(t *testing.T) {
	if !inNetworkNamespace(t, 0) {
		return
	}
	a := newRealApp(t, "127.0.0.1:0")
	before := a.network()
	require.NoError(t, before.opensErr)
	for range 7 {
		client, app := a.connect()
		app.Close()
		client.Close()
	}
	assert.EqualValues(t, 7, a.network().opens-before.opens)
}

// /proc/net/tcp shows which sockets exist, but not how many bytes were sent and received. So
// every open connection counts as one whose client waits.
func TestRealConnectionsInProcNetTCP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		a := newRealApp(t, address)
		client, app := a.connect()
		sockets, err := readProcNetTCP("/proc/net/tcp", "/proc/net/tcp6")
		require.NoError(t, err)
		a.clients.update(network{sockets: sockets}, 0, time.Now())
		assert.True(t, a.clients.uncounted)
		assert.Equal(t, 1, a.clients.owed)
		inodes, err := a.system.socketInodes(t.Context())
		require.NoError(t, err)
		found := 0
		for _, k := range sockets {
			if k.state == tcpListen && k.port == portOf(a.server) && inodes[k.inode] {
				found++
			}
		}
		assert.Equal(t, 1, found)
		app.Close()
		client.Close()
	}
}

// The kernel's list of sockets shows the inode of a listening socket. The links in /proc/PID/fd
// must show the same inode, because usher finds the ports of the container's processes by it.
// The test tries both TCP and Multipath TCP, because Go listens with Multipath TCP by default
// if the kernel supports it.
func TestListeningSocketsAreFoundInDescriptors(t *testing.T) {
	for _, multipath := range []bool{true, false} {
		config := net.ListenConfig{}
		config.SetMultipathTCP(multipath)
		server, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer server.Close()
		n, err := newSystem().network()
		require.NoError(t, err)
		inodes, err := newSystem().socketInodes(t.Context())
		require.NoError(t, err)
		found := 0
		for _, k := range n.sockets {
			if k.state == tcpListen && k.port == portOf(server) {
				found++
				assert.True(t, inodes[k.inode], "multipath %v", multipath)
			}
		}
		assert.Equal(t, 1, found)
	}
}

func TestSocketInodesEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newSystem().socketInodes(ctx)
	assert.Equal(t, errScanTimeout, err)
}

func TestSocketsThatCannotBeListed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tcp")
	_, err := readProcNetTCP(file)
	assert.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(file, []byte("  sl  local_address rem_address   st\n   0: 0100007F:zz 00000000:0000 0A\n"), 0o600))
	_, err = readProcNetTCP(file)
	assert.ErrorContains(t, err, "invalid line")
}

func TestPassiveOpensThatCannotBeRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "snmp")
	_, err := passiveOpens(file)
	assert.ErrorIs(t, err, os.ErrNotExist)
	for text, want := range map[string]string{
		"":                                "has no Tcp PassiveOpens",
		"Tcp: ActiveOpens PassiveOpens\n": "has no Tcp PassiveOpens",
		"Tcp: ActiveOpens PassiveOpens\nTcp: 1\n":             "has no Tcp PassiveOpens",
		"Tcp: ActiveOpens PassiveOpens\nTcp: 1 x\n":           "invalid syntax",
		"Ip: PassiveOpens\nIp: 1\nTcp: ActiveOpens\nTcp: 1\n": "has no Tcp PassiveOpens",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := passiveOpens(file)
		assert.ErrorContains(t, err, want, "%q", text)
	}
	require.NoError(t, os.WriteFile(file, []byte("Ip: X\nIp: 9\nTcp: ActiveOpens PassiveOpens\nTcp: 1 23\n"), 0o600))
	n, err := passiveOpens(file)
	require.NoError(t, err)
	assert.EqualValues(t, 23, n)
}

// An older kernel returns a shorter tcp_info.
func TestParseInfoOfOlderKernels(t *testing.T) {
	info := make([]byte, 248)
	for offset, n := range map[int]uint32{44: 5, 52: 7, 56: 3, 136: 17, 156: 2} {
		binary.NativeEndian.PutUint32(info[offset:], n)
	}
	for offset, n := range map[int]uint64{120: 11, 128: 13, 200: 30, 208: 1} {
		binary.NativeEndian.PutUint64(info[offset:], n)
	}
	for _, c := range []struct {
		linux  string
		size   int
		parsed socket
	}{
		{"2.6", 104, socket{}},
		{"4.1", 136, socket{counted: true, lastSent: 5e6, lastRecv: 7e6, lastAck: 3e6, sent: 11, received: 13}},
		{"4.6", 160, socket{counted: true, lastSent: 5e6, lastRecv: 7e6, lastAck: 3e6, sent: 11, received: 13, acks: 15}},
		{"4.19", 232, socket{counted: true, lastSent: 5e6, lastRecv: 7e6, lastAck: 3e6, sent: 29, received: 13, acks: 15}},
		{"6.6", 248, socket{counted: true, lastSent: 5e6, lastRecv: 7e6, lastAck: 3e6, sent: 29, received: 13, acks: 15}},
	} {
		var k socket
		k.parseInfo(info[:c.size])
		assert.Equal(t, c.parsed, k, c.linux)
	}
}

// A kernel with sock_diag but without tcp_diag ends the dump with an errno.
func TestParseDumpReturnsTheErrnoOfAFailedDump(t *testing.T) {
	for _, kind := range []byte{unix.NLMSG_DONE, unix.NLMSG_ERROR} {
		_, _, err := parseDump([]byte("\x14\x00\x00\x00" + string(kind) + "\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff"))
		assert.Equal(t, syscall.ENOENT, err)
	}
	all, done, err := parseDump([]byte("\x14\x00\x00\x00\x03\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	assert.True(t, done && err == nil && all == nil)
}

// parseDump must return for any input, and must not return more sockets than the input
// has room for.
func FuzzDump(f *testing.F) {
	message := func(size int, attributes string) []byte {
		return []byte(fmt.Sprintf("%c\x00\x00\x00\x14\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x01%s%s", size, strings.Repeat("\x00", diagMessageSize-2), attributes))
	}
	f.Add(message(16+diagMessageSize, ""))
	f.Add(message(16+diagMessageSize+12, "\x0c\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x14\x00\x00\x00\x03\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x14\x00\x00\x00\x02\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, _, _ := parseDump(b)
		assert.LessOrEqual(t, len(all)*(16+diagMessageSize), len(b))
	})
}
