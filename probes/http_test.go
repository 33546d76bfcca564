package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHTTPStatusesThatCountAsReady(t *testing.T) {
	var status atomic.Int64
	l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		conn.Read(make([]byte, 4096))
		fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status.Load())
		conn.Close()
	})
	url := "http://" + l.Addr().String()
	probe, hook, withStatus := parse(t, url, ForWait), parse(t, url, ForEnd), parse(t, "status=200-299,302,500 "+url, ForStart)
	for code := 200; code <= 599; code++ {
		status.Store(int64(code))
		check := func(target Target, ready bool) {
			err := target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout})
			if ready {
				assert.NoError(t, err, "%v %d", target.Use, code)
			} else {
				assert.EqualError(t, err, fmt.Sprintf("status %d", code))
			}
		}
		check(probe, code < 400)
		check(hook, code < 300)
		check(withStatus, code < 300 || code == 302 || code == 500)
	}
	// A status below 200 other than 101 belongs to an interim response. The probe ignores that
	// response, and fails if no final one follows.
	status.Store(101)
	assert.EqualError(t, ask(t, url, ForWait), "status 101")
	assert.NoError(t, ask(t, "status=101 "+url, ForWait))
	for code := 100; code <= 199; code++ {
		if status.Store(int64(code)); code != 101 {
			err := probe.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout})
			assert.EqualError(t, err, "the connection was closed before the response was complete", "%d", code)
		}
	}
}

func TestHTTPRequestIsMadeFromTheOptions(t *testing.T) {
	type request struct {
		method, host, user, agent, body, query string
		header                                 http.Header
	}
	var got request
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
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

	attempt := Attempt{HookVars: []HookVar{{"USHER_REASON", "signal"}, {"USHER_TIME_LEFT", "12"}}}
	require.NoError(t, RunHook(t.Context(), parse(t, url, ForEnd), attempt))
	assert.Equal(t, []string{"signal", "12"}, []string{got.header.Get("Usher-Reason"), got.header.Get("Usher-Time-Left")})
	require.NoError(t, parse(t, url, ForWait).Probe.Ask(t.Context(), attempt))
	assert.NotContains(t, got.header, "Usher-Reason", "only requests of hooks have headers for HookVars")
}

func TestHTTPIgnoresHTTPProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var requested atomic.Bool
	url := serveHTTP(t, func(http.ResponseWriter, *http.Request) { requested.Store(true) })
	// The Transport of net/http ignores HTTP_PROXY for 127.0.0.1, but uses it for other hosts. So
	// the test probes the host auth, which resolves to 127.0.0.1.
	require.NoError(t, parse(t, strings.Replace(url, "127.0.0.1", "auth", 1), ForWait).Probe.Ask(t.Context(), Attempt{Resolver: resolverOf("127.0.0.1")}))
	assert.True(t, requested.Load())
}

func TestHTTPRetrySendsTheBodyAgain(t *testing.T) {
	var n atomic.Int64
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if n.Add(1) < 4 || string(body) != "hello" {
			w.WriteHeader(503)
		}
	})
	require.NoError(t, RunHook(t.Context(), parse(t, "retries=3 method=POST body=hello "+url, ForEnd), Attempt{}))
}

func TestHTTPMatchReadsTheFirst10KiB(t *testing.T) {
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", 10<<10-2)+"yes")
	})
	assert.NoError(t, ask(t, "match=x.e?ye?$ "+url, ForWait), "the first 10 KiB end within \"yes\"")
	assert.EqualError(t, ask(t, "match=yes "+url, ForWait), "the first 10 KiB do not match match=, and the response is longer")
}

func TestHTTPMatchSaysWhetherTheResponseIsLonger(t *testing.T) {
	const longer = "the first 10 KiB do not match match=, and the response is longer"
	for size, want := range map[int]string{0: "body does not match match=", 10<<10 - 1: "body does not match match=", 10 << 10: "body does not match match=", 10<<10 + 1: longer, 1 << 20: longer} {
		for _, chunked := range []bool{false, true} {
			url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				if !chunked {
					w.Header().Set("Content-Length", fmt.Sprint(size))
				}
				w.WriteHeader(200)
				http.NewResponseController(w).Flush()
				io.WriteString(w, strings.Repeat("x", size))
			})
			assert.EqualError(t, ask(t, "match=yes "+url, ForWait), want, "%d bytes, chunked: %v", size, chunked)
		}
	}
}

