package probes

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var tlsOptions = []option{
	{name: "ca", value: "PATH", form: "ca=/etc/tls/ca.pem", meaning: "PEM file of the trusted authorities (the system's)",
		details: "The options for TLS are for https, grpcs, rediss, amqps, mqtts and kafka+ssl; with postgres, mysql, nats and mongodb one of them makes the connection use TLS. " +
			"Parameters of the URL that drivers define for the same files, such as `sslrootcert=`, are used too. " +
			"The files of `ca=`, `cert=` and `key=` are read at each attempt, so that they may be renewed or come late. They must be regular files, or symbolic links to them, of at most 1 MiB, and their paths absolute."},
	{name: "cert", value: "PATH", form: "cert=/etc/tls/client.pem", meaning: "PEM file of the client's certificate"},
	{name: "key", value: "PATH", form: "key=/etc/tls/client.key", meaning: "PEM file of the client's private key"},
	{name: "server-name", value: "NAME", form: "server-name=db.example", meaning: "name that the certificate must be for, instead of the host"},
	{name: "insecure", value: "true", form: "insecure=true", meaning: "do not verify the certificate"},
}

// maxPEM is the maximum size of a PEM file. The bundle of all public authorities is about a
// fifth of that size.
const maxPEM = 1 << 20

// tlsSettings are the TLS options of a target. The zero value verifies the server with the
// system's authorities and the host name of the URL.
type tlsSettings struct {
	ca, cert, key *optionFile // nil: neither an option nor the URL names this file
	serverName    string      // the name to verify instead of the host name
	insecure      bool        // true: the server's certificate is not verified
	hidesHost     bool        // true: no error shows the host of the URL
	anyName       bool        // true: the certificate is verified, but not its name
}

// tlsSettings parses the TLS options.
func (p *targetParser) tlsSettings() tlsSettings {
	s := tlsSettings{hidesHost: p.hidesHosts}
	for _, o := range []struct {
		name string
		file **optionFile
	}{{"ca", &s.ca}, {"cert", &s.cert}, {"key", &s.key}} {
		if path, written := p.values[o.name]; written {
			*o.file = p.newOptionFile(o.name+"=", path[0])
		}
	}
	if (s.cert == nil) != (s.key == nil) {
		p.addError("cert= and key= need each other: write both, with PEM files that may be the same")
	}
	if name, written := p.values["server-name"]; written {
		s.serverName = strings.TrimSuffix(name[0], ".")
		_, err := netip.ParseAddr(s.serverName)
		if s.serverName == "" || err != nil && strings.ContainsFunc(s.serverName, isInvalidInHost) {
			p.addError("server-name= is not a host name: write for example server-name=db.example")
		}
	}
	if value, written := p.values["insecure"]; written {
		s.insecure = value[0] == "true"
		if value[0] != "true" && value[0] != "false" {
			p.addError("insecure= is neither true nor false: write insecure=true to verify no certificate")
		}
	}
	if s.insecure && s.ca != nil {
		p.addError("ca= and insecure=true cannot be combined: without verification no authority is needed")
	}
	return s
}

// config returns the configuration of one handshake. It reads the files of ca=, cert= and key=.
// If neither ca= nor insecure=true is given, it reads the system's CA certificates.
func (s *tlsSettings) config(ctx context.Context, host string) (*tls.Config, error) {
	host, _, _ = strings.Cut(host, "%") // remove the zone of an IPv6 address, because an address in a certificate has none
	config := &tls.Config{ServerName: strings.TrimSuffix(host, "."), InsecureSkipVerify: s.insecure}
	if s.serverName != "" {
		config.ServerName = s.serverName
	}
	switch {
	case s.ca != nil:
		text, err := s.ca.read(ctx, maxPEM)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("the file of %s has no PEM certificate", s.ca.option)
		}
	case !s.insecure:
		roots, err := systemRoots(ctx)
		if err != nil {
			return nil, err
		}
		config.RootCAs = roots
	}
	if s.cert == nil {
		return config, nil
	}
	cert, err := s.cert.read(ctx, maxPEM)
	if err != nil {
		return nil, err
	}
	key, err := s.key.read(ctx, maxPEM)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		// err is not shown, because it could quote a file that holds a secret.
		return nil, fmt.Errorf("the files of %s and %s are not a PEM certificate and its private key", s.cert.option, s.key.option)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// systemRootPool holds the system's authorities after the first successful read.
