package probes

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerURLsAreParsedOrRejectedWithoutTheirSecrets(t *testing.T) {
	ports := map[string]uint16{"postgres": 5432, "postgresql": 5432, "mysql": 3306, "redis": 6379, "amqp": 5672, "nats": 4222, "mqtt": 1883, "memcached": 11211,
		"rediss": 6379, "amqps": 5671, "mqtts": 8883, "mongodb": 27017, "kafka": 9092, "kafka+ssl": 9092}
	for scheme, port := range ports {
		for text, want := range map[string]serverHost{
			"u:p/w@db/x":              {host: "db", port: port}, // the passwords of this URL and the next four have characters that only some drivers accept
			"u:p#w@db:1/x?a=b":        {host: "db", port: 1},
			"u:p?w@db":                {host: "db", port: port},
			"u:50%@db":                {host: "db", port: port},
			"u:p;w@db":                {host: "db", port: port},
			"u:p%40w@db":              {host: "db", port: port},
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
			require.Len(t, target.Probe.(*serverProbe).hosts, 1)
			host := target.Probe.(*serverProbe).hosts[0]
			assert.Equal(t, []any{want.host, want.port}, []any{host.host, host.port}, text)
			address := text[strings.LastIndexByte(text, '@')+1:]
			address, _, _ = strings.Cut(address, "/")
			assert.Equal(t, scheme+"://"+address, target.Name)
			assert.Equal(t, scheme, target.Kind)
		}
		for text, want := range map[string]string{
			"":                                     "has no host",
			"/db":                                  "has no host",
			"u:CANARY@":                            "has no host",
			"a:1,/db":                              "has no host",
			",a:1/db":                              "has no host",
			"a,b:0":                                "not in 1-65535",
			"a:1,ftp://b:2":                        "has no port",
			"u:12/CANARY@db":                       "%2F", // rejected, because u may be a host, and 12 its port
			"u:/CANARY@db":                         "%2F",
			":CA/NARY@db":                          "%2F",
			"CANARY#x@db":                          "%23",
			"u:CA/NARY@db/x@y":                     "%2F", // it is unclear which @ ends the password
			"u:CA?N=ARY@db":                        "%3F",
			"u:CANARY@a/b@c":                       "%40",
			"db/?x=CANARY@y":                       "%40",
			"db:x/?x=CANARY@y":                     "%40",
			"(host=db,password=CANARY)/x":          "not allowed in a host name",
			"address=(host=db)(password=CANARY)/x": "not allowed in a host name",
			"db:CANARY":                            "not a number",
			"u:CANARY@db:0":                        "not in 1-65535",
			"::1":                                  "needs brackets",
			"u:CANARY@d%62":                        "not allowed in a host name",
			"u:CANARY@tcp(db)/x":                   "not allowed in a host name",
		} {
			_, err := Parse("'"+scheme+"://"+text+"'", ForWait)
			require.ErrorContains(t, err, want, text)
			assert.NotContains(t, err.Error(), "CANARY", text)
			assert.NotContains(t, err.Error(), "NARY", text)
		}
		_, err := Parse("send=x "+scheme+"://db", ForWait)
		assert.ErrorContains(t, err, "send=")
	}
	for _, text := range []string{"u%00:CANARY@db", "%00@db", "db/a%00b", "'db/?user=a%00b'"} {
		_, err := Parse("postgres://"+text, ForWait)
		assert.ErrorContains(t, err, "NUL", text)
	}
}

// No server may get the password. Only a PostgreSQL server gets the user and the database.
func TestServerGetsNoPassword(t *testing.T) {
	responses := map[string]string{"mysql": greeting("8.4.0"), "nats": "INFO {}\r\n"}
	for _, test := range serverResponses {
		if _, known := responses[test.scheme]; !known {
			responses[test.scheme] = test.response
		}
	}
	responses["postgresql"] = responses["postgres"]
	for _, scheme := range serverSchemes {
		address, received := recordBytes(t, responses[scheme])
		target := parse(t, scheme+"://us%20er:CANARY@"+address+"/data%2Fbase?password=CANARY&x=CANARY#CANARY", ForEnd)
		assert.Equal(t, scheme+"://"+address, target.Name)
		require.NoError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: time.Minute}))
		all := <-received
		assert.NotContains(t, all, "CANARY")
		if strings.HasPrefix(scheme, "postgres") {
			assert.Equal(t, "\x00\x00\x00\x27\x00\x03\x00\x00user\x00us er\x00database\x00data/base\x00\x00", all)
		} else {
			assert.NotContains(t, all, "us er")
			assert.NotContains(t, all, "data/base")
		}
	}
}

// recordBytes starts a server that sends response to each client at once. When a client has
// closed its side of the connection, received gets all bytes that the client has sent.
func recordBytes(t *testing.T, response string) (address string, received <-chan string) {
	t.Helper()
	bytes := make(chan string, 1)
	l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		io.WriteString(conn, response)
		all, _ := io.ReadAll(conn)
		conn.Close()
		bytes <- string(all)
	})
	return l.Addr().String(), bytes
}

func TestServerPostgresGetsUserAndDatabaseAsFromLibpq(t *testing.T) {
	tests := map[string][2]string{
		"postgres://db":                                     {"postgres", "postgres"},
		"postgres://db/":                                    {"postgres", "postgres"},
		"postgres://db/app#x":                               {"postgres", "app"},
		"'postgres://db/a;b'":                               {"postgres", "a;b"},
		"postgres://me@db":                                  {"me", "me"},
		"postgres://m%e@db/50%":                             {"m%e", "50%"},
		"postgres://me:p/w@db/app":                          {"me", "app"},
		"'postgres://db/app?dbname=other'":                  {"postgres", "other"},
		"'jdbc:postgresql://db/app;x?user=me&password=p@q'": {"me", "app"},
		"postgres://:x@db/app":                              {"postgres", "app"},
		"postgres://me:x@db:1/app?sslmode=prefer":           {"me", "app"},
		"'postgres://db/app?password=x&user=me'":            {"me", "app"},
	}
	for text, want := range tests {
		address, received := recordBytes(t, pgPassword)
		probe := parse(t, text, ForWait).Probe.(*serverProbe)
		to := netip.MustParseAddrPort(address)
		probe.hosts = []serverHost{{host: to.Addr().String(), port: to.Port()}}
		require.NoError(t, probe.Ask(t.Context(), Attempt{}))
		assert.Equal(t, "user\x00"+want[0]+"\x00database\x00"+want[1]+"\x00\x00", (<-received)[8:], text)
	}
}

// The URLs contain a password next to text from the fuzzer. No name or error may contain the
// password.
func FuzzServerSecrets(f *testing.F) {
	const canary = "c4n4ry"
	f.Add("host:80", "/p", "x")
	f.Add("h@i:http", "?a", "\n")
	f.Add("[::1", "#", "/")
	f.Add("a,b", "/%40", " ")
	f.Add("h", "?host=", "?a=/")
	f.Add("h/?a=@", "", ":x/")
	f.Fuzz(func(t *testing.T, host, path, odd string) {
		if strings.Contains(host+path+odd, canary) {
			t.Skip()
		}
		for _, scheme := range append([]string{"rediss", "mongodb+srv", "kafka+ssl"}, serverSchemes...) {
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
