package probes

import (
	"context"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// greeting returns the first packet of a MySQL or MariaDB server with this version.
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
	pgPassword  = "R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"
	amqpStart   = "\x01\x00\x00\x00\x00\x00\x1c\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US\xce"
	closedEarly = "the connection was closed before the response was complete"
)

// serverResponses are what a server sends after a probe has connected, and the expected error of
// the probe. An empty error means that the server is ready. kafka_test.go and mongodb_test.go
// add the responses for their schemes.
var serverResponses = []serverResponse{
	{"postgres", pgPassword, ""},
	{"postgres", "R\x00\x00\x00\x08\x00\x00\x00\x00", ""},
	{"postgres", "R\x00\x00\x00\x08\x00\x00\x00\x00" + pgError("3D000", "no such database"), ""},
	{"postgres", pgError("28000", "no pg_hba.conf entry"), ""},
	{"postgres", pgError("28P01", "CANARY"), ""},
	{"postgres", pgError("3D000", "CANARY"), ""},
	{"postgres", pgError("53300", "sorry, too many clients already"), ""},
	{"postgres", pgError("57P03", "the database system is starting up"), "still starting up"},
	{"postgres", pgError("57P03", "the database system is shutting down"), "shutting down"},
	{"postgres", pgError("57P01", "server is not accepting clients, try another node"), "shutting down"}, // from a CockroachDB node that drains
	{"postgres", pgError("57P03", "the database system is in recovery mode"), "in recovery after a crash"},
	{"postgres", pgError("57P03", "the database system is not yet accepting connections"), "not accepting connections yet"},
	{"postgres", pgError("57P03", "CANARY"), "not accepting connections yet"},
	{"postgres", pgError("08P01", "query_wait_timeout"), "a pooler without a connection to its server"},
	{"postgres", pgError("08P01", "the database system is starting up"), "a pooler without a connection to its server"},
	{"postgres", pgError("08P01", "FATAL: the database system is shutting down"), "a pooler without a connection to its server"},
	{"postgres", pgError("08P01", "no more connections allowed (max_client_conn)"), ""},
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

type serverResponse struct{ scheme, response, want string }

// serverSchemes are the schemes whose probe is a serverProbe and uses no TLS by default.
// kafka_test.go and mongodb_test.go add theirs.
var serverSchemes = []string{"postgres", "postgresql", "mysql", "redis", "amqp", "nats", "mqtt", "memcached"}

// assertResult asserts that err, the result of an attempt, has the text want and the failureKind
// wrongAnswer. If want is "", err must be nil.
func assertResult(t *testing.T, want string, err error, what ...any) {
	t.Helper()
	if want == "" {
		assert.NoError(t, err, what...)
	} else if assert.EqualError(t, err, want, what...) {
		assert.Equal(t, wrongAnswer, classify(err), what...)
	}
}

func TestServerResponsesThatMeanReady(t *testing.T) {
	var response atomic.Value
	address := serveBytes(t, func(w io.Writer) { io.WriteString(w, response.Load().(string)) })
	for _, test := range serverResponses {
		response.Store(test.response)
		assertResult(t, test.want, ask(t, test.scheme+"://"+address, ForWait), "%s %.80q", test.scheme, test.response)
	}
}

func TestServerResponsesMayArriveByteByByte(t *testing.T) {
	var response atomic.Value
	address := serveBytes(t, func(w io.Writer) {
		for _, b := range []byte(response.Load().(string)) {
			w.Write([]byte{b})
		}
	})
	for _, test := range serverResponses {
		if response.Store(test.response); len(test.response) < 1000 {
			assertResult(t, test.want, ask(t, test.scheme+"://"+address, ForWait), "%s %.80q", test.scheme, test.response)
		}
	}
}

// A cannedConn is a connection that returns the bytes of its Reader and ignores writes.
type cannedConn struct {
	net.Conn
	io.Reader
}

func (c cannedConn) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func (c cannedConn) Write(b []byte) (int, error) { return len(b), nil }

func (c cannedConn) Close() error { return nil }

func (c cannedConn) SetDeadline(time.Time) error { return nil }

func (c cannedConn) SetWriteDeadline(time.Time) error { return nil }

// For any response a probe does not panic, and its error contains no data from the server,
// except numeric error codes. Only a response that matches the scheme's pattern in the map ready
// may count as ready.
func FuzzServerResponses(f *testing.F) {
	for _, test := range serverResponses {
		f.Add(test.response)
	}
	fixed := regexp.MustCompile(`^(the connection was closed before the response was complete|the server does not speak the \w+ protocol|` +
		`a pooler without a connection to its server|still starting up|shutting down|in recovery after a crash|not accepting connections yet|rejects clients( with error \d{1,5})?|` +
		`still loading its data|a replica without a connection to its master|busy with a script|cannot save to disk and refuses to write|` +
		`answered (PING )?with an error|server not available|an arbiter, which holds no data|not a member of a replica set yet|` +
		`neither primary nor secondary: starting, recovering or in rollback|answered (hello|ApiVersions|SaslHandshake) with error -?\d{1,20}|` +
		`no broker is registered yet|the cluster has no controller yet|a listener of controllers, which serves no clients|supports no known version of Metadata)$`)
	ready := map[string]*regexp.Regexp{
		"postgres":  regexp.MustCompile(`^(R\x00\x00[\x00-\x07]|E\x00\x00[^\n]|E\x00[\x00-\x75])`),
		"mysql":     regexp.MustCompile(`^[^\n]?[^\n]?`),
		"redis":     regexp.MustCompile(`^[+-](PONG|NOAUTH|NOPERM|DENIED|ERR )`),
		"amqp":      regexp.MustCompile(`^(AMQP|\x01\x00\x00)`),
		"nats":      regexp.MustCompile(`^INFO \{`),
		"mqtt":      regexp.MustCompile(`^ `),
		"mongodb":   regexp.MustCompile(`^(?s:..)\x00\x00(?s:....)\x01\x00\x00\x00`),
		"kafka":     regexp.MustCompile(`^\x00\x00(?s:..)\x00\x00\x00\x12`),
		"memcached": regexp.MustCompile(`^(VERSION |CLIENT_ERROR unauthenticated|ERROR Too many open connections)`),
	}
	f.Fuzz(func(t *testing.T, response string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // ctx has ended, so that askMemcachedInBinary, which connects again, fails at once
		for _, scheme := range serverSchemes {
			probe := parse(t, scheme+"://127.0.0.1", ForWait).Probe.(*serverProbe)
			s := &session{serverProbe: probe, serverHost: probe.hosts[0], ctx: ctx, addrs: []netip.Addr{netip.IPv6Loopback()}}
			s.tcp = newCtxConn(context.Background(), cannedConn{Reader: strings.NewReader(response)})
			s.use(s.tcp)
			err := probe.ask(s)
			s.tcp.Close()
			if err != nil {
				require.Regexp(t, fixed, err.Error(), "%s", scheme)
			} else if pattern := ready[scheme]; pattern != nil {
				require.Regexp(t, pattern, response, scheme)
			}
		}
	})
}
