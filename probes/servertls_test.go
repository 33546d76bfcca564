package probes

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tlsGreeting is the greeting of a MySQL server that offers TLS.
var tlsGreeting = strings.Replace(greeting("8.4.0"), "\xfe\xf7", "\xfe\xff", 1)

// tlsServers maps a scheme to a server whose protocol starts with TLS or switches to it. The
// server sends the text greeting, reads as many bytes as the field request says, sends the text
// accepts, performs the TLS handshake, and sends the text afterTLS. Empty texts are not sent.
var tlsServers = map[string]struct {
	greeting string
	request  int64
	accepts  string // the answer that accepts the request for TLS
	afterTLS string
}{
	"rediss":   {afterTLS: "+PONG\r\n"},
	"amqps":    {afterTLS: amqpStart},
	"mqtts":    {afterTLS: "\x20\x02\x00\x00"},
	"nats":     {greeting: "INFO {\"tls_required\":true} \r\n"},
	"postgres": {request: 8, accepts: "S", afterTLS: pgPassword},
	"mysql":    {greeting: tlsGreeting, request: 36, afterTLS: mysqlPacket(3, "\xff\x15\x04#28000Access denied")},
}

// serveWithTLS starts the server of a scheme, and returns its address. received gets what the
// client has sent over TLS, or "" if the handshake failed.
func serveWithTLS(t *testing.T, scheme string, config *tls.Config) (address string, received <-chan string) {
	t.Helper()
	server := tlsServers[scheme]
	all := make(chan string, 1)
	return listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		defer conn.Close()
		io.WriteString(conn, server.greeting)
		io.CopyN(io.Discard, conn, server.request)
		io.WriteString(conn, server.accepts)
		secure := tls.Server(conn, config)
		if secure.Handshake() != nil {
			all <- ""
			return
		}
		io.WriteString(secure, server.afterTLS)
		text, _ := io.ReadAll(secure)
		all <- string(text)
	}).Addr().String(), all
}

func TestServerTLSVerifiesTheCertificateAsTheTargetSays(t *testing.T) {
	a, other := newIssuer(t), newIssuer(t)
	here := []net.IP{net.IPv4(127, 0, 0, 1)}
	a.sign("good", &x509.Certificate{IPAddresses: here})
	a.sign("named", &x509.Certificate{DNSNames: []string{"db.example"}})
	ca, otherCA := a.path("ca.pem"), other.path("ca.pem")
	const (
		unknown  = "the certificate is signed by an unknown authority"
		badName  = "the certificate is not for the name 127.0.0.1"
		otherErr = "the certificate is not signed by the authority of "
	)
	type test struct{ options, query, cert, want string }
	tests := []test{
		{"ca=" + ca + " ", "", "good", ""},
		{"ca=" + ca + " ", "", "named", badName},
		{"ca=" + ca + " server-name=db.example ", "", "named", ""},
		{"ca=" + otherCA + " ", "", "good", otherErr + "ca="},
		{"insecure=true ", "", "named", ""},
		{"insecure=false ", "", "good", unknown},
	}
	perScheme := map[string][]test{
		"rediss": {
			{"", "", "good", unknown},
			{"", "?ssl_cert_reqs=none", "named", ""},
			{"", "?ssl_cert_reqs=CERT_NONE", "named", ""},
			{"", "?ssl_ca_certs=" + ca, "good", ""},
			{"", "?ssl_ca_certs=" + ca, "named", badName},
			{"", "?ssl_check_hostname=false&ssl_ca_certs=" + ca, "named", ""},
		},
		"amqps": {
			{"", "", "good", unknown},
			{"", "?verify=verify_none", "good", ""},
			{"", "?cacertfile=" + ca, "good", ""},
			{"", "?cacertfile=" + otherCA, "good", otherErr + "cacertfile="},
		},
		"mqtts": {{"", "", "good", unknown}},
		"nats":  {{"", "", "named", ""}}, // ready, because without options for TLS the certificate is not verified
		"postgres": {
			{"", "?sslmode=require", "named", ""},
			{"", "?sslmode=no-verify", "named", ""},
			{"", "?ssl=true", "named", ""},
			{"", "?sslmode=require&sslrootcert=" + otherCA, "good", otherErr + "sslrootcert="},
			{"", "?sslmode=require&sslrootcert=" + ca, "named", ""},
			{"", "?sslmode=verify-ca", "good", unknown},
			{"", "?sslmode=verify-ca&sslrootcert=system", "good", unknown},
			{"", "?sslmode=verify-ca&sslrootcert=" + ca, "named", ""},
			{"", "?sslmode=verify-ca&sslrootcert=" + otherCA, "named", otherErr + "sslrootcert="},
			{"", "?sslmode=verify-full&sslrootcert=" + ca, "named", badName},
			{"", "?sslmode=verify-full&sslrootcert=" + ca, "good", ""},
			{"", "?SSLMODE=verify-full&sslrootcert=" + ca, "good", ""},
			{"ca=" + ca + " ", "?sslmode=verify-full&sslrootcert=" + otherCA, "good", ""},
			{"ca=" + ca + " ", "?sslmode=verify-ca", "named", ""},
			{"ca=" + otherCA + " ", "?sslmode=require", "named", otherErr + "ca="},
			{"", "?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=" + ca, "named", "the certificate is not for the host of the URL"},
			{"", "?hostaddr=127.0.0.1&host=db.example&sslmode=verify-full&sslrootcert=" + ca, "named", ""},
			{"server-name=db.example ", "?sslmode=verify-ca&sslrootcert=" + ca, "named", ""},
			{"server-name=x.example ", "?sslmode=verify-ca&sslrootcert=" + ca, "named", "the certificate is not for the name x.example"},
		},
		"mysql": {
			{"", "?ssl-mode=REQUIRED", "named", ""},
			{"", "?sslMode=trust", "named", ""},
			{"", "?useSSL=true", "named", ""},
			{"", "?tls=skip-verify", "named", ""},
			{"", "?tls=true", "good", unknown},
			{"", "?ssl-mode=VERIFY_CA", "good", unknown},
			{"", "?ssl-mode=VERIFY_CA&ssl-ca=" + ca, "named", ""},
			{"", "?ssl-mode=VERIFY_IDENTITY&ssl-ca=" + ca, "named", badName},
			{"", "?ssl_mode=VERIFY_IDENTITY&ssl_ca=" + ca, "good", ""},
			{"", "?ssl_mode=verify_identity&sslca=" + ca, "good", ""},
			{"", "?sslMode=verify-full&ssl-ca=" + ca, "good", ""},
			{"ca=" + ca + " ", "?ssl-mode=VERIFY_IDENTITY", "good", ""},
		},
	}
	for scheme := range tlsServers {
		for _, test := range append(tests, perScheme[scheme]...) {
			address, received := serveWithTLS(t, scheme, &tls.Config{Certificates: []tls.Certificate{a.pair(test.cert)}})
			target := parse(t, test.options+"'"+scheme+"://app:CANARY@"+address+"/1"+test.query+"'", ForWait)
			assert.Equal(t, scheme != "nats" || test.options != "", target.ReadsFiles)
			err := target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout})
			assertResult(t, test.want, err, "%s%s %s %s", test.options, scheme, test.query, test.cert)
			sent := <-received
			assert.NotContains(t, sent, "CANARY")
			if scheme == "mysql" { // even if the certificate is bad, the probe must have sent a login, because MySQL blocks a host after too many connections without one
				assert.Contains(t, sent, "usher-probe", "%s%s", test.options, test.query)
			}
			if scheme == "postgres" && test.want == "" {
				assert.Contains(t, sent, "user\x00app\x00")
			}
		}
	}
}