var systemRootPool atomic.Pointer[x509.CertPool]

var errNoRoots = hintedError{errors.New("no CA certificates are installed on this system"), hintNoCA}

// systemRoots returns the CA certificates of the system, or of SSL_CERT_FILE and SSL_CERT_DIR.
// It reads them through files.run, which returns when ctx ends even if the file system does not
// respond. Otherwise crypto/tls would read them during the handshake, and no context could
// interrupt that read.
func systemRoots(ctx context.Context) (*x509.CertPool, error) {
	if roots := systemRootPool.Load(); roots != nil {
		return roots, nil
	}
	file := os.Getenv("SSL_CERT_FILE") //nolint:forbidigo // crypto/x509 reads the variable too, see below
	err := files.run(ctx, cmp.Or(file, "/etc/ssl/certs"), func() error {
		if file != "" {
			// If the file were a device, crypto/x509 might read it forever. A missing file is
			// no error, because crypto/x509 ignores it.
			if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
				return errors.New("SSL_CERT_FILE is not a regular file")
			}
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			return errNoRoots
		}
		systemRootPool.Store(roots)
		return nil
	}, nil)
	switch {
	case errors.Is(err, errNoRoots):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("cannot read the system's CA certificates: %w", err)
	}
	return systemRootPool.Load(), nil
}

// handshake performs the TLS handshake on conn. It offers protocols by ALPN.
func (s *tlsSettings) handshake(ctx context.Context, conn net.Conn, host string, protocols ...string) (*tls.Conn, error) {
	config, err := s.config(ctx, host)
	if err != nil {
		return nil, err
	}
	config.NextProtos = protocols
	if s.anyName && !s.insecure {
		config.VerifyConnection = verifyAfterHandshake(config, true)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, s.sanitizeErr(err)
	}
	return secure, nil
}

// handshakeBeforeVerification performs the handshake and accepts any certificate. The returned
// function verify checks the certificate as s requires. The probe for MySQL needs this, because
// it must attempt a login before it may close the connection (see failMySQLLogin).
func (s *tlsSettings) handshakeBeforeVerification(ctx context.Context, conn net.Conn, host string) (secure *tls.Conn, verify func() error, err error) {
	config, err := s.config(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	check := func(tls.ConnectionState) error { return nil }
	if !s.insecure {
		check = verifyAfterHandshake(config, s.anyName)
	}
	secure = tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, nil, s.sanitizeErr(err)
	}
	return secure, func() error {
		if err := check(secure.ConnectionState()); err != nil {
			return s.sanitizeErr(err)
		}
		return nil
	}, nil
}

// verifyAfterHandshake makes config accept any certificate. It returns a function that
// verifies the certificates of a server as config would have done. If anyName is true, that
// function does not compare the name.
func verifyAfterHandshake(config *tls.Config, anyName bool) func(tls.ConnectionState) error {
	config.InsecureSkipVerify = true
	name := config.ServerName
	if anyName {
		name = ""
	}
	return func(state tls.ConnectionState) error {
		options := x509.VerifyOptions{Roots: config.RootCAs, DNSName: name, Intermediates: x509.NewCertPool()}
		for _, c := range state.PeerCertificates[1:] { // the first element exists, because otherwise the handshake fails
			options.Intermediates.AddCert(c)
		}
		if _, err := state.PeerCertificates[0].Verify(options); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
		}
		return nil
	}
}

