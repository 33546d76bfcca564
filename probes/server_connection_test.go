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

func TestServerThatClosesWithinItsResponseIsNotReady(t *testing.T) {
	var response atomic.Value
	l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		io.WriteString(conn, response.Load().(string))
		conn.(*net.TCPConn).CloseWrite()
		readUntilClosed(conn)
	})
	seen := map[string]bool{}
	for _, test := range serverResponses {
		if test.want != "" || seen[test.scheme+test.response[:4]] {
			continue
		}
		seen[test.scheme+test.response[:4]] = true
		for n := range min(len(test.response), 500) {
			response.Store(test.response[:n])
			err := ask(t, test.scheme+"://"+l.Addr().String(), ForWait)
			if test.scheme == "memcached" {
				assert.Error(t, err, "%.80q", test.response[:n]) // the probe connects twice, and err may come from the second connection
				continue
			}
			assertResult(t, closedEarly, err, "%s %.80q", test.scheme, test.response[:n])
		}
	}
}

func TestServerResponseIsReadUpToALimit(t *testing.T) {
	for _, scheme := range serverSchemes {
		for _, part := range []string{"x", "\x00", "\xff", "\n", "R", "E\x00\x00\x10", "\x0a\x00", "INFO {", "-LOADING", "\x20\x7f\x00\x06", "\x01\x00\x00"} {
			address := serveBytes(t, func(w io.Writer) {
				for _, err := io.WriteString(w, strings.Repeat(part, 1000)); err == nil; {
					_, err = io.WriteString(w, strings.Repeat(part, 1000))
				}
			})
			err := ask(t, scheme+"://"+address, ForWait)
			if scheme == "nats" && part == "INFO {" {
				assert.NoError(t, err) // the probe of a NATS server needs only the beginning of INFO
			} else {
				assert.Error(t, err, "%s %q", scheme, part)
				assert.NotErrorIs(t, err, context.DeadlineExceeded, "%s %q", scheme, part)
			}
		}
	}
	for _, test := range serverResponses {
		if test.want == "" {
			var sent atomic.Int64
			address := serveBytes(t, func(w io.Writer) {
				many := strings.Repeat(test.response, 1000)
				for n, err := io.WriteString(w, many); err == nil; n, err = io.WriteString(w, many) {
					sent.Add(int64(n))
				}
			})
			assert.NoError(t, ask(t, test.scheme+"://"+address, ForWait), "%s %.80q", test.scheme, test.response)
			assert.Less(t, sent.Load(), int64(64<<20), "%s: the probe must stop reading; the kernel's buffers hold about a tenth of this limit", test.scheme)
		}
	}
}

func TestServerThatDoesNotRespondTimesOut(t *testing.T) {
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
			assert.Equal(t, cause, probe.Ask(ctx, Attempt{}), "without a timeout the context ends the attempt")
		})
	}
}

func TestServerThatDoesNotCloseItsSideIsReady(t *testing.T) {
	seen := map[string]bool{}
	for _, test := range serverResponses {
		if test.want == "" && !seen[test.scheme] {
			seen[test.scheme] = true
			t.Run(test.scheme, func(t *testing.T) {
				t.Parallel()
				kept := make(chan net.Conn, 1)
				l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
					io.WriteString(conn, test.response)
					kept <- conn
				})
				begun := time.Now()
				assert.NoError(t, ask(t, test.scheme+"://"+l.Addr().String(), ForStart))
				assert.Less(t, time.Since(begun), 20*time.Second, "the probe waits for lingerTimeout, not until the attempt times out")
				(<-kept).Close()
			})
		}
	}
}