// The probe uses no TLS for these URLs. They turn TLS off, or leave the choice to the server (the
// default of libpq and MySQL's clients), or have a value that modeOf does not know.
func TestServerTLSIsNotUsedUnlessItIsRequired(t *testing.T) {
	for scheme, queries := range map[string][]string{
		"postgres": {"", "?sslmode=disable", "?sslmode=allow", "?sslmode=prefer", "?ssl=false", "?sslrootcert=/no/such", "?sslmode=x"},
		"mysql":    {"", "?ssl-mode=DISABLED", "?ssl-mode=PREFERRED", "?tls=preferred", "?tls=false", "?useSSL=false", "?tls=custom"},
	} {
		response := map[string]string{"postgres": pgPassword, "mysql": tlsGreeting + mysqlPacket(2, "\xff\x15\x04#28000Access denied")}[scheme]
		for _, query := range queries {
			address, received := recordBytes(t, response)
			require.NoError(t, ask(t, "'"+scheme+"://"+address+"/"+query+"'", ForWait), query)
			sent := <-received
			assert.Contains(t, sent, map[string]string{"postgres": "user\x00postgres\x00", "mysql": "usher-probe\x00"}[scheme], query)
			assert.NotContains(t, sent, "\x04\xd2\x16\x2f", query)
		}
	}
	_, err := Parse("ca=/x 'postgres://db?sslmode=disable'", ForWait)
	assert.EqualError(t, err, "ca= needs TLS, which the URL turns off: remove one of them")
	_, err = Parse("insecure=true 'mysql://db?ssl-mode=PREFERRED'", ForWait)
	assert.EqualError(t, err, "insecure= needs TLS, which the URL turns off: remove one of them")
	_, err = Parse("'postgres://db?sslmode=verify-full&sslrootcert=root.crt'", ForWait)
	assert.ErrorContains(t, err, "sslrootcert= needs an absolute path")
	_, err = Parse("cert=/x rediss://db", ForWait)
	assert.ErrorContains(t, err, "cert= and key= need each other")
}

