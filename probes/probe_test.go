package probes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
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

func TestTCP(t *testing.T) {
	closed := make(chan error, 2)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l := raw(t, "tcp", address, func(conn net.Conn) {
			_, err := conn.Read(make([]byte, 1))
			conn.Close()
			closed <- err
		})
		require.NoError(t, ask(t, "tcp://"+l.Addr().String(), ForWait))
		assert.Equal(t, io.EOF, <-closed, "the probe closes its connection")
		l.Close()
		assert.EqualError(t, ask(t, "tcp://"+l.Addr().String(), ForWait), "connection refused")
	}
	l := raw(t, "tcp", "[::1]:0", untilClosed)
	assert.NoError(t, ask(t, fmt.Sprintf("tcp://localhost:%d", l.Addr().(*net.TCPAddr).Port), ForWait), "both of localhost's addresses are tried")
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

func TestBlackHole(t *testing.T) {
	hole := blackhole(t, [4]byte{127, 0, 0, 2})
	target := parse(t, "tcp://"+hole.String(), ForWait)
	assert.EqualError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: short}), "timed out after 200ms")

	// Not 127.0.0.1, where another process may use this port.
	l := raw(t, "tcp", fmt.Sprintf("127.0.0.3:%d", hole.Port()), untilClosed)
	both := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{hole.Addr(), netip.MustParseAddr("127.0.0.3")}, nil
	}}
	attempt := Attempt{Timeout: 10 * time.Second, Resolver: both}
	for _, text := range []string{"tcp://db:%d", "http://db:%d/"} {
		target = parse(t, fmt.Sprintf(text, hole.Port()), ForWait)
		if strings.HasPrefix(text, "http") {
			l.Close()
			l = raw(t, "tcp", fmt.Sprintf("127.0.0.3:%d", hole.Port()), func(conn net.Conn) {
				io.WriteString(conn, "HTTP/1.0 204 No Content\r\n\r\n")
				untilClosed(conn)
			})
		}
		assert.NoError(t, target.Probe.Ask(t.Context(), attempt), "the address behind it is tried too")
	}
}

// After a refusal the next address is tried at once.
func TestManyAddresses(t *testing.T) {
	l := raw(t, "tcp", "127.0.0.1:0", untilClosed)
	var list []netip.Addr
	for i := range 30 {
		list = append(list, netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + i)}))
	}
	names := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) {
		return append(list, netip.MustParseAddr("127.0.0.1")), nil
	}}
	target := parse(t, fmt.Sprintf("tcp://db:%d", l.Addr().(*net.TCPAddr).Port), ForWait)
	begun := time.Now()
	assert.NoError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: time.Minute, Resolver: names}))
	assert.Less(t, time.Since(begun), 5*time.Second, "the staggers alone would be 9 s")
}

func TestMoreSpecificErrorIsReported(t *testing.T) {
	assert.Equal(t, syscall.ECONNREFUSED, moreSpecific(syscall.ENETUNREACH, syscall.ECONNREFUSED))
	assert.Equal(t, syscall.ECONNREFUSED, moreSpecific(syscall.ECONNREFUSED, syscall.ENETUNREACH))
	assert.Equal(t, syscall.EHOSTUNREACH, moreSpecific(syscall.EHOSTUNREACH, syscall.ENETUNREACH))
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	assert.EqualError(t, ask(t, "unix://"+path, ForWait), "no such socket")
	l := raw(t, "unix", path, untilClosed)
	assert.NoError(t, ask(t, "unix://"+path, ForWait))
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	err := ask(t, "unix://"+path, ForWait)
	assert.EqualError(t, err, "connection refused")
	assert.True(t, classify(err).isCheap())
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b")
	text := "file://" + strings.ReplaceAll(path, " ", "%20")
	err := ask(t, text, ForWait)
	assert.EqualError(t, err, "no such file")
	assert.True(t, classify(err).isCheap())
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	assert.NoError(t, ask(t, text, ForWait))
	assert.EqualError(t, ask(t, text+"/x", ForWait), "no such file")
	assert.NoError(t, ask(t, "file://"+filepath.Dir(path), ForWait), "a directory exists too")
}

