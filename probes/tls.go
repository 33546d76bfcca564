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
		details: "The files of `ca=`, `cert=` and `key=` are read at each attempt, so that they may be renewed or come late. They must be regular files, or symbolic links to them, of at most 1 MiB, and their paths absolute."},
	{name: "cert", value: "PATH", form: "cert=/etc/tls/client.pem", meaning: "PEM file of the client's certificate"},
	{name: "key", value: "PATH", form: "key=/etc/tls/client.key", meaning: "PEM file of the client's private key"},
	{name: "server-name", value: "NAME", form: "server-name=db.example", meaning: "name that the certificate must be for, instead of the host"},
	{name: "insecure", value: "true", form: "insecure=true", meaning: "do not verify the certificate"},
}

// maxPEM is the most that a file of certificates may have; the bundle of all
// public authorities has a fifth of it.
const maxPEM = 1 << 20

// A security is what the TLS options of a target say. The zero value verifies
// the server by the system's authorities, as the host name that was written.
type security struct {
	ca, cert, key *optionFile // nil where the option is not written
	serverName    string      // instead of the host name
	insecure      bool        // the server is not verified
}

// security reads the TLS options.
func (r *reading) security() security {
	var s security
	for _, o := range []struct {
		name string
		file **optionFile
	}{{"ca", &s.ca}, {"cert", &s.cert}, {"key", &s.key}} {
		if path, written := r.values[o.name]; written {
			*o.file = r.optionFile(o.name+"=", path[0])
		}
	}
	if (s.cert == nil) != (s.key == nil) {
		r.mistake("cert= and key= go together: write both, as PEM files that may be the same")
	}
	if name, written := r.values["server-name"]; written {
		s.serverName = strings.TrimSuffix(name[0], ".")
		_, err := netip.ParseAddr(s.serverName)
		if s.serverName == "" || err != nil && strings.ContainsFunc(s.serverName, notInHost) {
			r.mistake("server-name= is no host name: write for example server-name=db.example")
		}
	}
	if value, written := r.values["insecure"]; written {
		s.insecure = value[0] == "true"
		if value[0] != "true" && value[0] != "false" {
			r.mistake("insecure= is neither true nor false: write insecure=true to verify no certificate")
		}
	}
	if s.insecure && s.ca != nil {
		r.mistake("ca= and insecure=true exclude each other: without verification no authority is asked for")
	}
	return s
}

// config reads the files and makes the configuration of one handshake.
func (s *security) config(ctx context.Context, host string) (*tls.Config, error) {
	host, _, _ = strings.Cut(host, "%") // no certificate is for a zone
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
			return nil, errors.New("the file of ca= holds no PEM certificate")
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
		// Why exactly is not repeated: it could quote a file that holds a secret.
		return nil, errors.New("the files of cert= and key= are no PEM certificate and its own private key")
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// knownRoots holds the system's authorities from the first successful read on.
var knownRoots atomic.Pointer[x509.CertPool]

var errNoRoots = hinted{errors.New("no CA certificates are installed here"), hintNoCA}

// systemRoots returns the system's authorities, or those of SSL_CERT_FILE and
// SSL_CERT_DIR. crypto/tls would read the same files within the handshake, where
// no context ends a read.
func systemRoots(ctx context.Context) (*x509.CertPool, error) {
	if roots := knownRoots.Load(); roots != nil {
		return roots, nil
	}
	file := os.Getenv("SSL_CERT_FILE")
	err := files.run(ctx, cmp.Or(file, "/etc/ssl/certs"), func() error {
		if file != "" {
			// crypto/x509 would read a device without end. It goes on without a
			// file that is missing.
			if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
				return errors.New("SSL_CERT_FILE is not a regular file")
			}
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			return errNoRoots
		}
		knownRoots.Store(roots)
		return nil
	}, nil)
	switch {
	case errors.Is(err, errNoRoots):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("cannot read the system's CA certificates: %w", err)
	}
	return knownRoots.Load(), nil
}

// handshake puts TLS on a connection; protocol is the one to be spoken on it.
func (s *security) handshake(ctx context.Context, conn net.Conn, host, protocol string) (*tls.Conn, error) {
	config, err := s.config(ctx, host)
	if err != nil {
		return nil, err
	}
	config.NextProtos = []string{protocol}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, s.plain(err)
	}
	return secure, nil
}

// plain reduces an error of a handshake to what a person wants to know.
func (s *security) plain(err error) error {
	var (
		errno     syscall.Errno
		roots     x509.SystemRootsError
		unknownCA x509.UnknownAuthorityError
		wrongName x509.HostnameError
		invalid   x509.CertificateInvalidError
		unsound   *tls.CertificateVerificationError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &errno), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded):
		return plain(err)
	case errors.As(err, &roots):
		return errNoRoots
	case errors.As(err, &unknownCA):
		return s.unknown(unknownCA.Cert)
	case errors.As(err, &wrongName):
		return hinted{fmt.Errorf("the certificate is for another name than %s", wrongName.Host), hintServerName}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return outdated(invalid.Cert, time.Now())
	case errors.As(err, &unsound):
		return hinted{errors.New("the certificate is not valid"), hintInvalid}
	case errors.As(err, &record):
		return hinted{errors.New("the server does not speak TLS"), hintStranger}
	}
	if alert := alertOf(err); alert != nil {
		return alert
	}
	return hinted{errors.New("no valid TLS handshake"), hintStranger}
}

// unknown says why nobody vouches for a certificate. Without any authority on
// this machine it is the machine that lacks something, not the server.
func (s *security) unknown(cert *x509.Certificate) error {
	switch {
	case s.ca != nil:
		return hinted{errors.New("the certificate is not signed by the authority of ca="), hintOtherCA}
	case cert != nil && bytes.Equal(cert.RawIssuer, cert.RawSubject):
		return hinted{errors.New("the certificate is self-signed"), hintAuthority}
	}
	if roots := knownRoots.Load(); roots == nil || roots.Equal(x509.NewCertPool()) {
		return errNoRoots
	}
	return hinted{errors.New("the certificate is signed by an unknown authority"), hintAuthority}
}

// outdated tells the two sides of a certificate's time apart. On the early one
// it is as often the clock here that is wrong.
func outdated(cert *x509.Certificate, now time.Time) error {
	const day = "2006-01-02 15:04 MST"
	switch {
	case cert == nil:
		return hinted{errors.New("the certificate has expired or is not yet valid"), hintTime}
	case now.Before(cert.NotBefore):
		return hinted{fmt.Errorf("the certificate is not valid before %s, and the clock here says %s", cert.NotBefore.UTC().Format(day), now.UTC().Format(day)), hintTime}
	}
	return hinted{fmt.Errorf("the certificate expired at %s", cert.NotAfter.UTC().Format(day)), hintTime}
}

// alertOf gives the alert by which a server has ended TLS, "tls: …" from a fixed
// list, or nil. Under TLS 1.3 that may come after the handshake.
func alertOf(err error) error {
	var refusal *net.OpError
	if !errors.As(err, &refusal) || refusal.Op != "remote error" {
		return nil
	}
	switch text := refusal.Err.Error(); text {
	case "tls: certificate required":
		return hinted{errors.New("the server wants a client certificate"), hintClientCert}
	case "tls: no application protocol": // none that was offered to it
		return hinted{errors.New("the server speaks another protocol over TLS"), hintStranger}
	default:
		return errors.New(text)
	}
}