func TestHTTPHeaderEndsWithTheContentOfAFile(t *testing.T) {
	var got []string
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { got = r.Header.Values("X") })
	dir := t.TempDir()
	writeFile(t, dir+"/token", []byte("c2VjcmV0 \r\n"))
	writeFile(t, dir+"/with space", []byte("s"))
	writeFile(t, dir+"/empty", []byte("\n"))
	writeFile(t, dir+"/lines", []byte("a\nCANARY\n"))
	for value, want := range map[string]string{
		"@" + dir + "/token":             "c2VjcmV0",
		"Bearer @" + dir + "/token":      "Bearer c2VjcmV0",
		"Bearer\t@" + dir + "/token":     "Bearer\tc2VjcmV0",
		"a  b @/x  @" + dir + "/token  ": "a  b @/x  c2VjcmV0",
		"@" + dir + "/with space":        "s",
		"@" + dir + "/token x":           "error: cannot read the file of header= X: no such file",
		"Bearer @" + dir + "/missing":    "error: cannot read the file of header= X: no such file",
		"Bearer @" + dir + "/empty":      "error: the file of header= X is empty",
		"Bearer @" + dir + "/lines":      "error: header= X: a control character in its value",
		"Bearer @token":                  "Bearer @token",
		"a@" + dir + "/token":            "a@" + dir + "/token",
		"@" + dir + "/empty":             "", // an empty value removes the header
	} {
		got = nil
		target := parse(t, "header="+quote("X: "+value)+" "+url, ForWait)
		assert.Equal(t, strings.Contains(value, "@"), target.ReadsFiles, value)
		err := target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout})
		if text, failed := strings.CutPrefix(want, "error: "); failed {
			assert.EqualError(t, err, text, value)
			continue
		}
		assert.NoError(t, err, value)
		assert.Equal(t, want, strings.Join(got, ","), value)
	}
	// The file is read at each attempt, because a token in it may be renewed.
	target := parse(t, "header='X: Bearer @"+dir+"/token' "+url, ForWait)
	for _, token := range []string{"one", "two"} {
		writeFile(t, dir+"/token", []byte(token))
		require.NoError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout}))
		assert.Equal(t, []string{"Bearer " + token}, got)
	}
}

func TestHTTPSVerifiesTheCertificate(t *testing.T) {
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

// Some servers, such as nc, respond before they have read the request.
func TestHTTPAcceptsAResponseBeforeTheRequestIsRead(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\nhello")
		conn.(*net.TCPConn).CloseWrite()
		readUntilClosed(conn)
	})
	for range 100 {
		require.NoError(t, ask(t, "match=hello http://"+l.Addr().String(), ForWait))
	}
}

func TestHTTPAcceptsAnIPv6Address(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	require.NoError(t, err)
	server := startHTTP(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(s *httptest.Server) {
		s.Listener.Close()
		s.Listener = l
	})
	assert.NoError(t, ask(t, server.URL+"/", ForWait))
}

func TestHTTPReturnsTheCauseOfItsContext(t *testing.T) {
	accepted := make(chan bool, 1)
	l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		accepted <- true
		readUntilClosed(conn)
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("SIGTERM")
	go func() {
		<-accepted
		cancel(cause)
	}()
	assert.Equal(t, cause, parse(t, "http://"+l.Addr().String(), ForWait).Probe.Ask(ctx, Attempt{}))
}

// The file of header= may hold a token that is created after usher has started and renewed at
// any time.
func TestHTTPHeaderFileIsReadAtEachAttempt(t *testing.T) {
	var got http.Header
	var host string
	url := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request) { got, host = r.Header, r.Host })
	path := filepath.Join(t.TempDir(), "token")
	target := parse(t, "header='X: 1' header='X: @"+path+"' header='Authorization: @"+path+"' "+strings.Replace(url, "//", "//u:p@", 1), ForWait)
	ask := func() error { return target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout}) }

	assert.EqualError(t, ask(), "cannot read the file of header= X: no such file")
	for _, token := range []string{"Bearer x", " Bearer y\n", "Bearer z\r\n"} {
		writeFile(t, path, []byte(token))
		require.NoError(t, ask())
		assert.Equal(t, []string{strings.TrimSpace(token)}, got["Authorization"], "header= must replace the user of the URL")
		assert.Equal(t, []string{"1", strings.TrimSpace(token)}, got["X"])
	}
	writeFile(t, path, []byte("CANARY\n\n"))
	assert.EqualError(t, ask(), "header= X: a control character in its value", "only one newline is trimmed")
	writeFile(t, path, make([]byte, maxHeaderBytes+1))
	assert.EqualError(t, ask(), "cannot read the file of header= X: it has more than 64 KiB")

	writeFile(t, path, []byte("auth.example\n"))
	target = parse(t, "header='Host: @"+path+"' "+url, ForEnd)
	require.NoError(t, ask())
	assert.Equal(t, "auth.example", host)
	writeFile(t, path, []byte("a/b"))
	assert.ErrorContains(t, ask(), "header= Host: write it once")
}
