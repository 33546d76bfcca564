package probes

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// describeHosts returns each host of a target as HOST:PORT, or as the path of its socket.
func describeHosts(t *testing.T, target Target) (list []string) {
	t.Helper()
	for _, h := range target.Probe.(*serverProbe).hosts {
		if h.socket != "" {
			list = append(list, h.socket)
			continue
		}
		list = append(list, net.JoinHostPort(h.host, fmt.Sprint(h.port)))
	}
	return list
}

func TestConnectionURLsOfAppsAreParsed(t *testing.T) {
	for _, test := range []struct{ text, kind, name, hosts string }{
		// Schemes with the name of a driver, as in SQLAlchemy, and schemes of schemeAliases.
		{"postgresql+asyncpg://u:CANARY@db/app", "postgresql", "postgresql+asyncpg://db", "db:5432"},
		{"postgresql+psycopg2://u:CANARY@db:1/app", "postgresql", "postgresql+psycopg2://db:1", "db:1"},
		{"Postgres+PsyCopg://db", "postgres", "postgres+psycopg://db", "db:5432"},
		{"mysql+pymysql://u:CANARY@db/app?charset=utf8mb4", "mysql", "mysql+pymysql://db", "db:3306"},
		{"mariadb+mariadbconnector://u:CANARY@db:1/app", "mysql", "mariadb+mariadbconnector://db:1", "db:1"},
		{"mariadb://db", "mysql", "mariadb://db", "db:3306"},
		{"mysql2://u:CANARY@db/app?pool=5", "mysql", "mysql2://db", "db:3306"},
		{"trilogy://db", "mysql", "trilogy://db", "db:3306"},
		{"pgsql://db", "postgres", "pgsql://db", "db:5432"},
		{"postgis://db", "postgres", "postgis://db", "db:5432"},
		{"pyamqp://u:CANARY@queue//", "amqp", "pyamqp://queue", "queue:5672"},
		{"valkey://:CANARY@cache/0", "redis", "valkey://cache", "cache:6379"},
		// JDBC.
		{"jdbc:postgresql://db/app?user=u&password=CANARY", "postgresql", "jdbc:postgresql://db", "db:5432"},
		{"jdbc:postgresql://db:1/app?user=u&password=CAN@ARY&ssl=true", "postgresql", "jdbc:postgresql://db:1", "db:1"},
		{"jdbc:postgresql://a:1,b:2/app", "postgresql", "jdbc:postgresql://a:1,b:2", "a:1 b:2"},
		{"JDBC:MySQL://db:1/app;user=u;password=CANARY", "mysql", "jdbc:mysql://db:1", "db:1"},
		{"jdbc:mysql://db;user=u;password=CANARY", "mysql", "jdbc:mysql://db", "db:3306"},
		{"jdbc:mysql://u:CANARY@db/app", "mysql", "jdbc:mysql://db", "db:3306"},
		{"jdbc:mysql:loadbalance://a,b:1/app?user=u&password=CANARY", "mysql", "jdbc:mysql:loadbalance://a,b:1", "a:3306 b:1"},
		{"jdbc:mariadb://db/app?user=u&password=CANARY", "mysql", "jdbc:mariadb://db", "db:3306"},
		{"jdbc:aws-wrapper:postgresql://db/app?user=u&password=CANARY", "postgresql", "jdbc:aws-wrapper:postgresql://db", "db:5432"},
		{"jdbc:p6spy:mysql://db/app", "mysql", "jdbc:p6spy:mysql://db", "db:3306"},
		{"jdbc:otel:mariadb://db/app", "mysql", "jdbc:otel:mariadb://db", "db:3306"},
		{"jdbc:mariadb:sequential://a,b/", "mysql", "jdbc:mariadb:sequential://a,b", "a:3306 b:3306"},
		// R2DBC.
		{"r2dbc:postgresql://u:CANARY@db/app", "postgresql", "r2dbc:postgresql://db", "db:5432"},
		{"r2dbc:pool:mysql://u:CANARY@db:1/app?initialSize=5", "mysql", "r2dbc:pool:mysql://db:1", "db:1"},
		{"R2DBCs:mariadb://db/app", "mysql", "r2dbcs:mariadb://db", "db:3306"},
		{"r2dbc:postgresql:failover://a,b/app", "postgresql", "r2dbc:postgresql:failover://a,b", "a:5432 b:5432"},
		// More schemes of schemeAliases: of CockroachDB, PHP, Doctrine and memcached's clients.
		{"cockroachdb://u:CANARY@db:26257/app", "postgres", "cockroachdb://db:26257", "db:26257"},
		{"cockroachdb+psycopg2://db:26257,b:1/app", "postgres", "cockroachdb+psycopg2://db:26257,b:1", "db:26257 b:1"},
		{"mysqli://u:CANARY@db/app", "mysql", "mysqli://db", "db:3306"},
		{"pdo-mysql://u:CANARY@db/app", "mysql", "pdo-mysql://db", "db:3306"},
		{"pdo-pgsql://u:CANARY@db/app", "postgres", "pdo-pgsql://db", "db:5432"},
		{"memcache://db", "memcached", "memcache://db", "db:11211"},
		// Several hosts.
		{"postgres://u:CANARY@h1:1,h2:2/app?target_session_attrs=any", "postgres", "postgres://h1:1,h2:2", "h1:1 h2:2"},
		{"postgres://u:CAN@A,RY@h1,[::1],[::2]:3,10.0.0.1/app", "postgres", "postgres://h1,[::1],[::2]:3,10.0.0.1", "h1:5432 [::1]:5432 [::2]:3 10.0.0.1:5432"},
		{"nats://u:CANARY@a:1,nats://u:CANARY@b:2", "nats", "nats://a:1,b:2", "a:1 b:2"},
		{"nats://a/,nats://[::1]:1/", "nats", "nats://a,[::1]:1", "a:4222 [::1]:1"},
		{"redis://:CANARY@a:1/0,redis://:CANARY@b:2/0", "redis", "redis://a:1,b:2", "a:1 b:2"},
		{"amqp://u:CANARY@a:1//;amqp://u:CANARY@b:2//", "amqp", "amqp://a:1,b:2", "a:1 b:2"},
		{"nats://u:CANA/RY@a,nats://b", "nats", "nats://a,b", "a:4222 b:4222"},
		{"redis://a,b,c", "redis", "redis://a,b,c", "a:6379 b:6379 c:6379"},
		// Hosts and ports in the query, and unix sockets in any part of the URL.
		{"postgresql:///app?host=db&port=1&password=CANARY", "postgresql", "postgresql://…", "db:1"},
		{"postgresql://u@/app?host=a,b&port=1,2", "postgresql", "postgresql://…", "a:1 b:2"},
		{"postgresql:///app?host=a,b&port=1", "postgresql", "postgresql://…", "a:1 b:1"},
		{"postgresql+psycopg2:///app?host=a:1&host=b:2&host=c", "postgresql", "postgresql+psycopg2://…", "a:1 b:2 c:5432"},
		{"postgresql://db/app?port=1", "postgresql", "postgresql://db", "db:1"},
		{"postgresql://u@:6432/app?host=/run/pgbouncer", "postgresql", "postgresql://…", "/run/pgbouncer/.s.PGSQL.6432"},
		{"postgresql://db:6432/app?hostaddr=10.0.0.1", "postgresql", "postgresql://…", "10.0.0.1:6432"},
		{"postgresql://[::1],b:2/app?host=c,d", "postgresql", "postgresql://…", "c:5432 d:2"},
		{"postgresql://db:1/app?host=other&port=3", "postgresql", "postgresql://…", "other:3"},
		{"postgresql://db:1/app?port=65535", "postgresql", "postgresql://db:1", "db:65535"},
		{"postgresql://a:,b:2/app?host=c,d", "postgresql", "postgresql://…", "c:5432 d:2"},
		{"postgresql://db/app?host=other", "postgresql", "postgresql://…", "other:5432"},
		{"postgresql://db/app?host=x&hostaddr=::1&port=1", "postgresql", "postgresql://…", "[::1]:1"},
		{"postgresql:///app?host=/var/run/postgresql", "postgresql", "postgresql://…", "/var/run/postgresql/.s.PGSQL.5432"},
		{"postgresql:///app?host=/tmp,db&port=1,2", "postgresql", "postgresql://…", "/tmp/.s.PGSQL.1 db:2"},
		{"postgres://%2Fvar%2frun:1/app", "postgres", "postgres://…", "/var/run/.s.PGSQL.1"},
		{"postgres://%2Fa/app", "postgres", "postgres://…", "/a/.s.PGSQL.5432"},
		{"mysql://u:CANARY@localhost/app?unix_socket=/run/mysqld/mysqld.sock", "mysql", "mysql://…", "/run/mysqld/mysqld.sock"},
		{"mysql:///?socket=/" + strings.Repeat("x", 106), "mysql", "mysql://…", "/" + strings.Repeat("x", 106)},
		{"mysql2:///app?socket=%2Frun%2Fm", "mysql", "mysql2://…", "/run/m"},
		{"redis+socket://:CANARY@/run/redis.sock?virtual_host=0&password=CANARY", "redis", "redis+socket://…", "/run/redis.sock"},
		{"redis+unix:///run/a%20b", "redis", "redis+unix://…", "/run/a b"},
		{"redis-socket:///run/r?database=0", "redis", "redis-socket://…", "/run/r"},
		{"mongodb://u:CANARY@%2Ftmp%2fmongodb-27017.sock/app", "mongodb", "mongodb://…", "/tmp/mongodb-27017.sock"},
		{"mongodb://db,%2Ftmp%2fm.sock/app", "mongodb", "mongodb://db,%2Ftmp%2fm.sock", "db:27017 /tmp/m.sock"},
		{"jdbc:mariadb://localhost/app?localSocket=/run/m", "mysql", "jdbc:mariadb://…", "/run/m"},
	} {
		target, err := Parse(quote(test.text), ForWait)
		require.NoError(t, err, test.text)
		assert.Equal(t, test.kind, target.Kind, test.text)
		assert.Equal(t, test.name, target.Name, test.text)
		assert.Equal(t, test.hosts, strings.Join(describeHosts(t, target), " "), test.text)
		if strings.Contains(test.hosts, "/") {
			assert.True(t, target.ReadsFiles, test.text)
		}
	}
}