// The result must not depend on the order in which Go visits a map.
func TestServerParametersInBothCases(t *testing.T) {
	want := map[string]string{"sslmode": "require", "sslkey": "a"}
	for range 50 {
		require.Equal(t, want, lowerNames(url.Values{"SSLMODE": {"disable"}, "sslmode": {"require", "disable"}, "SslKey": {"a"}}))
	}
}

func TestServerWithoutTLSIsNotReadyIfTheTargetRequiresIt(t *testing.T) {
	const noTLS = "the server does not offer TLS"
	for _, test := range []struct{ target, response, want string }{
		{"'postgres://%s/?sslmode=require'", "N", noTLS},
		{"ca=/etc/x.pem postgres://%s", "N", noTLS},
		{"r2dbcs:postgresql://%s/app", "N", noTLS},
		{"'postgres://%s/?sslmode=require'", "E", "the server does not speak the PostgreSQL protocol"},
		{"'postgres://%s/?sslmode=require'", "SHTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak TLS"},
		{"'mysql://%s/?ssl-mode=REQUIRED'", greeting("8.4.0") + mysqlPacket(2, "\xff\x15\x04#28000Access denied"), noTLS},
		{"'mysql://%s/?ssl-mode=REQUIRED'", tlsGreeting + "HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak TLS"},
		{"insecure=true nats://%s", "INFO {} \r\n", noTLS},
		{"insecure=true nats://%s", "INFO {\"tls_required\":true} \r\n-ERR 'x'\r\n", "the server does not speak TLS"},
		{"nats://%s", "INFO {\"tls_required\":true} \r\n-ERR 'x'\r\n", ""},
		{"insecure=true rediss://%s", "-ERR x\r\n", "the server does not speak TLS"},
	} {
		address := serveBytes(t, func(w io.Writer) { io.WriteString(w, test.response) })
		assertResult(t, test.want, ask(t, strings.Replace(test.target, "%s", address, 1), ForWait), test.target)
	}
}

func TestServerTLSSendsTheClientCertificate(t *testing.T) {
	a := newIssuer(t)
	a.sign("good", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	a.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	config := &tls.Config{Certificates: []tls.Certificate{a.pair("good")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	options := "ca=" + a.path("ca.pem") + " cert=" + a.path("client.pem") + " key=" + a.path("client.key") + " "
	for scheme, query := range map[string]string{"rediss": "", "amqps": "", "mqtts": "", "postgres": "?sslmode=require", "mysql": "?ssl-mode=REQUIRED", "nats": ""} {
		address, received := serveWithTLS(t, scheme, config)
		assert.NoError(t, ask(t, options+"'"+scheme+"://"+address+"/"+query+"'", ForWait), scheme)
		<-received
		if scheme == "mysql" || scheme == "nats" {
			continue // an attempt without a client certificate succeeds: the greeting has shown that the server is ready, and with TLS 1.3 the server rejects the client only after the handshake
		}
		err := ask(t, "insecure=true '"+scheme+"://"+address+"/"+query+"'", ForWait)
		assert.EqualError(t, err, "the server requires a client certificate", scheme)
		<-received
	}
	address, received := serveWithTLS(t, "postgres", config)
	url := "'postgres://" + address + "/?sslmode=verify-full&sslrootcert=" + a.path("ca.pem") + "&sslcert=" + a.path("client.pem") + "&sslkey=" + a.path("client.key") + "'"
	assert.NoError(t, ask(t, url, ForWait))
	<-received
	config.ClientAuth = tls.RequestClientCert
	address, received = serveWithTLS(t, "postgres", config)
	assert.NoError(t, ask(t, "'jdbc:postgresql://"+address+"/app?sslmode=require&sslcert=/no/such.crt&sslkey=/no/such.pk8'", ForWait))
	<-received
}

// readLine returns at most 4 KiB of a line. The probe must read the rest of a longer INFO before
// the handshake.
func TestServerNATSWithALongInfoStartsTLS(t *testing.T) {
	lingerLong(t)
	const before, after = `INFO {"tls_required":true,"connect_urls":"`, "\"} \r\n"
	// With 4097 bytes, the buffer ends between the last two bytes, CR and LF.
	for _, length := range []int{4095, 4096, 4097, 4098, 20 << 10} {
		info := before + strings.Repeat("x", length-len(before+after)) + after
		var handshakes atomic.Int32
		l := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
			io.WriteString(conn, info)
			withTLS(hostileConfig(t), func(conn net.Conn) {
				handshakes.Add(1)
				readUntilClosed(conn)
			})(conn)
		})
		require.NoError(t, ask(t, "insecure=true nats://"+l.Addr().String(), ForWait), length)
		require.NoError(t, ask(t, "nats://"+l.Addr().String(), ForWait), length)
		assert.Equal(t, int32(2), handshakes.Load(), length)
	}
}