// sanitizeErr returns the reason why a handshake failed. It drops the rest of err's text,
// because the server's address may be secret, and the names in a certificate are data from the
// server.
func (s *tlsSettings) sanitizeErr(err error) error {
	var (
		errno     syscall.Errno
		roots     x509.SystemRootsError
		unknownCA x509.UnknownAuthorityError
		wrongName x509.HostnameError
		invalid   x509.CertificateInvalidError
		badCert   *tls.CertificateVerificationError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &errno), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded):
		return sanitizeErr(err)
	case errors.As(err, &roots):
		return errNoRoots
	case errors.As(err, &unknownCA):
		return s.unknownAuthority(unknownCA.Cert)
	case errors.As(err, &wrongName) && s.hidesHost && s.serverName == "":
		return hintedError{errors.New("the certificate is not for the host of the URL"), hintServerName}
	case errors.As(err, &wrongName):
		return hintedError{fmt.Errorf("the certificate is not for the name %s", wrongName.Host), hintServerName}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expiryError(invalid.Cert, time.Now())
	case errors.As(err, &badCert):
		return hintedError{errors.New("the certificate is not valid"), hintInvalid}
	case errors.As(err, &record):
		return errNotTLS
	}
	if alert := alertError(err); alert != nil {
		return alert
	}
	return hintedError{errors.New("the TLS handshake failed"), hintWrongProtocol}
}

var errNotTLS = hintedError{errors.New("the server does not speak TLS"), hintWithoutTLS}

// unknownAuthority returns the error for a certificate whose signer is unknown. The error
// names one of four reasons: the signer is not the authority of ca=, the certificate is
// self-signed, this system has no CA certificates, or the signer is not among the system's
// authorities.
func (s *tlsSettings) unknownAuthority(cert *x509.Certificate) error {
	switch {
	case s.ca != nil:
		return hintedError{errors.New("the certificate is not signed by the authority of " + s.ca.option), hintOtherCA}
	case cert != nil && bytes.Equal(cert.RawIssuer, cert.RawSubject):
		return hintedError{errors.New("the certificate is self-signed"), hintAuthority}
	}
	if roots := systemRootPool.Load(); roots == nil || roots.Equal(x509.NewCertPool()) {
		return errNoRoots
	}
	return hintedError{errors.New("the certificate is signed by an unknown authority"), hintAuthority}
}

// expiryError returns the error for a certificate that has expired or is not yet valid. If
// it is not yet valid, the error shows the local time, because the local clock may be
// wrong.
func expiryError(cert *x509.Certificate, now time.Time) error {
	const day = "2006-01-02 15:04 MST"
	switch {
	case cert == nil:
		return hintedError{errors.New("the certificate has expired or is not yet valid"), hintTime}
	case now.Before(cert.NotBefore):
		return hintedError{fmt.Errorf("the certificate is not valid before %s, and the local time is %s", cert.NotBefore.UTC().Format(day), now.UTC().Format(day)), hintClock}
	}
	return hintedError{fmt.Errorf("the certificate expired at %s", cert.NotAfter.UTC().Format(day)), hintTime}
}

// alertError returns the TLS alert with which the server closed the connection, or nil. The
// text of the alert comes from crypto/tls ("tls: …"), so it contains no data from the
// server. With TLS 1.3 an alert may arrive after the handshake, so not only
// tlsSettings.sanitizeErr but also sanitizeReadErr and sanitizeHTTPErr call alertError.
func alertError(err error) error {
	var opErr *net.OpError
	if !errors.As(err, &opErr) || opErr.Op != "remote error" {
		return nil
	}
	switch text := opErr.Err.Error(); text {
	case "tls: certificate required":
		return hintedError{errors.New("the server requires a client certificate"), hintClientCert}
	case "tls: no application protocol": // the server supports none of the offered protocols
		return hintedError{errors.New("the server speaks another protocol over TLS"), hintWrongProtocol}
	default:
		return errors.New(text)
	}
}