// The probes of these servers must not reset the connection to a ready server, because many
// servers log a reset as an error. So they half-close it and wait until the server has closed
// its side.
func TestServerConnectionIsNotReset(t *testing.T) {
	lingerLong(t)
	responses := map[string]string{"postgres": pgPassword, "nats": "INFO {}\r\n", "mqtt": "\x20\x02\x00\x00", "memcached": "VERSION 1\r\n", "kafka": kafkaNew + kafkaCluster(8, 1, 0), "mongodb": mongoHello(bsonBool("secondary", true), bsonDouble("ok", 1)), "mysql": greeting("8.4.0") + mysqlPacket(2, "\xff\x15\x04#28000Access denied")}
	for scheme, response := range responses {
		var closed atomic.Bool
		l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
			io.WriteString(conn, response)
			io.Copy(io.Discard, conn)
			io.WriteString(conn, "more")
			closed.Store(true)
			conn.Close()
		})
		require.NoError(t, ask(t, scheme+"://"+l.Addr().String(), ForWait))
		assert.True(t, closed.Load(), scheme)
	}
}

// If a server closes a connection before it has read all data, the kernel resets the
// connection. The probe must still read the server's response.
func TestServerResponseIsReadBeforeAReset(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		io.WriteString(conn, "-ERR max number of clients reached\r\n")
		conn.(*net.TCPConn).SetLinger(-1)
		conn.Close()
	})
	for range 100 {
		assert.NoError(t, ask(t, "redis://"+l.Addr().String(), ForWait))
	}
}

func TestServerMySQLProbeWaitsForTheResultOfItsLogin(t *testing.T) {
	lingerLong(t)
	readPacket := func(conn net.Conn) string {
		head := make([]byte, 4)
		if _, err := io.ReadFull(conn, head); err != nil {
			return ""
		}
		body := make([]byte, int(head[0])|int(head[1])<<8)
		io.ReadFull(conn, body)
		return string(head) + string(body)
	}
	tests := []struct {
		name      string
		responses []string // the server's responses to the login, and to each later packet of the client
		sent      []string // the packets that the client must send after the login; "": it sends no more
	}{
		{"refused", []string{mysqlPacket(2, "\xff\x15\x04#28000Access denied")}, []string{""}},
		{"accepted", []string{mysqlPacket(2, "\x00\x00\x00\x02\x00\x00\x00")}, []string{mysqlPacket(0, "\x01"), ""}},
		{"another plugin", []string{mysqlPacket(2, "\xfecaching_sha2_password\x0012345678901234567890\x00"), mysqlPacket(4, "\xff\x15\x04")}, []string{mysqlPacket(3, "\x00"), ""}},
		{"the old plugin", []string{mysqlPacket(2, "\xfemysql_native_password\x0012345678901234567890\x00"), mysqlPacket(4, "\xff\x15\x04")}, []string{mysqlPacket(3, ""), ""}},
		{"invalid response", []string{mysqlPacket(2, "\x01\x04")}, []string{""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			packets := make(chan string, 10)
			l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
				io.WriteString(conn, greeting("8.4.0"))
				packets <- readPacket(conn)
				for _, response := range test.responses {
					io.WriteString(conn, response)
					packets <- readPacket(conn)
				}
				if strings.HasSuffix(test.responses[0], "\x02\x00\x00\x00") {
					packets <- readPacket(conn)
				}
				readUntilClosed(conn)
			})
			require.NoError(t, ask(t, "mysql://app:CANARY@"+l.Addr().String()+"/db", ForWait))
			login := <-packets
			assert.Equal(t, byte(1), login[3])
			assert.Equal(t, len(login)-4, int(login[0]))
			assert.True(t, strings.HasSuffix(login, "usher-probe\x00\x00mysql_native_password\x00"), "%q", login)
			for _, want := range test.sent {
				assert.Equal(t, want, <-packets)
			}
		})
	}
}

// A try of a hook has no timeout of its own, so the hosts share the timeout of the hook. A host
// that drops packets must leave enough time for the next host.
func TestHookTriesEachHostWithinItsTimeout(t *testing.T) {
	hook := &trial{
		use:     ForEnd,
		targets: []*targetPlan{{kind: "redis", hosts: []string{"10.0.0.1", "10.0.0.2"}, timeout: 200 * time.Millisecond}},
		servers: []*serverPlan{
			{"10.0.0.1:6379", []*serverPhase{{listens: dropsPackets}}},
			{"10.0.0.2:6379", []*serverPhase{{listens: accepts, speaks: "redis", state: isReady}}},
		},
	}
	assert.NoError(t, hook.run(t, new(certificates)).result)
}
