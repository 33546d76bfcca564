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

// TestMain makes the certificate of httptest the only trusted one. The system's
// certificates are read once in a process, when they are first needed.
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
	if os.Getenv("USHER_TEST_NO_CA") != "" {
		os.Remove(dir + "/ca.pem") // TestTLSWithoutCACertificates
	}
	os.Setenv("SSL_CERT_FILE", dir+"/ca.pem")
	os.Setenv("SSL_CERT_DIR", dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// skip skips a test that this machine cannot run. CI sets USHER_TEST_ALL=1 and has all that
// tests need, so there a skip is a failure: it would hide a broken machine.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("USHER_TEST_ALL") == "1" {
		t.Fatalf("USHER_TEST_ALL=1 allows no skip: %s", reason)
	}
	t.Skip(reason)
}

// enough is a timeout that only a hanging test reaches.
const enough = 90 * time.Second

// short is the timeout of attempts that are to time out. Nothing may be asserted to happen
// within it, because a busy machine may be slower.
const short = 200 * time.Millisecond

func parse(t *testing.T, text string, use Use) Target {
	t.Helper()
	target, err := Parse(text, use)
	require.NoError(t, err)
	return target
}

// ask makes one attempt, with a timeout that only a hanging test reaches.
func ask(t *testing.T, text string, use Use) error {
	t.Helper()
	return parse(t, text, use).Probe.Ask(t.Context(), Attempt{Timeout: 30 * time.Second})
}

// raw accepts connections and passes each to f.
func raw(t *testing.T, network, address string, f func(net.Conn)) net.Listener {
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
			go f(conn)
		}
	}()
	return l
}

func untilClosed(conn net.Conn) { io.Copy(io.Discard, conn); conn.Close() }

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func serveTLS(t *testing.T, handler http.Handler, config *tls.Config) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = config
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// grpcServer is net/http's server with HTTP/2 and without TLS. It compresses header fields
// and sends trailers.
func grpcServer(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return "grpc://" + server.Listener.Addr().String()
}

// health responds as grpc-go does: with a message, and a status in trailers; or with a
// status in the headers only.
func health(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	service := ""
	if len(body) > 7 {
		service = string(body[7:])
	}
	w.Header().Set("Content-Type", "application/grpc")
	message, status := "", "0"
	switch service {
	case "", "up":
		message = "\x00\x00\x00\x00\x02\x08\x01"
	case "down":
		message = "\x00\x00\x00\x00\x02\x08\x02"
	case "unclear":
		message = "\x00\x00\x00\x00\x00"
	case "lost":
		message = "\x00\x00\x00\x00\x02\x08\x03"
	case "odd":
		message = "\x00\x00\x00\x00\x03\x08\xac\x02"
	case "more": // unknown fields of every wire type around the status
		message = "\x00\x00\x00\x00\x14\x12\x02hi\x08\x01\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04"
	case "compressed":
		message = "\x01\x00\x00\x00\x02\x08\x01"
	case "two":
		message = "\x00\x00\x00\x00\x02\x08\x01\x00\x00\x00\x00\x02\x08\x01"
	case "short":
		message = "\x00\x00\x00\x00\x03\x08\x01"
	case "silent":
	case "unknown":
		status = "5"
	case "unimplemented":
		status = "12"
	case "later":
		status = "4242"
	case "words":
		status = "CANARY"
	case "503":
		w.WriteHeader(503)
		return
	case "299":
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

// serveHealth is a TLS server that is ready, over HTTP/1 and gRPC. It returns its address.
func serveHealth(t *testing.T, config *tls.Config) string {
	t.Helper()
	url := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			health(w, r)
		}
	}), config)
	return strings.TrimPrefix(url, "https://")
}

// unusedPort returns a port of localhost that refuses connections until a server listens on
// it. The test keeps a socket that is bound to the port and does not listen, so that the
// kernel assigns the port to no other process. With SO_REUSEADDR, which servers set too,
// the server can still listen on it.
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

// blackhole listens on an address, and accepts no more connections.
func blackhole(t *testing.T, address [4]byte) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: address}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	to := netip.AddrPortFrom(netip.AddrFrom4(address), uint16(name.(*syscall.SockaddrInet4).Port))
	conn, err := net.Dial("tcp", to.String()) // fills the backlog of 0+1
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return to
}

// inChild runs the calling test again, in a new process with new namespaces. It reports
// whether this is that process.
func inChild(t *testing.T, namespaces uintptr) bool {
	t.Helper()
	const mark = "USHER_TEST_CHILD"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), mark+"="+t.Name(), "GODEBUG=netdns=go") // as the static binary does
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	if namespaces != 0 && os.Getuid() != 0 {
		again.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		again.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := again.CombinedOutput()
	if err != nil && len(out) == 0 { // it has not started
		skip(t, fmt.Sprintf("cannot make namespaces: %v", err))
	}
	require.NoError(t, err, "%s", out)
	if _, reason, skipped := strings.Cut(string(out), "--- SKIP: "+t.Name()); skipped {
		skip(t, reason)
	}
	require.Contains(t, string(out), "--- PASS: "+t.Name(), "%s", out)
	return false
}

// names returns a resolver that resolves every name to these addresses.
func names(list ...string) *Resolver {
	return &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) { return addrs(list...), nil }}
}

func addrs(list ...string) (a []netip.Addr) {
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}
