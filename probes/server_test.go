package probes

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// greeting returns the greeting of a MariaDB server of this version.
func greeting(version string) string {
	packet := "\x0a" + version + "\x00\x1d\x00\x00\x00oV@{m2P|\x00\xfe\xf7\x08\x02\x00\xff\x81\x15" + strings.Repeat("\x00", 6) +
		"\x1d\x00\x00\x00D'.*P{Si7uh,\x00mysql_native_password\x00"
	return mysqlPacket(0, packet)
}

func mysqlPacket(number byte, packet string) string {
	return string([]byte{byte(len(packet)), 0, 0, number}) + packet
}

func pgError(code, text string) string {
	fields := "SFATAL\x00VFATAL\x00C" + code + "\x00M" + text + "\x00Fpostmaster.c\x00\x00"
	return "E\x00\x00\x00" + string([]byte{byte(len(fields) + 4)}) + fields
}

const (
	pgPassword = "R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"
	amqpStart  = "\x01\x00\x00\x00\x00\x00\x1c\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US\xce"
	noAnswer   = "the connection was closed before the response was complete"
)

// What a server sends first, and the error for it; "" means ready.
var firstWords = []struct{ scheme, words, want string }{
	{"postgres", pgPassword, ""},
	{"postgres", "R\x00\x00\x00\x08\x00\x00\x00\x00", ""},
	{"postgres", "R\x00\x00\x00\x08\x00\x00\x00\x00" + pgError("3D000", "no such database"), ""},
	{"postgres", pgError("28000", "no pg_hba.conf entry"), ""},
	{"postgres", pgError("28P01", "CANARY"), ""},
	{"postgres", pgError("3D000", "CANARY"), ""},
	{"postgres", pgError("53300", "sorry, too many clients already"), ""},
	{"postgres", pgError("57P03", "the database system is starting up"), "still starting up"},
	{"postgres", pgError("57P03", "the database system is shutting down"), "shutting down"},
	{"postgres", pgError("57P03", "the database system is in recovery mode"), "in recovery after a crash"},
	{"postgres", pgError("57P03", "the database system is not yet accepting connections"), "not accepting connections yet"},
	{"postgres", pgError("57P03", "CANARY"), "not accepting connections yet"},
	{"postgres", pgError("57P0", "CANARY"), "the server does not speak the PostgreSQL protocol"},
	{"postgres", "E\x00\x00\x00\x09CANAR", "the server does not speak the PostgreSQL protocol"},
	{"postgres", "Ecould not fork new process for connection: CANARY\n\x00", "the server does not speak the PostgreSQL protocol"},
	{"postgres", "RFB 003.008\n", "the server does not speak the PostgreSQL protocol"},
	{"postgres", "R\x00\x00\x00\x07\x00\x00\x00", "the server does not speak the PostgreSQL protocol"},
	{"postgres", "R\x00\x00\x07\xd1", "the server does not speak the PostgreSQL protocol"},
	{"postgres", "R\xff\xff\xff\xff\x00", "the server does not speak the PostgreSQL protocol"},
	{"postgres", "E\x00\x00\x75\x31", "the server does not speak the PostgreSQL protocol"},
	{"postgres", "E\xff\xff\xff\xff", "the server does not speak the PostgreSQL protocol"},
	{"postgres", "HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak the PostgreSQL protocol"},
	{"postgres", "\x15\x03\x03\x00\x02\x02\x50", "the server does not speak the PostgreSQL protocol"},

	{"mysql", greeting("5.5.5-10.11.19-MariaDB"), ""},
	{"mysql", greeting("8.4.0"), ""},
	{"mysql", mysqlPacket(0, "\xff\x10\x04Too many connections"), ""},
	{"mysql", mysqlPacket(1, "\xff\x10\x04#08004Too many connections"), ""},
	{"mysql", mysqlPacket(0, "\xff\x69\x04Host "), ""},
	{"mysql", mysqlPacket(0, "\xff\x6a\x04Host "), ""},
	{"mysql", mysqlPacket(0, "\xff\x1d\x04CANARY"), "shutting down"},
	{"mysql", mysqlPacket(0, "\xff\x6f\x04CANARY"), "rejects clients with error 1135"},
	{"mysql", mysqlPacket(0, "\xff\x10\x04"), "the server does not speak the MySQL protocol"},
	{"mysql", mysqlPacket(0, ""), "the server does not speak the MySQL protocol"},
	{"mysql", "\xff\xff\xff\x00\x0a", "the server does not speak the MySQL protocol"},
	{"mysql", mysqlPacket(1, greeting("8.4.0")[4:]), "the server does not speak the MySQL protocol"},
	{"mysql", greeting(""), "the server does not speak the MySQL protocol"},
	{"mysql", mysqlPacket(0, "\x0a8.4\x00"), "the server does not speak the MySQL protocol"},
	{"mysql", mysqlPacket(0, "\x09"+greeting("8.4.0")[5:]), "the server does not speak the MySQL protocol"},
	{"mysql", "SSH-2.0-OpenSSH_9.2\r\n", "the server does not speak the MySQL protocol"},
	{"mysql", "HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak the MySQL protocol"},

	{"redis", "+PONG\r\n", ""},
	{"redis", "+PONG\n", ""},
	{"redis", "-NOAUTH Authentication required.\r\n", ""},
	{"redis", "-NOPERM this user has no permissions\r\n", ""},
	{"redis", "-DENIED Redis is running in protected mode\r\n", ""},
	{"redis", "-ERR max number of clients reached\r\n", ""},
	{"redis", "-ERR operation not permitted\r\n", ""},
	{"redis", "-ERR unknown command 'PING'\r\n", ""},
	{"redis", "-LOADING Redis is loading the dataset in memory\r\n", "still loading its data"},
	{"redis", "-MASTERDOWN Link with MASTER is down\r\n", "a replica without a connection to its master"},
	{"redis", "-ERR max number of clients + cluster connections reached\r\n", ""},
	{"redis", "-BUSY Redis is busy running a script\r\n", "busy with a script"},
	{"redis", "-MISCONF Redis is configured to save RDB snapshots\r\n", "cannot save to disk and refuses to write"},
	{"redis", "-ERR upstream CANARY\r\n", "answered PING with an error"},
	{"redis", "-LOADINGCANARY\r\n", "answered PING with an error"},
	{"redis", "-NOAUTHCANARY\r\n", "answered PING with an error"},
	{"redis", "+PONGCANARY\r\n", "the server does not speak the Redis protocol"},
	{"redis", "*1\r\n$4\r\nPING\r\n", "the server does not speak the Redis protocol"},
	{"redis", "$4\r\nPONG\r\n", "the server does not speak the Redis protocol"},
	{"redis", "\r\n+PONG\r\n", "the server does not speak the Redis protocol"},
	{"redis", "HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak the Redis protocol"},

	{"amqp", amqpStart, ""},
	{"amqp", "AMQP\x00\x01\x00\x00", ""},
	{"amqp", "AMQP\x00\x00\x08\x00", ""},
	{"amqp", amqpHeader, "the server does not speak the AMQP protocol"},
	{"amqp", strings.Replace(amqpStart, "\x00\x0a\x00\x0a", "\x00\x0a\x00\x32", 1), "the server does not speak the AMQP protocol"},
	{"amqp", strings.Replace(amqpStart, "\xce", "\xcd", 1), "the server does not speak the AMQP protocol"},
	{"amqp", "\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\xce", "the server does not speak the AMQP protocol"},
	{"amqp", "\x01\x00\x00\xff\xff\xff\xff\x00", "the server does not speak the AMQP protocol"},
	{"amqp", "HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak the AMQP protocol"},

	{"nats", "INFO {\"server_id\":\"x\"} \r\n", ""},
	{"nats", "INFO {" + strings.Repeat("x", 60<<10) + "}\r\n", ""},
	{"nats", "INFO {}\r\n-ERR 'maximum connections exceeded'\r\n", ""},
	{"nats", "-ERR 'CANARY'\r\n", "rejects clients"},
	{"nats", "INFO CANARY\r\n", "the server does not speak the NATS protocol"},
	{"nats", "220 mail.example ESMTP\r\n", "the server does not speak the NATS protocol"},

	{"mqtt", "\x20\x02\x00\x00", ""},
	{"mqtt", "\x20\x02\x00\x01", ""},
	{"mqtt", "\x20\x02\x00\x02", ""},
	{"mqtt", "\x20\x02\x00\x04", ""},
	{"mqtt", "\x20\x02\x00\x05", ""},
	{"mqtt", "\x20\x03\x00\x84\x00", ""},
	{"mqtt", "\x20\x02\x00\x03", "server not available"},
	{"mqtt", "\x20\x03\x00\x88\x00", "server not available"},
	{"mqtt", "\x20\x02\x00\x06", "the server does not speak the MQTT protocol"},
	{"mqtt", "\x20\x02\x02\x00", "the server does not speak the MQTT protocol"},
	{"mqtt", "\x20\x01\x00", "the server does not speak the MQTT protocol"},
	{"mqtt", "\x20\xff\xff", "the server does not speak the MQTT protocol"},
	{"mqtt", "\x10\x21", "the server does not speak the MQTT protocol"},
	{"mqtt", "HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak the MQTT protocol"},

	{"memcached", "VERSION 1.6.18\r\n", ""},
	{"memcached", "CLIENT_ERROR unauthenticated\r\n", ""},
	{"memcached", "ERROR Too many open connections\r\n", ""},
	{"memcached", "ERROR\r\n", "the server does not speak the memcached protocol"},
	{"memcached", "SERVER_ERROR CANARY\r\n", "answered with an error"},
	{"memcached", "version\r\nversion\r\nquit\r\n", "the server does not speak the memcached protocol"},
	{"memcached", "HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak the memcached protocol"},
}