func TestErrorsOfConnectionURLsShowTheRightForm(t *testing.T) {
	for text, want := range map[string]string{
		"postgresql:///CANARY":                                "postgresql:// has no host: write postgresql://HOST, or postgresql:///DATABASE?host=/var/run/postgresql",
		"postgres://u:CANARY@":                                "postgres:// has no host",
		"jdbc:postgresql:///CANARY":                           "jdbc:postgresql:// has no host",
		"mysql:///CANARY":                                     "mysql:///DATABASE?unix_socket=/PATH",
		"mysql://h/?socket=CANARY":                            "socket= that is not an absolute path",
		"postgresql:///app?host=a&port=CANARY":                "port=5432",
		"postgresql:///app?host=a&port=0":                     "not in 1-65535",
		"postgresql:///app?host=a&port=65536":                 "not in 1-65535",
		"postgresql:///app?host=%252Ftmp":                     "not allowed in a host name",
		"postgresql://%2F/app":                                "not allowed in a host name",
		"jdbc:mysql://db/CANARY@x?p=y@z":                      "%40",
		"postgresql:///app?host=a,b,c&port=1,2":               "3 hosts and 2 ports",
		"postgresql:///app?host=CAN%20ARY":                    "not allowed in a host name",
		"postgresql:///app?host=a:b:CANARY":                   "not a number",
		"postgresql:///app?host=/" + strings.Repeat("x", 107): "longer than 107 bytes",
		"mysql:///?unix_socket=/a%00":                         "NUL",
		"nats://a,nats://b/CANARY@c":                          "%40",
		"cockroachdb://u:CANARY@db/app":                       "cockroachdb://… has no port: write cockroachdb://HOST:PORT",
		"cockroachdb://db/app":                                "cockroachdb://db has no port: write cockroachdb://HOST:PORT",
		"redis+socket://CANARY":                               "redis+socket:// needs the absolute path of a socket: write redis+socket:///PATH",
		"redis+unix://h/run/CANARY":                           "redis+unix:// needs the absolute path",
		"mongodb://%2F" + strings.Repeat("x", 107):            "longer than 107 bytes",
	} {
		_, err := Parse(quote(text), ForWait)
		require.ErrorContains(t, err, want, text)
		assert.NotContains(t, err.Error(), "CANARY", text)
		assert.NotContains(t, err.Error(), "ARY", text)
	}
}

