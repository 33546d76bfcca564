package probes

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain makes the certificate of httptest the only trusted one. If the environment variable
// that noCA names is set, no certificate is trusted. TestMain does so before all tests, because
// a process reads the system's certificates only once.
func TestMain(m *testing.M) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	trusted := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	server.Close()
	dir, err := os.MkdirTemp("", "probes")
	if err == nil {
		err = os.WriteFile(dir+"/ca.pem", trusted, 0o600)
	}
	if err != nil {
		panic(err)
	}
	if os.Getenv(noCA) != "" {
		os.Remove(dir + "/ca.pem")
	}
	os.Setenv("SSL_CERT_FILE", dir+"/ca.pem")
	os.Setenv("SSL_CERT_DIR", dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// noCA is the name of an environment variable. If it is set, the tests trust no certificate.
const noCA = "USHER_TEST_NO_CA"

// skip skips a test that this machine cannot run. In CI, which sets USHER_TEST_ALL=1, the test
// fails instead, because everything that the tests need is installed there.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("USHER_TEST_ALL") == "1" {
		t.Fatalf("USHER_TEST_ALL=1 allows no skip: %s", reason)
	}
	t.Skip(reason)
}

const (
	// longTimeout is a limit that only a hanging test reaches.
	longTimeout = 90 * time.Second
	// shortTimeout is for attempts that must time out. No test may expect that something
	// else happens within that time, because the machine may be busy.
	shortTimeout = 200 * time.Millisecond
)

func parse(t *testing.T, text string, use Use) Target {
	t.Helper()
	target, err := Parse(text, use)
	require.NoError(t, err)
	return target
}

// ask parses a target and probes it once.
func ask(t *testing.T, text string, use Use) error {
	t.Helper()
	return parse(t, text, use).Probe.Ask(t.Context(), Attempt{Timeout: longTimeout})
}

// listen accepts connections until the test ends, and passes each to handle in a goroutine.
func listen(t *testing.T, network, address string, handle func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return l
}

// lingerLong makes a probe of a ready server wait until the server has closed its side, even if
// that takes longer than a second. A test that calls it must not run in parallel with others.
func lingerLong(t *testing.T) {
	usual := lingerTimeout
	lingerTimeout = longTimeout
	t.Cleanup(func() { lingerTimeout = usual })
}

// readUntilClosed reads until the client has closed the connection, and then closes it too.
func readUntilClosed(conn net.Conn) { io.Copy(io.Discard, conn); conn.Close() }

// serveBytes starts a server that calls respond for each connection, and then reads until
// the client has closed the connection. It returns the server's address.
func serveBytes(t *testing.T, respond func(io.Writer)) string {
	t.Helper()
	return listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		respond(conn)
		readUntilClosed(conn)
	}).Addr().String()
}