func TestCommand(t *testing.T) {
	target := parse(t, `name=check /bin/check -a 'b c'`, ForEnd)
	facts := []HookVar{{"USHER_REASON", "signal"}}
	var got Command
	failed := errors.New("exit status 3")
	err := target.Probe.Ask(t.Context(), Attempt{HookVars: facts, Run: func(_ context.Context, c Command) error {
		got = c
		return failed
	}})
	assert.Equal(t, failed, err)
	assert.Equal(t, Command{"check", []string{"/bin/check", "-a", "b c"}, facts}, got)
	assert.Error(t, target.Probe.Ask(t.Context(), Attempt{}), "nobody to run it is a no")

	synctest.Test(t, func(t *testing.T) {
		err := target.Probe.Ask(t.Context(), Attempt{Timeout: 2 * time.Second, Run: func(ctx context.Context, _ Command) error {
			<-ctx.Done()
			return errors.New("signal: killed")
		}})
		assert.EqualError(t, err, "timed out after 2s")
	})
}

func TestHTTPStatuses(t *testing.T) {
	var status atomic.Int64
	l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		conn.Read(make([]byte, 4096))
		fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status.Load())
		conn.Close()
	})
	url := "http://" + l.Addr().String()
	probe, hook, chosen := parse(t, url, ForWait), parse(t, url, ForEnd), parse(t, "status=200-299,302,500 "+url, ForStart)
	for code := 200; code <= 599; code++ {
		status.Store(int64(code))
		check := func(target Target, yes bool) {
			err := target.Probe.Ask(t.Context(), Attempt{Timeout: 30 * time.Second})
			if yes {
				assert.NoError(t, err, "%v %d", target.Use, code)
			} else {
				assert.EqualError(t, err, fmt.Sprintf("status %d", code))
			}
		}
		check(probe, code < 400)
		check(hook, code < 300)
		check(chosen, code < 300 || code == 302 || code == 500)
	}
	// Interim responses are ignored; without a final response the attempt fails.
	status.Store(101)
	assert.EqualError(t, ask(t, url, ForWait), "status 101")
	assert.NoError(t, ask(t, "status=101 "+url, ForWait))
	for code := 100; code <= 199; code++ {
		if status.Store(int64(code)); code != 101 {
			err := probe.Probe.Ask(t.Context(), Attempt{Timeout: 30 * time.Second})
			assert.EqualError(t, err, "the connection was closed before the response was complete", "%d", code)
		}
	}
}

func TestHTTPRequest(t *testing.T) {
	type request struct {
		method, host, user, agent, body, query string
		header                                 http.Header
	}
	var got request
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		got = request{r.Method, r.Host, user + ":" + password, r.UserAgent(), string(body), r.URL.RawQuery, r.Header}
	})
	require.NoError(t, ask(t, url+"/?a=b&c", ForWait))
	assert.Equal(t, []string{"GET", ":", "usher", "", "a=b&c"}, []string{got.method, got.user, got.agent, got.body, got.query})
	assert.Equal(t, strings.TrimPrefix(url, "http://"), got.host)
	assert.Empty(t, got.header.Get("Accept-Encoding"))

	require.NoError(t, ask(t, "method=POST body=hello header='X: 1' header='x: 2' header='Host: auth.example' header='User-Agent: me' header=Accept: "+
		strings.Replace(url, "//", "//me:pa%20ss@", 1), ForWait))
	assert.Equal(t, []string{"POST", "auth.example", "me:pa ss", "me", "hello"}, []string{got.method, got.host, got.user, got.agent, got.body})
	assert.Equal(t, []string{"1", "2"}, got.header["X"])
	assert.NotContains(t, got.header, "Accept")

	require.NoError(t, ask(t, "method=HEAD "+url, ForWait))
	assert.Equal(t, "HEAD", got.method)
	require.NoError(t, ask(t, "body=x "+url, ForWait))
	assert.Equal(t, []string{"GET", "x"}, []string{got.method, got.body})

	facts := Attempt{HookVars: []HookVar{{"USHER_REASON", "signal"}, {"USHER_TIME_LEFT", "12"}}}
	require.NoError(t, RunHook(t.Context(), parse(t, url, ForEnd), facts))
	assert.Equal(t, []string{"signal", "12"}, []string{got.header.Get("Usher-Reason"), got.header.Get("Usher-Time-Left")})
	require.NoError(t, parse(t, url, ForWait).Probe.Ask(t.Context(), facts))
	assert.NotContains(t, got.header, "Usher-Reason", "a probe is told nothing")
}

func TestHTTPIgnoresHTTPProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var asked atomic.Bool
	url := serve(t, func(http.ResponseWriter, *http.Request) { asked.Store(true) })
	names := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}}
	require.NoError(t, parse(t, strings.Replace(url, "127.0.0.1", "auth", 1), ForWait).Probe.Ask(t.Context(), Attempt{Resolver: names}))
	assert.True(t, asked.Load())
}

func TestHTTPBodyIsSentAgain(t *testing.T) {
	var n atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if n.Add(1) < 4 || string(body) != "hello" {
			w.WriteHeader(503)
		}
	})
	require.NoError(t, RunHook(t.Context(), parse(t, "retries=3 method=POST body=hello "+url, ForEnd), Attempt{}))
}

func TestHTTPMatch(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", 10<<10-2)+"yes")
	})
	assert.NoError(t, ask(t, "match=x.e?ye?$ "+url, ForWait), "the first 10 KiB end within the word")
	assert.EqualError(t, ask(t, "match=yes "+url, ForWait), "body does not match match=")
}

func TestHTTPRedirects(t *testing.T) {
	var seen []string
	var url string
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, r.Method+" "+r.URL.Path+" "+string(body)+" "+r.Host+" "+r.Header.Get("X"))
		var n int
		fmt.Sscanf(r.URL.Path, "/%d", &n)
		if n > 11 {
			n = 0 // a status
		}
		switch {
		case n > 0:
			http.Redirect(w, r, fmt.Sprintf("/%d", n-1), 302)
		case r.URL.Path == "/0":
			w.WriteHeader(204)
		case r.URL.Path == "/keep":
			http.Redirect(w, r, "/end", 307)
		case r.URL.Path == "/drop":
			http.Redirect(w, r, "/end", 303)
		case r.URL.Path == "/absolute":
			http.Redirect(w, r, url+"/end", 301)
		case r.URL.Path == "/loop":
			http.Redirect(w, r, "/loop?CANARY", 302)
		case r.URL.Path == "/other":
			http.Redirect(w, r, "http://other.invalid/?CANARY", 302)
		case r.URL.Path == "/bad":
			w.Header().Set("Location", "http://[CANARY")
			w.WriteHeader(302)
		case r.URL.Path == "/scheme":
			w.Header().Set("Location", "ftp://127.0.0.1/CANARY")
			w.WriteHeader(302)
		case r.URL.Path == "/port":
			w.Header().Set("Location", "http://127.0.0.1:99999/CANARY")
			w.WriteHeader(302)
		case r.URL.Path == "/gone":
			http.Redirect(w, r, "/404", 302)
		case r.URL.Path == "/nowhere":
			w.WriteHeader(302)
		case r.URL.Path == "/404":
			w.WriteHeader(404)
		}
	})
	url = serve(t, mux.ServeHTTP)
	host := strings.TrimPrefix(url, "http://")
	tests := []struct {
		text string
		use  Use
		want string // the error
		last string // the last request
	}{
		{"%s/10", ForWait, "", "GET /0  " + host + " "},
		{"%s/11", ForWait, "more than 10 redirects", "GET /1  " + host + " "},
		{"%s/loop", ForWait, "more than 10 redirects", ""},
		{"%s/1", ForEnd, "status 302", "GET /1  " + host + " "},
		{"status=302 %s/1", ForEnd, "", "GET /1  " + host + " "},
		{"status=302 %s/1", ForWait, "", "GET /1  " + host + " "},
		{"status=204 %s/3", ForWait, "", "GET /0  " + host + " "},
		{"status=200 %s/3", ForWait, "status 204", ""},
		{"%s/gone", ForWait, "status 404", ""},
		{"%s/other", ForWait, "", ""},
		{"status=200 %s/other", ForWait, "status 302", ""},
		{"%s/nowhere", ForWait, "", ""},
		{"%s/bad", ForWait, "redirects to an invalid URL", ""},
		{"%s/scheme", ForWait, "redirects to a URL that is not http or https", ""},
		{"%s/port", ForWait, "redirects to a port that is not in 1-65535", ""},
		{"method=POST body=b header='X: y' %s/keep", ForWait, "", "POST /end b " + host + " y"},
		{"method=POST body=b header='X: y' %s/drop", ForWait, "", "GET /end  " + host + " y"},
		{"method=HEAD %s/drop", ForWait, "", "HEAD /end  " + host + " "},
		{"header='Host: v' %s/drop", ForWait, "", "GET /end  v "},
		{"header='Host: v' %s/absolute", ForWait, "", "GET /end  " + host + " "},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			seen = nil
			err := ask(t, fmt.Sprintf(test.text, url), test.use)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
			if test.last != "" {
				assert.Equal(t, test.last, seen[len(seen)-1])
			}
		})
	}
}

