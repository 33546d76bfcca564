package probes

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withTLS returns a handler of connections that calls f after a successful TLS handshake.
func withTLS(config *tls.Config, f func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		secure := tls.Server(conn, config)
		if secure.Handshake() == nil {
			f(secure)
		}
		conn.Close()
	}
}

func TestHTTPHostileServersHaveTheRightError(t *testing.T) {
	tests := []struct {
		name, scheme, want string
		timeout            time.Duration
		respond            func(net.Conn)
	}{
		{"never responds", "http", "timed out after 200ms", shortTimeout, func(net.Conn) {}},
		{"no TLS handshake", "https", "timed out after 200ms", shortTimeout, func(net.Conn) {}},
		{"stops within the headers", "http", "timed out after 200ms", shortTimeout, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nA: ") }},
		{"stops within the body", "http", "timed out after 200ms", shortTimeout, func(c net.Conn) {
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
		{"closes the connection", "http", "the connection was closed before the response was complete", 30 * time.Second, func(c net.Conn) {
			c.Read(make([]byte, 4096))
			c.Close()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
				test.respond(conn)
				readUntilClosed(conn)
			})
			target := parse(t, test.scheme+"://u:CANARY@"+l.Addr().String()+"/?CANARY", ForWait)
			err := target.Probe.Ask(t.Context(), Attempt{Timeout: test.timeout})
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
		})
	}
}

// hostileConfig returns a TLS configuration with a self-signed certificate. Only targets with
// insecure=true accept it.
func hostileConfig(t *testing.T) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}
}

// sendSlowly sends text, one byte every 20 ms, and repeats the last byte until the client
// has closed the connection.
func sendSlowly(conn net.Conn, text string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if _, err := io.WriteString(conn, text[min(i, len(text)-1):][:1]); err != nil {
			return
		}
		<-tick.C
	}
}

