package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestErrorsHaveTheRightHint(t *testing.T) {
	serveText := func(t *testing.T, text string) string {
		return serveBytes(t, func(w io.Writer) { io.WriteString(w, text) })
	}
	closedPort := unusedPort(t)
	closed := "127.0.0.1:" + closedPort
	status := func(code int) string {
		return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) })
	}
	closes := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { conn.Close() }).Addr().String()
	a, other := newIssuer(t), newIssuer(t)
	here := []net.IP{net.IPv4(127, 0, 0, 1)}
	a.sign("good", &x509.Certificate{IPAddresses: here})
	a.sign("named", &x509.Certificate{DNSNames: []string{"db.example"}})
	a.sign("expired", &x509.Certificate{IPAddresses: here, NotAfter: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)})
	a.sign("early", &x509.Certificate{IPAddresses: here, NotBefore: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)})
	secure := func(cert string) string {
		return "https://" + serveHealth(t, &tls.Config{Certificates: []tls.Certificate{a.pair(cert)}})
	}
	wantsCert := "https://" + serveHealth(t, &tls.Config{Certificates: []tls.Certificate{a.pair("good")}, ClientAuth: tls.RequireAnyClientCert})
	ca := "ca=" + a.path("ca.pem") + " "
	grpc := serveGRPC(t, respondHealth)
	envoy := serveGRPC(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "envoy")
		respondHealth(w, r)
	})
	lookup := func(err *net.DNSError) *Resolver {
		return &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) { return nil, err }}
	}

	tests := []struct {
		text     string
		resolver *Resolver
		err      string // a part of the error
		hint     string // a part of the hint
	}{
		{"tcp://db.prod:1", lookup(&net.DNSError{IsNotFound: true}), "name does not resolve", "namespace"},
		{"dns://db.prod", lookup(&net.DNSError{IsNotFound: true}), "name does not resolve", "namespace"},
		{"tcp://db.prod:1", lookup(&net.DNSError{IsTimeout: true}), "the name server timed out", "/etc/resolv.conf"},
		{"tcp://" + closed, nil, "connection refused", "localhost is this container or pod"},
		{"http://localhost:" + closedPort, nil, "connection refused", "localhost is this container or pod"},
		{"http://other:" + closedPort, resolverOf("127.0.0.1"), "connection refused", "localhost is this container or pod"},
		{"redis://" + closed, nil, "connection refused", "localhost is this container or pod"},
		{"http://" + closed, nil, "connection refused", "listening on that port"},
		{"timeout=0.1 tcp://" + listenWithFullBacklog(t, [4]byte{127, 0, 0, 2}).String(), nil, "timed out", "firewall"},
		{"file:///no/such/file", nil, "no such file", "volume"},
		{"unix:///no/such/socket", nil, "no such socket", "volume"},

		{status(400), nil, "status 400", "https://"},
		{status(401), nil, "status 401", "credentials"},
		{status(403), nil, "status 403", "is this client"},
		{status(404), nil, "status 404", "the path"},
		{status(405), nil, "status 405", "method="},
		{status(429), nil, "status 429", "interval="},
		{status(500), nil, "status 500", "log"},
		{status(502), nil, "status 502", "proxy"},
		{status(503), nil, "status 503", "not ready"},
		{status(504), nil, "status 504", "proxy"},
		{status(418), nil, "status 418", ""},
		{"http://" + serveText(t, "HTTP/1.1 503 Service Unavailable\r\nserver: istio-envoy\r\ncontent-length: 19\r\n\r\nno healthy upstream"), nil, "status 503", "from the proxy Envoy (Istio), not from the server"},
		{"http://" + serveText(t, "HTTP/1.1 503 Service Unavailable\r\nServer: envoy\r\n\r\n"), nil, "status 503", "from the proxy Envoy,"},
		{"http://" + serveText(t, "HTTP/1.1 503 Service Unavailable\r\nserver: envoy\r\nx-envoy-upstream-service-time: 0\r\n\r\n"), nil, "status 503", "not ready"},
		{"http://" + serveText(t, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\nno available server\n"), nil, "status 503", "from the proxy Traefik"},
		{"http://" + serveText(t, "HTTP/1.1 502 Bad Gateway\r\nl5d-proxy-error: CANARY\r\n\r\n"), nil, "status 502", "from the proxy Linkerd"},
		{"http://" + serveText(t, "HTTP/1.1 503 Service Temporarily Unavailable\r\nServer: awselb/2.0\r\n\r\n"), nil, "status 503", "from the proxy AWS's load balancer"},
		{"http://" + serveText(t, "HTTP/1.1 503 Service Unavailable\r\nServer: nginx\r\n\r\nnot ready"), nil, "status 503", "not ready"}, // nginx sends this header with the responses of servers behind it
		{"http://" + serveText(t, "HTTP/1.1 500 Internal Server Error\r\nServer: envoy\r\n\r\n"), nil, "status 500", "log"},
		{"match=x " + status(200), nil, "does not match", ""},
		{"http://" + closes, nil, "", "behind a proxy"},
		{"expect=x tcp://" + closes, nil, "before anything", "behind a proxy"},
		{"http://" + serveText(t, mongoOverHTTP), nil, "MongoDB's port, which does not speak HTTP", "mongodb://"},
		{"mongodb://" + serveText(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), nil, "does not speak the MongoDB protocol", "scheme"},
		{"mongodb://" + serveText(t, mongoHello(bsonBool("isreplicaset", true), bsonInt32("ok", 1))), nil, "not a member", "rs.initiate()"},
		{"mongodb://" + serveText(t, mongoHello(bsonBool("arbiterOnly", true), bsonInt32("ok", 1))), nil, "an arbiter", "holds data"},
		{"kafka://" + serveText(t, kafkaNew+kafkaCluster(8, 0, -1)), nil, "no broker is registered", "it is starting"},
		{"kafka://" + serveText(t, kafkaAPIs(0, [3]int{18, 0, 4})), nil, "a listener of controllers", "of a broker"},
		{"postgres://" + serveText(t, "N") + "/?sslmode=require", nil, "does not offer TLS", "turn TLS on"},
		{"http://" + serveText(t, "SSH-2.0-x\r\n"), nil, "not a valid HTTP response", "scheme"},

		{secure("good"), nil, "an unknown authority", "ca="},
		{"ca=" + other.path("ca.pem") + " " + secure("good"), nil, "not signed by the authority of ca=", "authority that signs"},
		{ca + secure("named"), nil, "not for the name", "server-name="},
		{ca + secure("expired"), nil, "expired", "renew it"},
		{ca + secure("early"), nil, "and the local time is", "clock"},
		{ca + wantsCert, nil, "a client certificate", "cert= and key="},
		{"https://" + serveText(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), nil, "does not speak TLS", "without its last s"},
		{"http://" + serveText(t, "\x15\x03\x03\x00\x02\x02\x46"), nil, "the server wants TLS: write https://", ""},
		{"http://" + strings.TrimPrefix(secure("good"), "https://"), nil, "status 400", "https://"}, // a TLS server of Go answers a request without TLS with 400

		{"postgres://" + serveText(t, pgError("57P03", "the database system is starting up")), nil, "still starting up", "it is starting"},
		{"postgres://" + serveText(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), nil, "does not speak the PostgreSQL protocol", "port"},
		{"redis://" + serveText(t, "-LOADING x\r\n"), nil, "still loading", "it is starting"},
		{grpc + "/not-serving", nil, "NOT_SERVING", "it is starting"},
		{grpc + "/service-unknown", nil, "does not know the service", "under which the server"},
		{grpc + "/unimplemented", nil, "no grpc.health.v1", "tcp://"},
		{grpc + "/http-503", nil, "HTTP status 503", "not ready"},
		{grpc + "/status%2014", nil, "UNAVAILABLE", "not ready"},
		{envoy + "/status%2014", nil, "UNAVAILABLE", "from the proxy Envoy,"},
		{envoy + "/http-503", nil, "HTTP status 503", "from the proxy Envoy,"},
		{grpc + "/status%2016", nil, "UNAUTHENTICATED", "credentials"},
		{"grpc://" + serveText(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), nil, "HTTP/1", "scheme"},
	}
	for _, test := range tests {
		target := parse(t, test.text, ForWait)
		timeout := 30 * time.Second
		if target.TimeoutWritten {
			timeout = target.Timeout
		}
		err := target.Probe.Ask(t.Context(), Attempt{Timeout: timeout, Resolver: test.resolver})
		require.ErrorContains(t, err, test.err, "%s", test.text)
		hint := Hint(err)
		if test.hint == "" {
			assert.Empty(t, hint, "%s: %v", test.text, err)
			continue
		}
		assert.Contains(t, hint, test.hint, "%s: %v", test.text, err)
		assert.Less(t, len(hint), 110, "a hint must fit at the end of a log line")
		// Hint also finds the hint of an error that is wrapped in another error.
		assert.Equal(t, hint, Hint(fmt.Errorf("%w, the try before failed: %w", errors.New("x"), err)))
	}
	for _, hint := range []string{
		hintMount, hintRedirected, hintRefused, hintGone, hintPresent, hintLonger, hintsForKubernetes[401], hintsForKubernetes[403],
		hintRefusedIPv6, hintLocalhostIPv4, hintLocalhostIPv6, hintOnlyIPv4, hintOnlyIPv6,
	} { // other tests check which errors have these hints
		assert.Less(t, len(hint), 110)
	}
	assert.Contains(t, Hint(errNoAnswer), "firewall")
	assert.Contains(t, Hint(sanitizeErr(syscall.EHOSTUNREACH)), "route")
	assert.Contains(t, Hint(sanitizeErr(syscall.ECONNREFUSED)), "Service without endpoints")
	assert.Empty(t, Hint(nil))
	assert.Empty(t, Hint(errors.New("exit status 1")))
}
