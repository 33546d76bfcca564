package probes

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	healthCheck = "/grpc.health.v1.Health/Check"
	// maxService is the maximum length of a service name, in bytes. With this limit the
	// request fits into one frame and into the flow-control window with which every server
	// starts, so it can be sent at once.
	maxService = 1 << 10
)

// A grpcProbe is ready when the server's health service reports SERVING for a service, or
// for the whole server if service is ""
// (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
type grpcProbe struct {
	scheme    string // the pseudo-header :scheme of the request: http or https
	authority string
	host      string
	port      uint16
	service   string
	hidden    bool         // the target's name and the errors do not show the service, because it may be secret
	tls       *tlsSettings // nil without TLS
}

func (g *grpcProbe) Ask(ctx context.Context, a Attempt) error {
	addrs, err := a.resolver().Lookup(ctx, g.host)
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	conn, err := connect(ctx, addrs, g.port)
	if err != nil {
		return err
	}
	defer conn.Close()
	return errOrCause(ctx, g.check(ctx, conn))
}

// check calls the method healthCheck on conn, with TLS if g.tls is set, and checks the
// response.
func (g *grpcProbe) check(ctx context.Context, conn net.Conn) error {
	if g.tls != nil {
		secure, err := g.tls.handshake(ctx, conn, g.host, "h2")
		if err != nil {
			return err
		}
		conn = secure
	}
	response, err := postHTTP2(conn, g.scheme, g.authority, healthCheck, healthRequest(g.service))
	if err != nil {
		return err
	}
	return g.checkResponse(response)
}

// checkResponse returns an error unless the response reports SERVING. The error does not show
// grpc-message, the server's own text, which may hold a secret.
func (g *grpcProbe) checkResponse(a *http2Response) error {
	code, err := strconv.ParseUint(a.grpcStatus, 10, 16)
	switch {
	case a.status != "200" && statusCode().MatchString(a.status):
		status, _ := strconv.Atoi(a.status)
		hint := hintForStatus(status)
		if isProxyStatus(status) {
			hint = cmp.Or(hintForProxy(a.header, a.body), hint)
		}
		return hintedError{fmt.Errorf("HTTP status %s instead of a gRPC response", a.status), hint}
	case a.status != "200" || !strings.HasPrefix(a.contentType, "application/grpc") || err != nil:
		return errNoGRPC
	case code == 5:
		return g.unknownService()
	case code == 12:
		return hintedError{errors.New("the server has no grpc.health.v1"), "use tcp://, which checks only that it accepts connections"}
	case code == 14 && hintForProxy(a.header, a.body) != "":
		return hintedError{errors.New("gRPC status UNAVAILABLE"), hintForProxy(a.header, a.body)}
	case 0 < code && code < uint64(len(grpcCodes)):
		return hintedError{fmt.Errorf("gRPC status %s", grpcCodes[code]), hintForGRPC(code)}
	case code != 0:
		return fmt.Errorf("gRPC status %d", code)
	}
	health, ok := healthStatus(a.body)
	switch {
	case !ok:
		return errNoGRPC
	case health == 0:
		return hintedError{errors.New("health status UNKNOWN"), hintStarting}
	case health == 1:
		return nil
	case health == 2:
		return hintedError{errors.New("health status NOT_SERVING"), hintStarting}
	case health == 3:
		return g.unknownService()
	}
	return fmt.Errorf("unknown health status %d", health)
}

var statusCode = lazyRegexp(`^[1-9][0-9][0-9]$`)

var errNoGRPC = hintedError{errors.New("not a valid gRPC response"), hintWrongProtocol}

// unknownService returns the error for a service for which the server has no health status.
// If the target is a hook, or its URL is in an environment variable, the error does not
// contain the service, because the service is the path of the URL, which may be secret.
func (g *grpcProbe) unknownService() error {
	switch {
	case g.service == "":
		return hintedError{errors.New("the server has no health status for itself as a whole"), "name a service, as in grpc://HOST:PORT/SERVICE"}
	case g.hidden:
		return hintedError{errors.New("the server does not know that service"), hintService}
	}
	return hintedError{fmt.Errorf("the server does not know the service %q", g.service), hintService}
}

// grpcCodes are the names of gRPC's status codes, from code 0 on (google.golang.org/grpc/codes).
var grpcCodes = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// healthRequest encodes a HealthCheckRequest. Its only field is number 1, a string. A gRPC
// message starts with one byte for the compression flag and four bytes for the length.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = append(message, 1<<3|2)
		message = binary.AppendUvarint(message, uint64(len(service)))
		message = append(message, service...)
	}
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(b, message...)
}

// healthStatus decodes a HealthCheckResponse. The body begins with one byte for the compression
// flag, which must be 0, and four bytes for the length. Field number 1 is the status; if the
// field is missing, the status is 0.
func healthStatus(body []byte) (status uint64, ok bool) {
	if len(body) < 5 || body[0] != 0 || binary.BigEndian.Uint32(body[1:]) != uint32(len(body)-5) {
		return 0, false
	}
	for b := body[5:]; len(b) > 0; {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		var value uint64
		skip := 0
		switch tag & 7 {
		case 0: // varint
			value, skip = binary.Uvarint(b)
			if skip <= 0 {
				return 0, false
			}
			if tag>>3 == 1 {
				status = value
			}
		case 1: // 64 bits
			skip = 8
		case 2: // a length, followed by that many bytes
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)-n) {
				return 0, false
			}
			skip = n + int(length)
		case 5: // 32 bits
			skip = 4
		default:
			return 0, false
		}
		if skip > len(b) {
			return 0, false
		}
		b = b[skip:]
	}
	return status, true
}

func buildGRPC(p *targetParser) Probe {
	g := &grpcProbe{hidden: p.use.Hook() || p.env != "", scheme: "http"}
	if p.scheme == "grpcs" {
		secure := p.tlsSettings()
		g.scheme, g.tls = "https", &secure
	}
	form := p.scheme + "://HOST:PORT[/SERVICE]"
	authority, path := p.splitAuthority()
	if strings.Contains(p.rest, "@") {
		p.addError("%s:// takes no user: write %s, and %%40 for an @ in the service", p.scheme, form)
		return nil
	}
	g.host, g.port = p.parseHostPort(authority, 0)
	g.authority, _, _ = strings.Cut(authority, "%") // an IPv6 zone is valid on this machine only, so the server does not get it
	if g.authority != authority {
		g.authority = "[" + strings.Trim(g.authority, "[") + "]:" + strconv.Itoa(int(g.port))
	}
	service, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
	switch {
	case strings.ContainsAny(path, "?#"):
		p.addError("%s:// takes no query: write %s, and %%3F or %%23 for a ? or # in the service", p.scheme, form)
	case err != nil || !utf8.ValidString(service):
		p.addError("%s://: a %% in the service that is not an escape of UTF-8: write %%25", p.scheme)
	case len(service) > maxService:
		p.addError("%s://: the service has %d bytes: at most %d are allowed", p.scheme, len(service), maxService)
	}
	g.service = service
	p.name = p.scheme + "://" + authority
	if service != "" && !g.hidden {
		p.name += (&url.URL{Path: "/" + service}).EscapedPath()
	}
	return g
}
