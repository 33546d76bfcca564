package probes

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server that sends only the beginning of an answer and closes is not ready.
func TestServerClosesEarly(t *testing.T) {
	var words atomic.Value
	l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		io.WriteString(conn, words.Load().(string))
		conn.(*net.TCPConn).CloseWrite()
		readUntilClosed(conn)
	})
	seen := map[string]bool{}
	for _, test := range serverResponses {
		if test.want != "" || seen[test.scheme+test.words[:4]] {
			continue
		}
		seen[test.scheme+test.words[:4]] = true
		for n := range min(len(test.words), 500) {
			words.Store(test.words[:n])
			err := ask(t, test.scheme+"://"+l.Addr().String(), ForWait)
			if test.scheme == "memcached" {
				assert.Error(t, err, "%.80q", test.words[:n]) // the second connection may have got the answer
				continue
			}
			assertResult(t, closedEarly, err, "%s %.80q", test.scheme, test.words[:n])
		}
	}
}

// An endless answer is read up to a limit.
func TestServerEndlessAnswers(t *testing.T) {
	for _, scheme := range serverSchemes {
		for _, words := range []string{"x", "\x00", "\xff", "\n", "R", "E\x00\x00\x10", "\x0a\x00", "INFO {", "-LOADING", "\x20\x7f\x00\x06", "\x01\x00\x00"} {
			address := serveBytes(t, func(w io.Writer) {
				for _, err := io.WriteString(w, strings.Repeat(words, 1000)); err == nil; {
					_, err = io.WriteString(w, strings.Repeat(words, 1000))
				}
			})
			err := ask(t, scheme+"://"+address, ForWait)
			if scheme == "nats" && words == "INFO {" {
				assert.NoError(t, err) // a server with a long answer
			} else {
				assert.Error(t, err, "%s %q", scheme, words)
				assert.NotErrorIs(t, err, context.DeadlineExceeded, "%s %q", scheme, words)
			}
		}
	}
	for _, test := range serverResponses {
		if test.want == "" {
			var said atomic.Int64
			address := serveBytes(t, func(w io.Writer) {
				many := strings.Repeat(test.words, 1000)
				for n, err := io.WriteString(w, many); err == nil; n, err = io.WriteString(w, many) {
					said.Add(int64(n))
				}
			})
			assert.NoError(t, ask(t, test.scheme+"://"+address, ForWait), "%s %.80q", test.scheme, test.words)
			assert.Less(t, said.Load(), int64(64<<20), "%s: the kernel's buffers hold a tenth of it", test.scheme)
		}
	}
}

func TestServerSilent(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", readUntilClosed)
	for _, scheme := range serverSchemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			probe := parse(t, scheme+"://"+l.Addr().String(), ForWait).Probe
			err := probe.Ask(t.Context(), Attempt{Timeout: shortTimeout})
			assert.EqualError(t, err, "timed out after 200ms")
			assert.Equal(t, timedOut, classify(err))

			cause := errors.New("SIGTERM")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(shortTimeout/4, func() { cancel(cause) })
			assert.Equal(t, cause, probe.Ask(ctx, Attempt{}), "without a timeout the context ends it")
		})
	}
}

// A ready server that does not close its side stays ready.
func TestServerDoesNotClose(t *testing.T) {
	seen := map[string]bool{}
	for _, test := range serverResponses {
		if test.want == "" && !seen[test.scheme] {
			seen[test.scheme] = true
			t.Run(test.scheme, func(t *testing.T) {
				t.Parallel()
				kept := make(chan net.Conn, 1)
				l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
					io.WriteString(conn, test.words)
					kept <- conn
				})
				begun := time.Now()
				assert.NoError(t, ask(t, test.scheme+"://"+l.Addr().String(), ForStart))
				assert.Less(t, time.Since(begun), 20*time.Second, "it is not the attempt's limit that ends it")
				(<-kept).Close()
			})
		}
	}
}