// With hostaddr=, serverHost.name is the host that the certificate must be for: the one in host=
// or, without host=, in the URL. The field stays empty if that host is an address in brackets,
// if the numbers of hosts and addresses differ, or without hostaddr=.
func TestPostgresHostaddrKeepsTheNamesOfTheHosts(t *testing.T) {
	for text, want := range map[string][]string{
		"postgresql:///x?host=a,b&hostaddr=10.0.0.1,10.0.0.2":    {"a", "b"},
		"postgresql://a:1,b:2/x?hostaddr=10.0.0.1,10.0.0.2":      {"a", "b"},
		"postgresql://[::1]:1,b:2/x?hostaddr=10.0.0.1,10.0.0.2":  {"", "b"},
		"postgresql://a,b/x?hostaddr=10.0.0.1,10.0.0.2,10.0.0.3": {"", "", ""},
		"postgresql://a:1,b:2/x?host=10.0.0.1,10.0.0.2&port=3,4": {"", ""},
	} {
		target, err := Parse(quote(text), ForWait)
		require.NoError(t, err, text)
		var names []string
		for _, h := range target.Probe.(*serverProbe).hosts {
			names = append(names, h.name)
		}
		assert.Equal(t, want, names, text)
	}
}

// listenAsRedis starts a server that sends reply to each client, and returns its port.
func listenAsRedis(t *testing.T, reply string) (port string) {
	t.Helper()
	_, port, _ = net.SplitHostPort(serveBytes(t, func(w io.Writer) { io.WriteString(w, reply) }))
	return port
}

