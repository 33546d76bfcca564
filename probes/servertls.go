package probes

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// A tlsMode is what a connection URL says about TLS.
type tlsMode int

const (
	tlsUnset      tlsMode = iota // the URL says nothing about TLS
	tlsOff                       // no TLS, or TLS only if the server offers it; the probe uses none in both cases
	tlsUnverified                // TLS; the certificate is verified only if an authority is given
	tlsAnyName                   // TLS; the certificate is verified, but not its name
	tlsVerified                  // TLS; the certificate and its name are verified
)

// modeOf returns the mode of the first parameter in names that has a known value, or tlsUnset
// if there is none. The known values are booleans and those of libpq (disable to verify-full),
// node-postgres (no-verify), MySQL (disabled to verify-identity), MariaDB's connectors (trust)
// and Go's MySQL driver (skip-verify).
func modeOf(params map[string]string, names ...string) tlsMode {
	for _, name := range names {
		switch strings.ReplaceAll(strings.ToLower(params[name]), "_", "-") {
		case "disable", "allow", "prefer", "disabled", "preferred", "false", "0":
			return tlsOff
		case "require", "required", "no-verify", "trust", "skip-verify", "true", "1":
			return tlsUnverified
		case "verify-ca":
			return tlsAnyName
		case "verify-full", "verify-identity":
			return tlsVerified
		}
	}
	return tlsUnset
}

// lowerNames returns the parameters of a URL with their names in lower case, because some
// drivers ignore the case. Of a repeated parameter it returns the first value. If a name is
// repeated in another case, the value of the name in lower case counts.
func lowerNames(query url.Values) map[string]string {
	params := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(query)) { // upper case comes before lower case
		params[strings.ToLower(name)] = query[name][0]
	}
	return params
}

// serverTLS returns the TLS settings for a server, or nil if the connection does not use
// TLS. mode is what the URL says about TLS. If mode is tlsUnset, TLS is used if the target
// has one of the options for TLS.
//
// If ca=, cert= or key= is not given, a parameter of the URL for the same file is used
// instead. The parameters are those of libpq, MySQL's clients and their bindings for Python
// and Ruby, MongoDB's drivers, redis-py and RabbitMQ's clients.
func (p *targetParser) serverTLS(mode tlsMode, params map[string]string) *tlsSettings {
	s := p.tlsSettings()
	var given string
	for _, o := range tlsOptions {
		if _, written := p.values[o.name]; written {
			given = o.name
		}
	}
	if mode == tlsUnset && given != "" {
		mode = tlsVerified
	}
	if mode <= tlsOff {
		if given != "" {
			p.addError("%s= needs TLS, which the URL turns off: remove one of them", given)
		}
		return nil
	}
	p.target.ReadsFiles = true
	for _, o := range []struct {
		file  **optionFile
		names []string
	}{
		{&s.ca, []string{"sslrootcert", "ssl-ca", "ssl_ca", "sslca", "tlscafile", "ssl_ca_certs", "cacertfile"}},
		{&s.cert, []string{"sslcert", "ssl-cert", "ssl_cert", "tlscertificatekeyfile", "ssl_certfile", "certfile"}},
		{&s.key, []string{"sslkey", "ssl-key", "ssl_key", "tlscertificatekeyfile", "ssl_keyfile", "keyfile"}},
	} {
		// With PostgreSQL's JDBC driver, sslkey= names a file in DER or PKCS #12, but the probe
		// reads only PEM. So the probe ignores the client certificate of a jdbc: URL. It can find
		// out without one whether the server is ready.
		if o.file != &s.ca && strings.HasPrefix(p.written, "jdbc:") {
			continue
		}
		for _, name := range o.names {
			// For libpq, sslrootcert=system means the system's authorities.
			if path := params[name]; *o.file == nil && path != "" && path != "system" {
				*o.file = p.newOptionFile(name+"=", path)
			}
		}
	}
	if (s.cert == nil) != (s.key == nil) {
		// If only one of the options cert= and key= was given, tlsSettings has reported an error.
		// In the query of a URL, a certificate without a key (or the reverse) is no error, because
		// drivers have a default for the other file. The probe then uses no client certificate.
		s.cert, s.key = nil, nil
	}
	if _, written := p.values["insecure"]; !written {
		// For libpq, sslmode=require means verify-ca if sslrootcert= is given. So the certificate
		// is verified if there is a file of authorities.
		s.insecure = mode == tlsUnverified && s.ca == nil || acceptsAnyCert(params)
	}
	s.anyName = s.serverName == "" && (mode <= tlsAnyName || params["tlsallowinvalidhostnames"] == "true" || params["ssl_check_hostname"] == "false")
	return &s
}

// acceptsAnyCert reports whether a parameter of MongoDB's drivers, of redis-py or of
// RabbitMQ's clients says that the certificate is not verified.
func acceptsAnyCert(params map[string]string) bool {
	return params["tlsinsecure"] == "true" || params["tlsallowinvalidcertificates"] == "true" ||
		strings.HasSuffix(strings.ToLower(params["ssl_cert_reqs"]), "none") || params["verify"] == "verify_none"
}

var errNoTLS = hintedError{errors.New("the server does not offer TLS"), "turn TLS on in the server, or do not require it in the target"}