// serverSchemes are the schemes of the kinds that this file tests.
var serverSchemes = []string{"postgres", "postgresql", "mysql", "redis", "amqp", "nats", "mqtt", "memcached"}

// check compares the result of an attempt with the expected one.
func check(t *testing.T, want string, err error, what ...any) {
	t.Helper()
	if want == "" {
		assert.NoError(t, err, what...)
	} else if assert.EqualError(t, err, want, what...) {
		assert.Equal(t, wrongAnswer, classify(err), what...)
	}
}

// speaks is a server that calls f, and then reads until the client has closed the
// connection, as servers do.
func speaks(t *testing.T, f func(io.Writer)) string {
	t.Helper()
	l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		f(conn)
		untilClosed(conn)
	})
	return l.Addr().String()
}

func TestServerAnswers(t *testing.T) {
	var words atomic.Value
	address := speaks(t, func(w io.Writer) { io.WriteString(w, words.Load().(string)) })
	for _, test := range firstWords {
		words.Store(test.words)
		check(t, test.want, ask(t, test.scheme+"://"+address, ForWait), "%s %.80q", test.scheme, test.words)
	}
}

func TestServerAnswersByteByByte(t *testing.T) {
	var words atomic.Value
	address := speaks(t, func(w io.Writer) {
		for _, b := range []byte(words.Load().(string)) {
			w.Write([]byte{b})
		}
	})
	for _, test := range firstWords {
		if words.Store(test.words); len(test.words) < 1000 {
			check(t, test.want, ask(t, test.scheme+"://"+address, ForWait), "%s %.80q", test.scheme, test.words)
		}
	}
}

