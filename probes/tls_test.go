package probes

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An issuer is a certificate authority. It writes the certificates that it signs to files,
// for ca=, cert= and key=.
type issuer struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// sign writes a new certificate to NAME.pem and its key to NAME.key. If the issuer has no
// certificate itself, the new certificate is self-signed.
func (a *issuer) sign(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	require.NoError(a.t, err)
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, c, parent, key.Public(), signer)
	require.NoError(a.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	writeFile(a.t, a.path(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeFile(a.t, a.path(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	signed, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return signed, key
}

func (a *issuer) path(file string) string { return filepath.Join(a.dir, file) }

func (a *issuer) pair(name string) tls.Certificate {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
	require.NoError(a.t, err)
	return pair
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	a := &issuer{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", &x509.Certificate{
		Subject: pkix.Name{CommonName: "a test's authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// selfSigned creates a self-signed certificate for 127.0.0.1.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	// All Ed25519 signatures have the same length, so all handshakes have the same number of
	// bytes. Tests that cut off a response after a number of bytes need that.
	_, key, err := ed25519.GenerateKey(cryptorand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLSCertificatesAreVerifiedAndErrorsNameTheCause(t *testing.T) {
	a, other := newIssuer(t), newIssuer(t)
	here := []net.IP{net.IPv4(127, 0, 0, 1)}
	a.sign("good", &x509.Certificate{IPAddresses: here, DNSNames: []string{"db.example"}})
	a.sign("named", &x509.Certificate{DNSNames: []string{"db.example", "*.wild.example"}})
	a.sign("expired", &x509.Certificate{IPAddresses: here, NotBefore: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC), NotAfter: time.Date(2001, 2, 3, 6, 5, 6, 0, time.UTC)})
	a.sign("early", &x509.Certificate{IPAddresses: here, NotBefore: time.Date(2999, 2, 3, 4, 5, 6, 0, time.UTC), NotAfter: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)})
	a.sign("client-only", &x509.Certificate{IPAddresses: here, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	(&issuer{t: t, dir: a.dir}).sign("self", &x509.Certificate{Subject: pkix.Name{CommonName: "self"}, IPAddresses: here})

	ca := "ca=" + a.path("ca.pem") + " "
	for _, test := range []struct{ cert, options, want string }{
		{"good", ca, ""},
		{"good", "ca=" + a.path("good.pem") + " ", ""},
		{"good", "", "the certificate is signed by an unknown authority"},
		{"good", "ca=" + other.path("ca.pem") + " ", "the certificate is not signed by the authority of ca="},
		{"good", ca + "server-name=db.example ", ""},
		{"good", ca + "server-name=db.example. ", ""},
		{"named", ca, "the certificate is not for the name 127.0.0.1"},
		{"named", ca + "server-name=db.example ", ""},
		{"named", ca + "server-name=a.wild.example ", ""},
		{"named", ca + "server-name=wild.example ", "the certificate is not for the name wild.example"},
		{"expired", ca, "the certificate expired at 2001-02-03 06:05 UTC"},
		{"early", ca, "the certificate is not valid before 2999-02-03 04:05 UTC, and the local time is "},
		{"client-only", ca, "the certificate is not valid"},
		{"self", "", "the certificate is self-signed"},
		{"self", "ca=" + a.path("self.pem") + " ", ""},
		{"self", "insecure=true ", ""},
		{"expired", "insecure=true ", ""},
		{"named", "insecure=true server-name=other.example ", ""},
		{"self", "insecure=false ", "the certificate is self-signed"},
	} {
		addr := serveHealth(t, &tls.Config{Certificates: []tls.Certificate{a.pair(test.cert)}})
		for _, scheme := range []string{"https://", "grpcs://"} {
			text := test.options + scheme + addr
			err := ask(t, text, ForWait)
			switch {
			case test.want == "":
				assert.NoError(t, err, "%s %s", test.cert, text)
			case strings.HasSuffix(test.want, " "): // want ends where the local time begins, at the end of the error
				assert.ErrorContains(t, err, test.want, "%s %s", test.cert, text)
			default:
				assert.EqualError(t, err, test.want, "%s %s", test.cert, text)
			}
		}
	}
}

// A server may choose its certificate by the name in the ClientHello (SNI).
func TestTLSServerNameIsSent(t *testing.T) {
	a := newIssuer(t)
	a.sign("x", &x509.Certificate{DNSNames: []string{"x.example"}})
	a.sign("y", &x509.Certificate{DNSNames: []string{"y.example"}})
	x, y := a.pair("x"), a.pair("y")
	addr := serveHealth(t, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "y.example" {
			return &y, nil
		}
		return &x, nil
	}})
	_, port, _ := net.SplitHostPort(addr)
	local := Attempt{Timeout: longTimeout, Resolver: resolverOf("127.0.0.1")}
	for _, text := range []string{
		"server-name=y.example https://" + addr, "server-name=y.example grpcs://" + addr,
		"https://y.example:" + port, "https://y.example.:" + port, "grpcs://y.example:" + port,
	} {
		assert.NoError(t, parse(t, "ca="+a.path("ca.pem")+" "+text, ForWait).Probe.Ask(t.Context(), local), text)
	}
}

func TestTLSClientCertificates(t *testing.T) {
	a, other := newIssuer(t), newIssuer(t)
	a.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	a.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	other.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	both := append(readFile(t, a.path("client.key")), readFile(t, a.path("client.pem"))...)
	writeFile(t, a.path("both"), both)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	addr := serveHealth(t, &tls.Config{Certificates: []tls.Certificate{a.pair("server")}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	ca := "ca=" + a.path("ca.pem") + " "
	for _, scheme := range []string{"https://", "grpcs://"} {
		ask := func(options string) error { return ask(t, ca+options+scheme+addr, ForWait) }
		assert.NoError(t, ask(fmt.Sprintf("cert=%s key=%s ", a.path("client.pem"), a.path("client.key"))))
		assert.NoError(t, ask(fmt.Sprintf("cert=%s key=%s ", a.path("both"), a.path("both"))), "cert= and key= may name the same file")
		assert.EqualError(t, ask(""), "the server requires a client certificate")
		// A client does not send a certificate if none of the authorities that the server
		// accepts has signed it.
		assert.Error(t, ask(fmt.Sprintf("cert=%s key=%s ", other.path("client.pem"), other.path("client.key"))))
		assert.EqualError(t, ask(fmt.Sprintf("cert=%s key=%s ", a.path("client.pem"), other.path("client.key"))),
			"the files of cert= and key= are not a PEM certificate and its private key")
	}
}

func TestOptionFilesAreReadAtEachAttemptIfTheyAreRegular(t *testing.T) {
	a := newIssuer(t)
	a.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	addr := serveHealth(t, &tls.Config{Certificates: []tls.Certificate{a.pair("server")}})
	path := a.path("late.pem")
	target := parse(t, "ca="+path+" https://"+addr, ForWait)
	attempt := Attempt{Timeout: longTimeout}
	ask := func() error { return target.Probe.Ask(t.Context(), attempt) }

	err := ask()
	assert.EqualError(t, err, "cannot read the file of ca=: no such file")
	assert.True(t, classify(err).isCheap(), "a failed read is cheap, because no server is contacted")
	writeFile(t, path, readFile(t, a.path("ca.pem")))
	assert.NoError(t, ask())
	writeFile(t, path, readFile(t, newIssuer(t).path("ca.pem")))
	assert.EqualError(t, ask(), "the certificate is not signed by the authority of ca=")
	for _, garbage := range []string{"", "CANARY", "-----BEGIN CERTIFICATE-----\nCANARY\n-----END CERTIFICATE-----\n"} {
		writeFile(t, path, []byte(garbage))
		assert.EqualError(t, ask(), "the file of ca= has no PEM certificate")
	}
	writeFile(t, path, make([]byte, maxPEM+1))
	assert.EqualError(t, ask(), "cannot read the file of ca=: it has more than 1024 KiB")
	require.NoError(t, os.Remove(path))
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	assert.EqualError(t, ask(), "cannot read the file of ca=: it is not a regular file")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	assert.EqualError(t, ask(), "cannot read the file of ca=: it is not a regular file")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink("/dev/zero", path))
	assert.EqualError(t, ask(), "cannot read the file of ca=: it is not a regular file")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink("ca.pem", path)) // a link, like the files of a Secret that Kubernetes mounts
	assert.NoError(t, ask())
}

// A container image that is built FROM scratch has no CA certificates.
func TestTLSWithoutCACertificatesHasItsOwnError(t *testing.T) {
	if !runsInChild(t, 0, noCA+"=1") {
		return
	}
	a := newIssuer(t)
	a.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	addr := serveHealth(t, &tls.Config{Certificates: []tls.Certificate{a.pair("server")}})
	assert.EqualError(t, ask(t, "https://"+addr, ForWait), "no CA certificates are installed on this system")
}