// sendForever sends begin and then repeats text until the client has closed the connection.
func sendForever(conn net.Conn, begin, text string) {
	io.WriteString(conn, begin)
	for text = strings.Repeat(text, 1+4096/len(text)); ; {
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}

// Every attempt must fail. Its error must not contain data from the server or the server's
// address.
func TestHostileServersFailEveryKindWithinItsTimeout(t *testing.T) {
	printed := new(bytes.Buffer)
	defer log.SetOutput(log.Writer())
	log.SetOutput(printed)

	config := hostileConfig(t)
	kinds := []struct {
		url  string
		over func(func(net.Conn)) func(net.Conn)
	}{
		{"expect=^yes$ tcp://%s", nil},
		{"http://%s", nil},
		{"https://%s", nil},
		{"grpc://%s", nil},
		{"grpcs://%s", nil},
		{"rediss://%s", nil},
		{"postgres://%s?sslmode=require", nil},
		{"insecure=true rediss://%s", func(f func(net.Conn)) func(net.Conn) { return withTLS(config, f) }},
		{"insecure=true amqps://%s", func(f func(net.Conn)) func(net.Conn) { return withTLS(config, f) }},
		{"insecure=true mqtts://%s", func(f func(net.Conn)) func(net.Conn) { return withTLS(config, f) }},
		{"mongodb://%s", nil},
		{"kafka://%s", nil},
		{"insecure=true kafka+ssl://%s", func(f func(net.Conn)) func(net.Conn) { return withTLS(config, f) }},
		{"insecure=true mongodb://%s", func(f func(net.Conn)) func(net.Conn) { return withTLS(config, f) }},
		{"insecure=true https://%s", func(f func(net.Conn)) func(net.Conn) { return withTLS(config, f) }},
		{"insecure=true grpcs://%s", func(f func(net.Conn)) func(net.Conn) { return withTLS(config, f) }},
	}
	random := make([]byte, 1<<20)
	for i, chacha := 0, rand.NewChaCha8([32]byte{1}); i < len(random); i += 8 {
		for j, n := 0, chacha.Uint64(); j < 8; j++ {
			random[i+j] = byte(n >> (8 * j))
		}
	}
	for name, hostile := range map[string]func(net.Conn){
		"accepts and never responds": readUntilClosed,
		"closes at once":             func(conn net.Conn) { conn.Close() },
		"resets the connection": func(conn net.Conn) {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
			conn.Close()
		},
		"a byte every 20 ms":   func(conn net.Conn) { sendSlowly(conn, "HTTP/1.1 200 OK\r\nA: CANARY") },
		"garbage":              func(conn net.Conn) { io.Copy(conn, bytes.NewReader(random)); conn.Close() },
		"endless zeros":        func(conn net.Conn) { sendForever(conn, "", "\x00") },
		"endless text":         func(conn net.Conn) { sendForever(conn, "CANARY ", "CANARY ") },
		"endless lines":        func(conn net.Conn) { sendForever(conn, "CANARY\r\n", "CANARY\r\n") },
		"an endless alert":     func(conn net.Conn) { sendForever(conn, "\x15\x03\x01\x00\x02\x01\x00", "\x15\x03\x01\x00\x02\x01\x00") },
		"an endless handshake": func(conn net.Conn) { sendForever(conn, "\x16\x03\x03\x40\x00\x02\xff\xff\xff", "\x16\x03\x03\x40\x00") },
		"endless frames":       func(conn net.Conn) { sendForever(conn, "", "\x00\x00\x00\x04\x00\x00\x00\x00\x00") },
	} {
		for _, kind := range kinds {
			serve := hostile
			if kind.over != nil {
				serve = kind.over(hostile)
			}
			l := listen(t, "tcp", "127.0.0.1:0", serve)
			text := fmt.Sprintf(kind.url, l.Addr())
			err := parse(t, text, ForWait).Probe.Ask(t.Context(), Attempt{Timeout: shortTimeout})
			if assert.Error(t, err, "%s: %s", name, text) {
				assert.NotContains(t, err.Error(), "CANARY", "%s: %s", name, text)
				assert.NotContains(t, err.Error(), "127.0.0.1", "%s: %s", name, text)
			}
			l.Close()
		}
	}
	assert.Empty(t, printed.String(), "nothing may be printed through package log")
}

// The responses are invalid, too large, or valid but unusual. If want is "", the target must
// be ready.
func TestHTTPRejectsInvalidResponsesAndLimitsLongOnes(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	chunked := func(chunks string) string {
		return ok + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks
	}
	const closed = "the connection was closed before the response was complete"
	const invalid = "not a valid HTTP response"
	for name, test := range map[string]struct{ options, response, want string }{
		"10 MB in one header":                  {"", ok + "A: " + strings.Repeat("x", 10<<20) + "\r\n\r\n", "more than 64 KiB of headers"},
		"10 MB of headers":                     {"", ok + strings.Repeat("A: b\r\n", 10<<20/6) + "\r\n", "more than 64 KiB of headers"},
		"10 MB of status":                      {"", "HTTP/1.1 200 " + strings.Repeat("x", 10<<20) + "\r\n\r\n", "more than 64 KiB of headers"},
		"10 MB of interim responses":           {"", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10<<20/25) + ok + "\r\n", "more than 64 KiB of headers"},
		"10 MB of body":                        {"match=^x+$ ", ok + "\r\n" + strings.Repeat("x", 10<<20), ""},
		"10 MB in a chunk":                     {"match=^x+$ ", chunked("A00000\r\n" + strings.Repeat("x", 10<<20) + "\r\n0\r\n\r\n"), ""},
		"10 MB in small chunks":                {"match=^x+$ ", chunked(strings.Repeat("1\r\nx\r\n", 10<<20/6) + "0\r\n\r\n"), ""},
		"10 MB of chunk extension":             {"", chunked("1;a=" + strings.Repeat("x", 10<<20) + "\r\nx\r\n0\r\n\r\n"), invalid},
		"10 MB of trailers":                    {"", chunked("1\r\nx\r\n0\r\nA: " + strings.Repeat("x", 10<<20) + "\r\n\r\n"), invalid},
		"a chunk without a size":               {"", chunked("zz\r\nCANARY"), invalid},
		"a negative chunk size":                {"", chunked("-1\r\nCANARY"), invalid},
		"a huge chunk size":                    {"", chunked("ffffffffffffffffff\r\nCANARY"), invalid},
		"a truncated chunk":                    {"", chunked("10\r\nx"), closed},
		"no last chunk":                        {"", chunked("1\r\nx\r\n"), closed},
		"no newline after a chunk":             {"", chunked("1\r\nxCANARY\r\n"), invalid},
		"two transfer codings":                 {"", ok + "Transfer-Encoding: chunked, gzip\r\n\r\n", invalid},
		"a negative content length":            {"", ok + "Content-Length: -1\r\n\r\n", invalid},
		"two content lengths":                  {"", ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", invalid},
		"a content length beyond the body":     {"", ok + "Content-Length: 5\r\n\r\nabc", closed},
		"the largest content length":           {"match=^x+$ ", ok + "Content-Length: 9223372036854775807\r\n\r\n" + strings.Repeat("x", 20<<10), ""},
		"a header without a colon":             {"", ok + "CANARY\r\n\r\n", invalid},
		"NUL in a header":                      {"", ok + "A\x00: CANARY\r\n\r\n", invalid},
		"no status":                            {"", "HTTP/1.1\r\n\r\n", invalid},
		"a status that is no number":           {"", "HTTP/1.1 CANARY OK\r\n\r\n", invalid},
		"a negative status":                    {"", "HTTP/1.1 -20 OK\r\n\r\n", invalid},
		"status 999":                           {"", "HTTP/1.1 999 OK\r\n\r\n", "status 999"},
		"status 000":                           {"", "HTTP/1.1 000 OK\r\n\r\n", "status 0"},
		"status 2000":                          {"", "HTTP/1.1 2000 OK\r\n\r\n", invalid},
		"without a version":                    {"", "200 OK\r\n\r\n", invalid},
		"HTTP/0.9":                             {"", "<html>CANARY</html>", invalid},
		"HTTP/0.9 with several lines":          {"", "<html>\nCANARY\n</html>\n", invalid},
		"HTTP/1":                               {"", "HTTP/1 200 OK\r\n\r\n", invalid},
		"HTTP/11":                              {"", "HTTP/11 200 OK\r\n\r\n", invalid},
		"HTTP/1.10":                            {"", "HTTP/1.10 200 OK\r\n\r\n", invalid},
		"ICY":                                  {"", "ICY 200 OK\r\n\r\n", invalid},
		"HTTP/2.0 in words":                    {"", "HTTP/2.0 200 OK\r\n\r\n", "not a valid HTTP response"},
		"HTTP/9.9 in words":                    {"", "HTTP/9.9 503 No\r\n\r\n", "not a valid HTTP response"},
		"HTTP/0.0 in words":                    {"", "HTTP/0.0 200 OK\r\n\r\n", "not a valid HTTP response"},
		"HTTP/2 in frames":                     {"", frames(emptySettings, okHeaders, okData, okTrailers), invalid},
		"bare newlines":                        {"match=^hi ", "HTTP/1.0 200 OK\n\nhi", ""},
		"a second response":                    {"match=^hi$ ", ok + "Content-Length: 2\r\n\r\nhiHTTP/1.1 503 No\r\n\r\n", ""},
		"101 and endless data":                 {"", "HTTP/1.1 101 Now\r\n\r\n" + strings.Repeat("x", 1<<20), "status 101"},
		"204 with a body":                      {"", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nabc", ""},
		"HEAD with a body":                     {"method=HEAD ", ok + "Content-Length: 5\r\n\r\nabc", ""},
		"redirect loop":                        {"", "HTTP/1.1 302 X\r\nLocation: /\r\n\r\n", "more than 10 redirects"},
		"redirect to itself with another name": {"", "HTTP/1.1 302 X\r\nLocation: http://LOCALHOST:1/CANARY\r\n\r\n", ""},
		"redirect to another host":             {"", "HTTP/1.1 301 X\r\nLocation: //other.invalid/CANARY\r\n\r\n", ""},
		"redirect of 64 KB":                    {"", "HTTP/1.1 302 X\r\nLocation: /" + strings.Repeat("x", 60<<10) + "\r\n\r\n", "more than 10 redirects"},
		"redirect to a refused port":           {"", "HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/CANARY\r\n\r\n", "connection refused"},
		"redirect to port 0":                   {"", "HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:0/CANARY\r\n\r\n", "redirects to a port that is not in 1-65535"},
	} {
		l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
			go io.Copy(io.Discard, conn)
			io.WriteString(conn, test.response)
			conn.(*net.TCPConn).CloseWrite()
		})
		err := ask(t, test.options+"http://"+l.Addr().String()+"/", ForWait)
		if test.want == "" {
			assert.NoError(t, err, name)
		} else {
			assert.EqualError(t, err, test.want, name)
		}
		l.Close()
	}
}

