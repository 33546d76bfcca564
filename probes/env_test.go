package probes

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parserWith returns a parser for an environment that has one variable, URL.
func parserWith(value string) Parser {
	return Parser{LookupEnv: func(name string) (string, bool) { return value, name == "URL" }}
}

func TestEnvironmentVariableHoldsATarget(t *testing.T) {
	for _, test := range []struct{ text, value, kind, name string }{
		{"env:URL", "postgresql+asyncpg://u:p@db/app", "postgresql", "env:URL"},
		{"env:URL", "jdbc:postgresql://db/app?user=u&password=p@w", "postgresql", "env:URL"},
		{"env:URL", "postgres://u:p ' \" $x`&#w@a,b:1/app", "postgres", "env:URL"}, // the value is one URL: it is not split into words, and quotes stay in it
		{"env:URL", " nats://a:1,nats://b:2\n", "nats", "env:URL"},
		{"env:URL", "valkey://a:1,valkey://b:2", "redis", "env:URL"},
		{"env:URL", "file:///data/a%20b", "file", "env:URL"},
		{"env:URL", "dns://db", "dns", "env:URL"},
		{"env:URL", "tcp://db:1", "tcp", "env:URL"},
		{"'env:URL'", "grpc://db:1/x", "grpc", "env:URL"},
		{"timeout=2s status=204 header='K: V' env:URL", "https://u:p@auth/x?y#z", "https", "env:URL"},
		{"name=database env:URL", "mysql://db", "mysql", "database"},
	} {
		for use := ForWait; use <= ForProbe; use++ {
			target, err := parserWith(test.value).Parse(test.text, use)
			require.NoError(t, err, test.value)
			assert.Equal(t, test.kind, target.Kind, test.value)
			assert.Equal(t, test.name, target.Name, test.value)
		}
	}
	target, err := parserWith("nats://a:1,nats://b:2").Parse("timeout=9s env:URL", ForWait)
	require.NoError(t, err)
	assert.Equal(t, 9*time.Second, target.Timeout)
	assert.Equal(t, []string{"a:1", "b:2"}, describeHosts(t, target))
	assert.True(t, target.ReadsFiles)
}

func TestEnvironmentVariableWithoutATargetIsRejectedWithoutItsValue(t *testing.T) {
	for _, test := range []struct{ text, value, want string }{
		{"env:OTHER", "", "env:OTHER: the variable is not set"},
		{"env:URL", "", "env:URL: the variable is empty"},
		{"env:URL", " \n", "env:URL: the variable is empty"},
		{"env:", "", "env: is not followed by the name of a variable: write for example env:DATABASE_URL"},
		{"env:$URL", "", "env: is not followed by the name"},
		{"env:postgres://u:CANARY@db", "", "env: is not followed by the name"}, // a shell has expanded env:$DATABASE_URL to this
		{"env:'a CANARY'", "", "env: is not followed by the name"},
		{"env:URL CANARY", "tcp://a:1", "more words after the URL"},
		{"env:URL timeout=2s", "tcp://a:1", "timeout= is after the target"},
		{"timeout=x env:OTHER", "", "timeout="},
		{"status=204 env:URL", "tcp://CANARY:1", "status= is for http and https, not for tcp"},
		{"env:URL", "CANARY", "env:URL: the value of the variable is not a URL of a known scheme (tcp://"},
		{"env:URL", "x", "not a URL"},
		{"env:URL", "'postgres://CANARY'", "env:URL: the value of the variable begins with a quote"},
		{"env:URL", "CANARY:5432", "not a URL"},
		{"env:URL", "u:CANARY@db/app", "not a URL"},
		{"env:URL", "CANARY://db", "not a URL of a known scheme"},
		{"env:URL", "redis+CANARY://db", "not a URL of a known scheme"},
		{"env:URL", "command://CANARY", "not a URL"},
		{"env:URL", "timeout=2s tcp://CANARY:1", "options are written before env:"},
		{"env:URL", "curl CANARY", "a command is not possible"},
		{"env:URL", "env:CANARY", "not a URL"},
		{"env:URL", "\"postgres://CANARY\"", "env:URL: the value of the variable begins with a quote"},
		{"env:URL", "postgres://CANARY\npostgres://CANARY", "env:URL: the value of the variable has several lines"},
		{"env:URL", "tcp://CANARY", "env:URL: tcp://… has no port"},
		{"env:URL", "tcp://CANARY:0", "env:URL: tcp://…: the port is not in 1-65535"},
		{"env:URL", "tcp://CANARY:x", "env:URL: tcp:// with a port that is not a number"},
		{"env:URL", "tcp://CANARY!:1", "env:URL: tcp://…: a character that is not allowed"},
		{"env:URL", "tcp://CANARY::1", "env:URL: tcp://…: an IPv6 address needs brackets"},
		{"env:URL", "tcp://[CANARY]:1", "env:URL: tcp://…: not an IPv6 address"},
		{"env:URL", "tcp://CANARY:1 tcp://b:1", "env:URL: tcp:// takes no path"},
		{"env:URL", "postgresql+CANARY://db:0", "env:URL: postgresql://…: the port"},
		{"env:URL", "jdbc:mysql:CANARY://CANARY:0", "env:URL: mysql://…: the port"},
		{"env:URL", "postgres://${CANARY}/x", "env:URL: postgres://…: a character that is not allowed"},
		{"env:URL", "postgres:///CANARY", "env:URL: postgres:// has no host"},
		{"env:URL", "postgres://u:p/CANARY@a@b", "env:URL: postgres:// with an @ after the host"},
		{"env:URL", "http://u:CANARY@a/{CANARY}", "env:URL: http:// with a character in its path or query that must be written as %XX"},
		{"env:URL", "http://CANARY CANARY/", "env:URL: http://"},
		{"env:URL", "dns://CANARY!", "env:URL: dns://…: a character"},
		{"env:URL", "dns://10.9.8.7", "env:URL: dns://… is an address"},
		{"env:URL", "unix://CANARY", "env:URL: unix:// needs an absolute path"},
		{"env:URL", "grpc://u:CANARY@a:1", "env:URL: grpc:// takes no user"},
	} {
		_, err := parserWith(test.value).Parse(test.text, ForWait)
		require.ErrorContains(t, err, test.want, test.value)
		assert.NotContains(t, strings.ToUpper(err.Error()), "CANARY", test.value)
		assert.NotContains(t, err.Error(), "10.9.8.7")
	}
}