func TestHTTPHostileServers(t *testing.T) {
	tests := []struct {
		name, text, want string
		timeout          time.Duration
		answer           func(net.Conn)
	}{
		{"never answers", "http", "timed out after 200ms", short, func(net.Conn) {}},
		{"never shakes hands", "https", "timed out after 200ms", short, func(net.Conn) {}},
		{"drips headers", "http", "timed out after 200ms", short, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nA: ") }},
		{"stops within the body", "http", "timed out after 200ms", short, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		}},
		{"huge headers", "http", "more than 64 KiB of headers", 30 * time.Second, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x", 70<<10)+"\r\n\r\n")
		}},
		{"endless headers", "http", "more than 64 KiB of headers", 30 * time.Second, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for err := error(nil); err == nil; {
				_, err = io.WriteString(c, "A: CANARY\r\n")
			}
		}},
		{"endless body", "http", "", 30 * time.Second, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for err := error(nil); err == nil; {
				_, err = io.WriteString(c, strings.Repeat("x", 4096))
			}
		}},
		{"other protocol", "http", "not a valid HTTP response", 30 * time.Second, func(c net.Conn) {
			io.WriteString(c, "SSH-2.0-CANARY\r\n\r\n")
		}},
		{"no TLS", "https", "the server does not speak TLS", 30 * time.Second, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.0 400 Bad\r\n\r\n")
		}},
		{"hangs up", "http", "the connection was closed before the response was complete", 30 * time.Second, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			c.Close()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
				test.answer(conn)
				untilClosed(conn)
			})
			target := parse(t, test.text+"://u:CANARY@"+l.Addr().String()+"/?CANARY", ForWait)
			err := target.Probe.Ask(t.Context(), Attempt{Timeout: test.timeout})
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
		})
	}
}

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

// selfSigned makes a self-signed certificate for 127.0.0.1.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestHTTPS(t *testing.T) {
	var body []byte
	url := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) }), nil)
	assert.NoError(t, ask(t, "method=PUT body=x "+url, ForEnd))
	assert.Equal(t, "x", string(body))
	assert.EqualError(t, ask(t, strings.Replace(url, "127.0.0.1", "localhost", 1), ForWait), "the certificate is not for the name localhost")
	assert.EqualError(t, ask(t, strings.Replace(url, "https", "http", 1), ForWait), "status 400")

	url = serveTLS(t, http.NotFoundHandler(), &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}})
	assert.EqualError(t, ask(t, url, ForWait), "the certificate is self-signed")

	url = serveTLS(t, http.NotFoundHandler(), &tls.Config{ClientAuth: tls.RequireAnyClientCert})
	assert.EqualError(t, ask(t, url, ForWait), "the server requires a client certificate")
}