// truncatingProxy starts a proxy for a server, and returns the proxy's address. The parameter
// server is the server's address. The proxy forwards only the first most.Load() bytes of each
// response, and sends the number of forwarded bytes to seen.
func truncatingProxy(t *testing.T, server string, most *atomic.Int64, seen chan<- int64) string {
	t.Helper()
	return listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		defer conn.Close()
		server, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		defer server.Close()
		go func() {
			io.Copy(server, conn)
			server.Close()
		}()
		n, _ := io.CopyN(conn, server, most.Load())
		conn.Close()
		seen <- n
	}).Addr().String()
}

func TestServerThatClosesBeforeTheEndOfItsResponseIsNotReady(t *testing.T) {
	plain := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "")
		io.WriteString(w, "hello")
	})
	flushed := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush() // Flush makes the server send the body in chunks
		io.WriteString(w, "hello")
	})
	secure := serveHealth(t, hostileConfig(t))
	// When the client closes the connection, the server may still send a GOAWAY frame (39 bytes
	// with TLS) and a close_notify alert (24 bytes). The probe does not need them.
	const closing = 39 + 24
	for _, test := range []struct {
		text, to string
		// The test cuts the response after 0, step, 2*step, … bytes. more is the number of
		// bytes at the end of the response that the probe does not need.
		step, more int64
	}{
		{"match=^hello$ http://%s/", strings.TrimPrefix(plain, "http://"), 1, 0},
		{"match=^hello$ http://%s/", strings.TrimPrefix(flushed, "http://"), 1, 0},
		{"grpc://%s", strings.TrimPrefix(serveGRPC(t, respondHealth), "grpc://"), 1, 0},
		{"insecure=true https://%s", secure, 7, closing},
		{"insecure=true grpcs://%s", secure, 7, closing},
	} {
		var most atomic.Int64
		seen := make(chan int64)
		target := parse(t, fmt.Sprintf(test.text, truncatingProxy(t, test.to, &most, seen)), ForWait)
		ask := func(bytes int64) (int64, error) {
			most.Store(bytes)
			err := target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout})
			return <-seen, err
		}
		whole, err := ask(1 << 20)
		require.NoError(t, err, test.text)
		needed := int64(0)
		for ; ; needed += test.step {
			if _, err := ask(needed); err == nil {
				break
			}
			require.Less(t, needed, whole+100, test.text)
		}
		assert.GreaterOrEqual(t, needed, whole-test.more, test.text)
	}
}