// The probe half-closes the connection and waits until the server has closed its side, so
// that the server sees no reset.
func TestServerConnectionIsNotReset(t *testing.T) {
	words := map[string]string{"postgres": pgPassword, "nats": "INFO {}\r\n", "mqtt": "\x20\x02\x00\x00", "memcached": "VERSION 1\r\n", "mysql": greeting("8.4.0") + mysqlPacket(2, "\xff\x15\x04#28000Access denied")}
	for scheme, first := range words {
		var closes atomic.Bool
		l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
			io.WriteString(conn, first)
			io.Copy(io.Discard, conn)
			io.WriteString(conn, "more")
			closes.Store(true)
			conn.Close()
		})
		require.NoError(t, ask(t, scheme+"://"+l.Addr().String(), ForWait))
		assert.True(t, closes.Load(), scheme)
	}
}

// A server that rejects a client and closes without reading everything resets the
// connection. Its answer is read all the same.
func TestServerResetsAfterItsAnswer(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		io.WriteString(conn, "-ERR max number of clients reached\r\n")
		conn.(*net.TCPConn).SetLinger(-1)
		conn.Close()
	})
	for range 100 {
		assert.NoError(t, ask(t, "redis://"+l.Addr().String(), ForWait))
	}
}

// A MySQL server that asks for another plugin, and refuses the login late.
func TestServerMySQLLoginIsRefused(t *testing.T) {
	read := func(conn net.Conn) string {
		head := make([]byte, 4)
		if _, err := io.ReadFull(conn, head); err != nil {
			return ""
		}
		body := make([]byte, int(head[0])|int(head[1])<<8)
		io.ReadFull(conn, body)
		return string(head) + string(body)
	}
	tests := []struct {
		name  string
		says  []string
		heard []string // after the login
	}{
		{"refused", []string{mysqlPacket(2, "\xff\x15\x04#28000Access denied")}, []string{""}},
		{"let in", []string{mysqlPacket(2, "\x00\x00\x00\x02\x00\x00\x00")}, []string{mysqlPacket(0, "\x01"), ""}},
		{"another plugin", []string{mysqlPacket(2, "\xfecaching_sha2_password\x0012345678901234567890\x00"), mysqlPacket(4, "\xff\x15\x04")}, []string{mysqlPacket(3, "\x00"), ""}},
		{"the old plugin", []string{mysqlPacket(2, "\xfemysql_native_password\x0012345678901234567890\x00"), mysqlPacket(4, "\xff\x15\x04")}, []string{mysqlPacket(3, ""), ""}},
		{"nonsense", []string{mysqlPacket(2, "\x01\x04")}, []string{""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			heard := make(chan string, 10)
			l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
				io.WriteString(conn, greeting("8.4.0"))
				heard <- read(conn)
				for _, s := range test.says {
					io.WriteString(conn, s)
					heard <- read(conn)
				}
				if strings.HasSuffix(test.says[0], "\x02\x00\x00\x00") {
					heard <- read(conn)
				}
				readUntilClosed(conn)
			})
			require.NoError(t, ask(t, "mysql://app:CANARY@"+l.Addr().String()+"/db", ForWait))
			login := <-heard
			assert.Equal(t, byte(1), login[3])
			assert.Equal(t, len(login)-4, int(login[0]))
			assert.True(t, strings.HasSuffix(login, "usher-probe\x00\x00mysql_native_password\x00"), "%q", login)
			for _, want := range test.heard {
				assert.Equal(t, want, <-heard)
			}
		})
	}
}

// With sslmode=require a server without TLS is probed without it. Any other answer to the
// request for TLS is not from a PostgreSQL server.
func TestServerPostgresWithoutTLS(t *testing.T) {
	var words, after atomic.Value
	heard := make(chan string, 1)
	l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		request := make([]byte, 8)
		io.ReadFull(conn, request)
		io.WriteString(conn, words.Load().(string))
		if after := after.Load().(string); after != "" {
			conn.Read(make([]byte, 1))
			io.WriteString(conn, after)
		}
		readUntilClosed(conn)
		heard <- string(request)
	})
	for _, test := range []struct{ words, after, want string }{
		{"N", pgPassword, ""},
		{"N", pgError("57P03", "the database system is starting up"), "still starting up"},
		{"S", "HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak TLS"},
		{"E", "", "the server does not speak the PostgreSQL protocol"},
	} {
		words.Store(test.words)
		after.Store(test.after)
		assertResult(t, test.want, ask(t, "postgres://"+l.Addr().String()+"/?sslmode=require", ForWait), test.words)
		assert.Equal(t, "\x00\x00\x00\x08\x04\xd2\x16\x2f", <-heard)
	}
}