func TestListOfHostsIsReadyWhenOneOfThemIs(t *testing.T) {
	closed, loading, ready := unusedPort(t), listenAsRedis(t, "-LOADING\r\n"), listenAsRedis(t, "+PONG\r\n")
	other := listenAsRedis(t, "HTTP/1.1 400 Bad Request\r\n")
	silent := listenWithFullBacklog(t, [4]byte{127, 0, 0, 3}).String()
	resolver := &Resolver{LookupNetIP: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "missing" {
			return nil, errNoSuchHost
		}
		return parseAddrs("127.0.0.1"), nil
	}}
	for _, test := range []struct {
		hosts, want string
		kind        failureKind
		hint        string
	}{
		{"a:" + ready + ",b:" + ready, "", noFailure, ""},
		{"a:" + closed + ",b:" + ready, "", noFailure, ""},
		{"a:" + closed + ",missing,127.0.0.1:" + closed + ",b:" + loading + "," + silent + ",c:" + ready, "", noFailure, ""},
		{silent + "," + silent + "," + silent + "," + silent + "," + silent + "," + silent + ",b:" + ready, "", noFailure, ""},
		{"a:" + closed + ",b:" + closed, "connection refused (all 2 hosts)", refused, hintLocalhostIPv4},
		{"a:" + closed + ",missing:1", "no host is ready: a:" + closed + ": connection refused, missing:1: name does not resolve", unresolved, hintName},
		{"a:" + closed + ",b:" + loading + ",c:" + other, "no host is ready: a:" + closed + ": connection refused, b:" + loading +
			": still loading its data, c:" + other + ": the server does not speak the Redis protocol", wrongAnswer, hintStarting},
		{"missing:1,missing:2,missing:3,missing:4,a:" + closed + ",missing:5", "no host is ready: missing:1: name does not resolve, missing:2: name does not resolve, " +
			"missing:3: name does not resolve, missing:4: name does not resolve, and 2 more", unresolved, hintName},
	} {
		target := parse(t, "redis://u:CANARY@"+test.hosts+"/0", ForWait)
		err := target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout, Resolver: resolver})
		assert.Equal(t, test.kind, classify(err), test.hosts)
		assert.Equal(t, test.hint, Hint(err), test.hosts)
		if test.want == "" {
			assert.NoError(t, err, test.hosts)
		} else {
			assert.EqualError(t, err, test.want, test.hosts)
		}
	}
	err := parse(t, "redis://"+silent+","+silent, ForWait).Probe.Ask(t.Context(), Attempt{Timeout: shortTimeout})
	assert.EqualError(t, err, "timed out after 200ms (all 2 hosts)")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.EOF)
	assert.Equal(t, io.EOF, parse(t, "redis://"+silent+","+silent, ForWait).Probe.Ask(ctx, Attempt{}))
}