// A server that responds before it has read the request, such as nc.
func TestHTTPEarlyResponse(t *testing.T) {
	l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\nhello")
		conn.(*net.TCPConn).CloseWrite()
		untilClosed(conn)
	})
	for range 100 {
		require.NoError(t, ask(t, "match=hello http://"+l.Addr().String(), ForWait))
	}
}

func TestHTTPIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	assert.NoError(t, ask(t, "http://"+l.Addr().String()+"/", ForWait))
}

// If the context ends, its cause is reported, not the error of the connection.
func TestHTTPReturnsTheCauseOfItsContext(t *testing.T) {
	asked := make(chan bool, 1)
	l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		asked <- true
		untilClosed(conn)
	})
	ctx, stop := context.WithCancelCause(t.Context())
	signal := errors.New("SIGTERM")
	go func() {
		<-asked
		stop(signal)
	}()
	assert.Equal(t, signal, parse(t, "http://"+l.Addr().String(), ForWait).Probe.Ask(ctx, Attempt{}))
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}

// 2000 attempts leave no descriptors and goroutines. The servers run in this process too, so
// they are closed first.
func TestHTTPLeavesNoDescriptorsOrGoroutines(t *testing.T) {
	// The garbage collector would close leaked connections.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	ok := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200 + int(r.ContentLength)*303) // 503 for a body of one byte
		io.WriteString(w, strings.Repeat("x", 20<<10))
	}))
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	tests := []struct {
		text     string
		attempts int
	}{
		{ok.URL, 2000},
		{"body=x " + ok.URL, 200},
		{"tcp://" + strings.TrimPrefix(ok.URL, "http://"), 200},
		{secure.URL, 100},
		{strings.Replace(secure.URL, "127.0.0.1", "localhost", 1), 100},
		{"unix:///no/such", 200},
		{"file:///", 200},
	}
	for _, test := range tests {
		target := parse(t, test.text, ForWait)
		for range test.attempts {
			target.Probe.Ask(t.Context(), Attempt{Timeout: 30 * time.Second})
		}
	}
	ok.Close()
	secure.Close()
	assertNothingLeft(t, fds, goroutines)
}

// The files of headers are read at each attempt, because a token may be created late and
// renewed.
func TestHTTPHeaderFromFile(t *testing.T) {
	var got http.Header
	var host string
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { got, host = r.Header, r.Host })
	path := filepath.Join(t.TempDir(), "token")
	target := parse(t, "header='X: 1' header='X: @"+path+"' header='Authorization: @"+path+"' "+strings.Replace(url, "//", "//u:p@", 1), ForWait)
	ask := func() error { return target.Probe.Ask(t.Context(), Attempt{Timeout: 30 * time.Second}) }

	assert.EqualError(t, ask(), "cannot read the file of header= X: no such file")
	for _, token := range []string{"Bearer x", " Bearer y\n", "Bearer z\r\n"} {
		write(t, path, []byte(token))
		require.NoError(t, ask())
		assert.Equal(t, []string{strings.TrimSpace(token)}, got["Authorization"], "it replaces the user of the URL")
		assert.Equal(t, []string{"1", strings.TrimSpace(token)}, got["X"])
	}
	write(t, path, []byte("CANARY\n\n"))
	assert.EqualError(t, ask(), "header= X: a control character in its value", "one newline is trimmed, not two")
	write(t, path, make([]byte, maxHeaderBytes+1))
	assert.EqualError(t, ask(), "cannot read the file of header= X: it has more than 64 KiB")

	write(t, path, []byte("auth.example\n"))
	target = parse(t, "header='Host: @"+path+"' "+url, ForEnd)
	require.NoError(t, ask())
	assert.Equal(t, "auth.example", host)
	write(t, path, []byte("a/b"))
	assert.ErrorContains(t, ask(), "header= Host: write it once")
}