// A server that sends only the beginning of an answer and closes is not ready.
func TestServerClosesEarly(t *testing.T) {
	var words atomic.Value
	l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		io.WriteString(conn, words.Load().(string))
		conn.(*net.TCPConn).CloseWrite()
		untilClosed(conn)
	})
	seen := map[string]bool{}
	for _, test := range firstWords {
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
			check(t, noAnswer, err, "%s %.80q", test.scheme, test.words[:n])
		}
	}
}

// An endless answer is read up to a limit.
func TestServerEndlessAnswers(t *testing.T) {
	for _, scheme := range serverSchemes {
		for _, words := range []string{"x", "\x00", "\xff", "\n", "R", "E\x00\x00\x10", "\x0a\x00", "INFO {", "-LOADING", "\x20\x7f\x00\x06", "\x01\x00\x00"} {
			address := speaks(t, func(w io.Writer) {
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
	for _, test := range firstWords {
		if test.want == "" {
			var said atomic.Int64
			address := speaks(t, func(w io.Writer) {
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
	l := raw(t, "tcp", "127.0.0.1:0", untilClosed)
	for _, scheme := range serverSchemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			probe := parse(t, scheme+"://"+l.Addr().String(), ForWait).Probe
			err := probe.Ask(t.Context(), Attempt{Timeout: short})
			assert.EqualError(t, err, "timed out after 200ms")
			assert.Equal(t, timedOut, classify(err))

			cause := errors.New("SIGTERM")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(short/4, func() { cancel(cause) })
			assert.Equal(t, cause, probe.Ask(ctx, Attempt{}), "without a timeout the context ends it")
		})
	}
}

// A ready server that does not close its side stays ready.
func TestServerDoesNotClose(t *testing.T) {
	seen := map[string]bool{}
	for _, test := range firstWords {
		if test.want == "" && !seen[test.scheme] {
			seen[test.scheme] = true
			t.Run(test.scheme, func(t *testing.T) {
				t.Parallel()
				kept := make(chan net.Conn, 1)
				l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
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
		l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
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
	l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
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
			l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
				io.WriteString(conn, greeting("8.4.0"))
				heard <- read(conn)
				for _, s := range test.says {
					io.WriteString(conn, s)
					heard <- read(conn)
				}
				if strings.HasSuffix(test.says[0], "\x02\x00\x00\x00") {
					heard <- read(conn)
				}
				untilClosed(conn)
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

// Only PostgreSQL gets the user and the database. No server gets the password.
func TestServerGetsNoSecret(t *testing.T) {
	words := map[string]string{"mysql": greeting("8.4.0"), "nats": "INFO {}\r\n"}
	for _, test := range firstWords {
		if _, known := words[test.scheme]; !known {
			words[test.scheme] = test.words
		}
	}
	words["postgresql"] = words["postgres"]
	for _, scheme := range serverSchemes {
		heard := make(chan string, 1)
		l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
			io.WriteString(conn, words[scheme])
			all, _ := io.ReadAll(conn)
			conn.Close()
			heard <- string(all)
		})
		target := parse(t, scheme+"://us%20er:CANARY@"+l.Addr().String()+"/data%2Fbase?password=CANARY&x=CANARY#CANARY", ForEnd)
		assert.Equal(t, scheme+"://"+l.Addr().String(), target.Name)
		require.NoError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: time.Minute}))
		all := <-heard
		assert.NotContains(t, all, "CANARY")
		if strings.HasPrefix(scheme, "postgres") {
			assert.Equal(t, "\x00\x00\x00\x27\x00\x03\x00\x00user\x00us er\x00database\x00data/base\x00\x00", all)
		} else {
			assert.NotContains(t, all, "us er")
			assert.NotContains(t, all, "data/base")
		}
	}
}

func TestServerPostgresNames(t *testing.T) {
	tests := map[string][2]string{
		"postgres://db":                           {"postgres", "postgres"},
		"postgres://db/":                          {"postgres", "postgres"},
		"postgres://db/app#x":                     {"postgres", "app"},
		"postgres://me@db":                        {"me", "me"},
		"postgres://:x@db/app":                    {"postgres", "app"},
		"postgres://me:x@db:1/app?sslmode=prefer": {"me", "app"},
		"'postgres://db/app?password=x&user=me'":  {"me", "app"},
	}
	for text, want := range tests {
		heard := make(chan string, 1)
		l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
			io.WriteString(conn, pgPassword)
			all, _ := io.ReadAll(conn)
			conn.Close()
			heard <- string(all)
		})
		probe := parse(t, text, ForWait).Probe.(*serverProbe)
		probe.host, probe.port = "127.0.0.1", uint16(l.Addr().(*net.TCPAddr).Port)
		require.NoError(t, probe.Ask(t.Context(), Attempt{}))
		assert.Equal(t, "user\x00"+want[0]+"\x00database\x00"+want[1]+"\x00\x00", (<-heard)[8:], text)
	}
}

// With sslmode=require a server without TLS is probed without it. Any other answer to the
// request for TLS is not from a PostgreSQL server.
func TestServerPostgresWithoutTLS(t *testing.T) {
	var words, after atomic.Value
	heard := make(chan string, 1)
	l := raw(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		request := make([]byte, 8)
		io.ReadFull(conn, request)
		io.WriteString(conn, words.Load().(string))
		if after := after.Load().(string); after != "" {
			conn.Read(make([]byte, 1))
			io.WriteString(conn, after)
		}
		untilClosed(conn)
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
		check(t, test.want, ask(t, "postgres://"+l.Addr().String()+"/?sslmode=require", ForWait), test.words)
		assert.Equal(t, "\x00\x00\x00\x08\x04\xd2\x16\x2f", <-heard)
	}
}

func TestServerTargets(t *testing.T) {
	ports := map[string]uint16{"postgres": 5432, "postgresql": 5432, "mysql": 3306, "redis": 6379, "amqp": 5672, "nats": 4222, "mqtt": 1883, "memcached": 11211}
	for scheme, port := range ports {
		for text, want := range map[string]serverProbe{
			"db":                      {host: "db", port: port},
			"db:1":                    {host: "db", port: 1},
			"[::1]":                   {host: "::1", port: port},
			"[fe80::1%25eth0]:1":      {host: "fe80::1%eth0", port: 1},
			"u:p@db:1/x":              {host: "db", port: 1},
			"u:p@q@db/x":              {host: "db", port: port},
			"u,v:p,q@[::1]":           {host: "::1", port: port},
			":p@10.0.0.1/":            {host: "10.0.0.1", port: port},
			"db/%2Fvhost?a=b,c&d=e#f": {host: "db", port: port},
		} {
			target, err := Parse("'"+scheme+"://"+text+"'", ForWait)
			require.NoError(t, err, text)
			probe := target.Probe.(*serverProbe)
			assert.Equal(t, []any{want.host, want.port}, []any{probe.host, probe.port}, text)
			place := text[strings.LastIndexByte(text, '@')+1:]
			place, _, _ = strings.Cut(place, "/")
			assert.Equal(t, scheme+"://"+place, target.Name)
			assert.Equal(t, scheme, target.Kind)
		}
		for text, want := range map[string]string{
			"":                   "has no host",
			"/db":                "has no host",
			"u:CANARY@":          "has no host",
			"a,b/db":             "several hosts: write one target for each",
			"u:CANARY@a:1,b:2/x": "several hosts",
			"a:1,nats://b:2":     "several hosts",
			"u:CA/NARY@db":       "%2F",
			"u:CA#NARY@db":       "%23",
			"u:CA?NARY@db":       "%3F",
			"db/?x=CANARY@y":     "%40",
			"db:CANARY":          "not a number",
			"u:CANARY@db:0":      "not in 1-65535",
			"::1":                "needs brackets",
			"u:CANARY@d%62":      "not allowed in a host name",
			"u:CANARY@tcp(db)/x": "not allowed in a host name",
			"%2Frun%2Fdb/CANARY": "not allowed in a host name",
		} {
			_, err := Parse("'"+scheme+"://"+text+"'", ForWait)
			require.ErrorContains(t, err, want, text)
			assert.NotContains(t, err.Error(), "CANARY", text)
			assert.NotContains(t, err.Error(), "NARY", text)
		}
		_, err := Parse("send=x "+scheme+"://db", ForWait)
		assert.ErrorContains(t, err, "send=")
	}
	for _, text := range []string{"u%:CANARY@db", "%00@db", "db/%zz", "db/a%00b", "'db/?user=a%00b'"} {
		_, err := Parse("postgres://"+text, ForWait)
		assert.ErrorContains(t, err, "%25", text)
	}
}

// No descriptors and goroutines are left, however many attempts there are.
func TestServerLeavesNoDescriptorsOrGoroutines(t *testing.T) {
	var words atomic.Value
	address := speaks(t, func(w io.Writer) { io.WriteString(w, words.Load().(string)) })
	round := func() {
		for _, test := range firstWords {
			if strings.Contains(test.words, "mysql_native_password") {
				continue // the server is ready, and then closes late
			}
			words.Store(test.words)
			ask(t, test.scheme+"://"+address, ForWait)
		}
	}
	round()
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	for range 5 {
		round()
	}
	require.Eventually(t, func() bool {
		return descriptors(t) <= fds+2 && runtime.NumGoroutine() <= goroutines+2 // 2: those of the listener and of Eventually
	}, 30*time.Second, time.Millisecond)
}

// recorded is a connection from which these bytes are read.
type recorded struct {
	net.Conn
	io.Reader
}

func (c recorded) Read(b []byte) (int, error)       { return c.Reader.Read(b) }
func (c recorded) Write(b []byte) (int, error)      { return len(b), nil }
func (c recorded) Close() error                     { return nil }
func (c recorded) SetDeadline(time.Time) error      { return nil }
func (c recorded) SetWriteDeadline(time.Time) error { return nil }

// FuzzServerAnswers: no answer of a server makes a probe panic or is shown, and only an
// answer like those of ready servers counts as ready.
func FuzzServerAnswers(f *testing.F) {
	for _, test := range firstWords {
		f.Add(test.words)
	}
	fixed := regexp.MustCompile(`^(the connection was closed before the response was complete|the server does not speak the \w+ protocol|` +
		`still starting up|shutting down|in recovery after a crash|not accepting connections yet|rejects clients( with error \d{1,5})?|` +
		`still loading its data|a replica without a connection to its master|busy with a script|cannot save to disk and refuses to write|` +
		`answered (PING )?with an error|server not available)$`)
	yes := map[string]*regexp.Regexp{
		"postgres":  regexp.MustCompile(`^(R\x00\x00[\x00-\x07]|E\x00\x00[^\n]|E\x00[\x00-\x75])`),
		"mysql":     regexp.MustCompile(`^[^\n]?[^\n]?`),
		"redis":     regexp.MustCompile(`^[+-](PONG|NOAUTH|NOPERM|DENIED|ERR )`),
		"amqp":      regexp.MustCompile(`^(AMQP|\x01\x00\x00)`),
		"nats":      regexp.MustCompile(`^INFO \{`),
		"mqtt":      regexp.MustCompile(`^ `),
		"memcached": regexp.MustCompile(`^(VERSION |CLIENT_ERROR unauthenticated|ERROR Too many open connections)`),
	}
	f.Fuzz(func(t *testing.T, words string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // no second connection
		for _, scheme := range serverSchemes {
			probe := parse(t, scheme+"://127.0.0.1", ForWait).Probe.(*serverProbe)
			s := &session{serverProbe: probe, ctx: ctx, addrs: []netip.Addr{netip.IPv6Loopback()}}
			s.tcp = newCtxConn(context.Background(), recorded{Reader: strings.NewReader(words)})
			s.use(s.tcp)
			err := probe.ask(s)
			s.tcp.Close()
			if err != nil {
				require.Regexp(t, fixed, err.Error(), "%s", scheme)
			} else if pattern := yes[scheme]; pattern != nil {
				require.Regexp(t, pattern, words, scheme)
			}
		}
	})
}

// FuzzServerSecrets puts a password into a connection URL, next to arbitrary text.
func FuzzServerSecrets(f *testing.F) {
	const canary = "c4n4ry"
	f.Add("host:80", "/p", "x")
	f.Add("h@i:http", "?a", "\n")
	f.Add("[::1", "#", "/")
	f.Add("a,b", "/%40", " ")
	f.Fuzz(func(t *testing.T, host, path, odd string) {
		if strings.Contains(host+path+odd, canary) {
			t.Skip()
		}
		for _, scheme := range serverSchemes {
			for _, text := range []string{
				scheme + "://user:" + canary + odd + "@" + host + path,
				scheme + "://user:" + odd + canary + "@" + host + path,
				scheme + "://" + canary + odd + "@" + host + path + "?password=" + canary + odd + "#" + canary,
				quote(scheme + "://u:" + canary + odd + "@" + host + path + "?password=" + odd + canary),
			} {
				target, err := Parse(text, ForWait)
				if err != nil {
					require.NotContains(t, err.Error(), canary, "%q", text)
					continue
				}
				require.NotContains(t, target.Name, canary, "%q", text)
			}
		}
	})
}