// One timeout covers the attempts on all hosts. It starts when the first address of any host
// is known.
func TestListOfHostsHasOneTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resolver := &Resolver{LookupNetIP: func(ctx context.Context, host string) ([]netip.Addr, error) {
			if host == "slow" {
				return nil, sleep(ctx, time.Minute)
			}
			return nil, sleep(ctx, 2*time.Second)
		}}
		started := time.Now()
		probe := parse(t, "redis://slow,missing,slow2", ForWait).Probe.(*serverProbe)
		err := probe.Ask(t.Context(), Attempt{Timeout: 3 * time.Second, Resolver: resolver})
		assert.EqualError(t, err, "name does not resolve (all 3 hosts)")
		assert.Equal(t, time.Minute, time.Since(started), "no address is known, so only the resolver limits the attempt")

		started = time.Now()
		probe.hosts[1] = serverHost{host: "127.0.0.1", port: 1, label: "x"}
		probe.ask = func(s *session) error { panic("nothing listens on port 1") }
		err = probe.Ask(t.Context(), Attempt{Timeout: 3 * time.Second, Resolver: &Resolver{LookupNetIP: resolver.LookupNetIP}})
		assert.ErrorContains(t, err, "slow: timed out after 3s")
		assert.Less(t, time.Since(started), 4*time.Second)
		time.Sleep(time.Hour) // lookups continue after an attempt; they must end before the bubble of synctest ends
	})
}

func TestServerOnAUnixSocket(t *testing.T) {
	dir := t.TempDir()
	listen(t, "unix", filepath.Join(dir, ".s.PGSQL.5432"), func(conn net.Conn) {
		io.WriteString(conn, pgPassword)
		readUntilClosed(conn)
	})
	listen(t, "unix", filepath.Join(dir, "mysqld.sock"), func(conn net.Conn) {
		io.WriteString(conn, greeting("8.4.0"))
		readUntilClosed(conn)
	})
	for text, want := range map[string]string{
		"postgresql:///app?sslmode=require&host=" + dir:          "",
		"postgresql:///app?port=5433&host=" + dir:                "no such socket",
		"mysql://localhost/?unix_socket=" + dir + "/mysqld.sock": "",
		"mysql://localhost/?unix_socket=" + dir + "/none":        "no such socket",
		"mysql2://localhost/?socket=" + dir:                      "connection refused",
	} {
		err := ask(t, quote(text), ForWait)
		if want == "" {
			assert.NoError(t, err, text)
		} else {
			assert.EqualError(t, err, want, text)
		}
	}
}