// An error of an attempt shows no host if the URL is in an environment variable.
func TestErrorsOfATargetInTheEnvironmentShowNoHost(t *testing.T) {
	a := newIssuer(t)
	a.sign("named", &x509.Certificate{DNSNames: []string{"db.example"}})
	addr := serveHealth(t, &tls.Config{Certificates: []tls.Certificate{a.pair("named")}})
	for _, test := range []struct{ options, value, want string }{
		{"", "redis://127.0.0.1:" + unusedPort(t) + ",[::1]:" + listenAsRedis(t, "-LOADING\r\n") + ",127.0.0.1:" + listenAsRedis(t, "-LOADING\r\n"),
			"no host is ready: host 1: connection refused, host 2: connection refused, host 3: still loading its data"},
		{"", "postgres:///app?host=/no/such", "no such socket"},
		{"ca=" + a.path("ca.pem") + " ", "https://" + addr, "the certificate is not for the host of the URL"},
		{"ca=" + a.path("ca.pem") + " ", "grpcs://" + addr, "the certificate is not for the host of the URL"},
		{"server-name=other.example ca=" + a.path("ca.pem") + " ", "https://" + addr, "the certificate is not for the name other.example"},
		{"insecure=true ", "grpcs://" + addr + "/service-unknown", "the server does not know that service"},
		{"", "tcp://127.0.0.1:" + unusedPort(t), "connection refused"},
	} {
		target, err := parserWith(test.value).Parse(test.options+"env:URL", ForWait)
		require.NoError(t, err)
		assert.EqualError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout}), test.want)
	}
}

// In each value, canary replaces every ~ and stands for a secret. No name of a target and no
// error may contain it.
func FuzzEnvironmentSecrets(f *testing.F) {
	const canary = "c4n4ry"
	for _, value := range []string{
		"postgres://u:p@~/db", "~", "~://h", "postgresql+~://h:0", "tcp://~", "http://a/~", "jdbc:mysql:~://h", "dns://~", "file://~", "nats://a,nats://~:1",
		"mysql:///?unix_socket=~", "postgres:///?host=~&port=~", "postgres://h/?sslmode=~", "postgres://h/?~=1", "mysql://h/?ssl-mode=~", "mongodb://h/?tls=~",
		"http://a/?~", "timeout=~ tcp://a:1", "env:~", "grpc://a:1/~", "unix://~", "http://[~]/", "https://~:1/^",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.Contains(strings.ToLower(value), canary) {
			t.Skip()
		}
		target, err := parserWith(strings.ReplaceAll(value, "~", canary)).Parse("env:URL", ForWait)
		if err != nil {
			require.NotContains(t, err.Error(), canary, "%q", value)
			require.Contains(t, err.Error(), "env:URL: ")
			return
		}
		require.Equal(t, "env:URL", target.Name)
	})
}
