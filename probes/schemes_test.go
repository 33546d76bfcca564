package probes

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each test has a text that Parse rejects, and a part of the expected error. Most texts are
// URLs with which apps connect to servers of a kind that usher does not support.
func TestURLsOfOtherServersAreRejectedWithTheRightForm(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"clickhouse://u:CANARY@h:9000/x", "unknown scheme clickhouse://: write http://HOST:8123/ping"},
		{"clickhouse+native://u:CANARY@h/x", "unknown scheme clickhouse+native://: write http://HOST:8123/ping"},
		{"jdbc:clickhouse://h:8123/x?password=CANARY", "unknown scheme jdbc:clickhouse://: write http://HOST:8123/ping"},
		{"jdbc:oracle://h/x?password=CANARY", "unknown scheme jdbc:oracle://: write tcp://HOST:1521"},
		{"jdbc:oracle:CANARY://h/x", "unknown scheme jdbc:oracle://: write tcp://HOST:1521"},
		{"jdbc:oracle:thin:@//h:1521/CANARY", "unknown scheme jdbc:oracle: write tcp://HOST:1521"},
		{"jdbc:oracle:thin:u/CANARY@h:1521:x", "unknown scheme jdbc:oracle: write tcp://HOST:1521"},
		{"oracle+oracledb://u:CANARY@h/x", "unknown scheme oracle+oracledb://: write tcp://HOST:1521"},
		{"jdbc:sqlserver://h:1433;user=u;password=CANARY", "unknown scheme jdbc:sqlserver://: write tcp://HOST:1433"},
		{"jdbc:jtds:sqlserver://h/CANARY", "unknown scheme jdbc:jtds://: write tcp://HOST:1433"},
		{"mssql+pyodbc://u:CANARY@h/x?driver=y", "unknown scheme mssql+pyodbc://: write tcp://HOST:1433"},
		{"r2dbc:mssql://u:CANARY@h/x", "unknown scheme r2dbc:mssql://: write tcp://HOST:1433"},
		{"SQLServer://u:CANARY@h/x", "unknown scheme sqlserver://: write tcp://HOST:1433"},
		{"sqlite:///CANARY.db", "unknown scheme sqlite://: the database is a file, and needs no wait"},
		{"sqlite3:db/CANARY.db", "unknown scheme sqlite3: the database is a file"},
		{"jdbc:sqlite:/CANARY.db", "unknown scheme jdbc:sqlite: the database is a file"},
		{"jdbc:h2:mem:CANARY", "unknown scheme jdbc:h2: the database is a part of the app"},
		{"jdbc:h2:tcp://CANARY/~/x", "unknown scheme jdbc:h2://: the database is a part of the app"},
		{"r2dbc:h2:mem:///CANARY", "unknown scheme r2dbc:h2://: the database is a part of the app"},
		{"redis-sentinel://:CANARY@a:26379,b:26379/main", "unknown scheme redis-sentinel://: write redis://HOST:26379"},
		{"redis+sentinel://u:CANARY@h/x", "unknown scheme redis+sentinel://: write redis://HOST:26379"},
		{"tls://u:CANARY@h:1", "unknown scheme tls://: write the scheme of the server, such as mqtts://HOST"},
		{"SSL://h:9093", "unknown scheme ssl://: write the scheme of the server"},
		{"PLAINTEXT://h:9092", "unknown scheme plaintext://: write kafka://HOST:PORT"},
		{"SASL_SSL://h:9093", "unknown scheme sasl_ssl: write kafka+ssl://HOST:PORT"},
		{"wss://h/CANARY", "unknown scheme wss://: write http://HOST/PATH"},
		{"jdbc:postgresql:CANARY", "jdbc: without //: write jdbc:postgresql://HOST/DATABASE or jdbc:mysql://HOST/DATABASE"},
		{"r2dbc:postgresql:CANARY", "r2dbc: without //: write r2dbc:postgresql://HOST/DATABASE or r2dbc:mysql://HOST/DATABASE"},
		{"'pgsql:host=h;password=CANARY'", "pgsql: without //: write postgres://HOST[:PORT]"},
		{"'mysql:host=h;password=CANARY'", "mysql: without //: write mysql://HOST[:PORT]"},
		{"'sqlsrv:Server=h;PWD=CANARY'", "unknown scheme sqlsrv: write tcp://HOST:1433"},
		{"unix:///run/redis.sock?db=0&password=CANARY", "unix:// with a query: if that is the URL of a Redis client, write redis+socket:///PATH"},
		// HOST:PORT is not a URL, even if HOST is also a scheme.
		{"oracle:1521", `"oracle:1521" has no scheme: write tcp://oracle:1521`},
		{"mariadb:3306", `"mariadb:3306" has no scheme: write tcp://mariadb:3306`},
	} {
		_, err := Parse(test.text, ForWait)
		require.ErrorContains(t, err, test.want, test.text)
		assert.NotContains(t, err.Error(), "CANARY", test.text)
		for _, err := range unwrapErrs(err) {
			assert.True(t, namesWord(err.Error(), test.text), err)
		}
	}
	for value, want := range map[string]string{
		"mssql+CANARY://u:CANARY@h/CANARY":    "env:URL: unknown scheme mssql: write tcp://HOST:1433",
		"jdbc:oracle:thin:@//CANARY:1/CANARY": "env:URL: unknown scheme oracle: write tcp://HOST:1521",
		"sqlite:///CANARY":                    "env:URL: unknown scheme sqlite: the database is a file",
		"unix:///CANARY?db=0":                 "env:URL: unix:// with a query",
		"CANARY:mssql://h":                    "env:URL: the value of the variable is not a URL of a known scheme",
	} {
		_, err := parserWith(value).Parse("env:URL", ForWait)
		require.ErrorContains(t, err, want, value)
		assert.NotContains(t, err.Error(), "CANARY", value)
	}
}

// Each advice in otherServers must contain at least one target, and all its targets must be
// valid. No scheme in otherServers may be one that findScheme knows.
func TestAdviceForOtherServersIsValid(t *testing.T) {
	target := regexp.MustCompile(`(?:[a-z]+=\S+ )*[a-z+]+://[A-Za-z:0-9/_]+`)
	for _, server := range otherServers {
		for _, scheme := range server.schemes {
			_, known := findScheme(scheme)
			assert.False(t, known, scheme)
		}
		found := target.FindAllString(server.advice, -1)
		require.NotEmpty(t, found, server.advice)
		for _, text := range found {
			_, err := Parse(strings.NewReplacer("HOST", "db", "PORT", "1").Replace(text), ForWait)
			assert.NoError(t, err, text)
		}
	}
}