// startHTTP starts a server of net/http. The server runs until the test ends or the caller
// closes it. configure, if not nil, changes the server before the start. If configure sets the
// field TLS, the server uses TLS.
func startHTTP(t *testing.T, handler http.Handler, configure func(*httptest.Server)) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if configure != nil {
		configure(server)
	}
	if server.TLS != nil {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

// serveHTTP starts a server and returns its URL.
func serveHTTP(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	return startHTTP(t, handler, nil).URL
}

// serveTLS starts a server with TLS, HTTP/1 and HTTP/2, and returns its URL. With a nil
// config the certificate is the one that the tests trust.
func serveTLS(t *testing.T, handler http.Handler, config *tls.Config) string {
	t.Helper()
	if config == nil {
		config = new(tls.Config)
	}
	return startHTTP(t, handler, func(s *httptest.Server) { s.TLS, s.EnableHTTP2 = config, true }).URL
}

// serveGRPC starts a server with HTTP/2 and without TLS, and returns its grpc:// URL. The
// server compresses header fields, and sends the trailers that handler sets.
func serveGRPC(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := startHTTP(t, handler, func(s *httptest.Server) {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
	})
	return "grpc://" + server.Listener.Addr().String()
}

// respondHealth is a handler of health checks. The name of the service in the request selects
// the response. Most responses are like those of grpc-go: a message and a status in the
// trailers, or a status in the headers only. Others, such as "compressed", are invalid.
func respondHealth(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	service := ""
	if len(body) > 7 {
		service = string(body[7:])
	}
	w.Header().Set("Content-Type", "application/grpc")
	message, status := "", "0"
	switch service {
	case "", "serving":
		message = "\x00\x00\x00\x00\x02\x08\x01"
	case "not-serving":
		message = "\x00\x00\x00\x00\x02\x08\x02"
	case "health-unknown":
		message = "\x00\x00\x00\x00\x00"
	case "service-unknown":
		message = "\x00\x00\x00\x00\x02\x08\x03"
	case "health-300":
		message = "\x00\x00\x00\x00\x03\x08\xac\x02"
	case "unknown-fields": // with unknown fields of the wire types 1, 2 and 5 before and after the status
		message = "\x00\x00\x00\x00\x14\x12\x02hi\x08\x01\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04"
	case "compressed":
		message = "\x01\x00\x00\x00\x02\x08\x01"
	case "two-messages":
		message = "\x00\x00\x00\x00\x02\x08\x01\x00\x00\x00\x00\x02\x08\x01"
	case "truncated":
		message = "\x00\x00\x00\x00\x03\x08\x01"
	case "no-message":
	case "unknown":
		status = "5"
	case "unimplemented":
		status = "12"
	case "code-4242":
		status = "4242"
	case "code-text":
		status = "CANARY"
	case "http-503":
		w.WriteHeader(503)
		return
	case "http-299":
		w.WriteHeader(299)
		return
	case "no status":
		io.WriteString(w, "\x00\x00\x00\x00\x02\x08\x01")
		return
	default:
		status = strings.TrimPrefix(service, "status ")
	}
	w.Header().Set("Grpc-Message", "CANARY")
	if message == "" {
		w.Header().Set("Grpc-Status", status)
		return
	}
	io.WriteString(w, message)
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
}

// serveHealth starts a server that counts as ready for https:// and grpcs://, and returns its
// address.
func serveHealth(t *testing.T, config *tls.Config) string {
	t.Helper()
	url := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			respondHealth(w, r)
		}
	}), config)
	return strings.TrimPrefix(url, "https://")
}

// unusedPort returns a port of 127.0.0.1 that refuses connections until a server listens
// on it. A socket that is bound to the port but does not listen keeps the kernel from
// assigning the port to another process. Servers set SO_REUSEADDR, as this socket does, so
// they can still listen on the port.
func unusedPort(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	require.NoError(t, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	return strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
}

// listenWithFullBacklog listens on an address and fills the backlog, so that the kernel drops
// the packets of further connections.
func listenWithFullBacklog(t *testing.T, address [4]byte) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: address}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	to := netip.AddrPortFrom(netip.AddrFrom4(address), uint16(name.(*syscall.SockaddrInet4).Port))
	conn, err := net.Dial("tcp", to.String()) // a backlog of 0 still holds one connection
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return to
}

// runsInChild runs the calling test again in a new process. namespaces are the flags of
// clone(2) for new namespaces (0: none), and env is added to the environment. runsInChild
// returns true in the new process. In the old process it returns false after the new process
// has passed the test, and otherwise fails or skips the test.
func runsInChild(t *testing.T, namespaces uintptr, env ...string) bool {
	t.Helper()
	const variable = "USHER_TEST_CHILD"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	// netdns=go selects Go's resolver. The released usher uses it too, because it is
	// statically linked.
	child.Env = append(append(os.Environ(), variable+"="+t.Name(), "GODEBUG=netdns=go"), env...)
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	if namespaces != 0 && os.Getuid() != 0 {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := child.CombinedOutput()
	if err != nil && len(out) == 0 { // no output, so the process did not start
		skip(t, fmt.Sprintf("cannot create namespaces: %v", err))
	}
	require.NoError(t, err, "%s", out)
	if _, reason, skipped := strings.Cut(string(out), "--- SKIP: "+t.Name()); skipped {
		skip(t, reason)
	}
	require.Contains(t, string(out), "--- PASS: "+t.Name(), "%s", out)
	return false
}

// resolverOf returns a resolver that resolves each name to these addresses.
func resolverOf(list ...string) *Resolver {
	return &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) { return parseAddrs(list...), nil }}
}

func parseAddrs(list ...string) (a []netip.Addr) {
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}

// countDescriptors returns how many descriptors this process has open.
func countDescriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}
