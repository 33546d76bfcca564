package probes

import (
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
	// maxService leaves the request far below the frame and the window that a
	// server must take without having said so.
	maxService = 1 << 10
)

// A grpcProbe says yes when the health service of its server says that a service,
// or for "" the server as a whole, is serving
// (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
type grpcProbe struct {
	hook      bool
	scheme    string // of the request: http or https
	authority string
	host      string
	port      uint16
	service   string
	secure    *security // nil without TLS
}

func (g *grpcProbe) Ask(ctx context.Context, a Attempt) error {
	addrs, err := a.resolver().Lookup(ctx, g.host)
	if err != nil {
		return err
	}
	ctx, cancel := limit(ctx, a.Timeout)
	defer cancel()
	line, err := connect(ctx, addrs, g.port)
	if err != nil {
		return err
	}
	defer line.end()
	return orCause(ctx, g.check(ctx, line))
}

// check does the call and judges its answer.
func (g *grpcProbe) check(ctx context.Context, conn net.Conn) error {
	if g.secure != nil {
		secure, err := g.secure.handshake(ctx, conn, g.host, "h2")
		if err != nil {
			return err
		}
		conn = secure
	}
	answer, err := postHTTP2(conn, g.scheme, g.authority, healthCheck, healthRequest(g.service))
	if err != nil {
		return err
	}
	return g.judge(answer)
}

// judge says what is wrong with an answer. What a server writes beside its
// status is not repeated.
func (g *grpcProbe) judge(a *http2Answer) error {
	code, err := strconv.ParseUint(a.grpcStatus, 10, 16)
	switch {
	case a.status != "200" && statusCode().MatchString(a.status):
		status, _ := strconv.Atoi(a.status)
		return hinted{fmt.Errorf("HTTP status %s instead of a gRPC answer", a.status), hintOfStatus(status)}
	case a.status != "200" || !strings.HasPrefix(a.contentType, "application/grpc") || err != nil:
		return errNoGRPC
	case code == 5:
		return g.unknown()
	case code == 12:
		return hinted{errors.New("the server has no grpc.health.v1"), "tcp:// asks no more than that it accepts connections"}
	case 0 < code && code < uint64(len(grpcCodes)):
		return hinted{fmt.Errorf("gRPC status %s", grpcCodes[code]), hintOfGRPC(code)}
	case code != 0:
		return fmt.Errorf("gRPC status %d", code)
	}
	health, ok := healthStatus(a.body)
	switch {
	case !ok:
		return errNoGRPC
	case health == 0:
		return hinted{errors.New("its health is UNKNOWN"), hintUp}
	case health == 1:
		return nil
	case health == 2:
		return hinted{errors.New("its health is NOT_SERVING"), hintUp}
	case health == 3:
		return g.unknown()
	}
	return fmt.Errorf("its health is the unknown number %d", health)
}

var statusCode = onDemand(`^[1-9][0-9][0-9]$`)

var errNoGRPC = hinted{errors.New("no valid gRPC answer"), hintStranger}

// unknown names the service that is asked for, but for a hook, of which no path
// is told.
func (g *grpcProbe) unknown() error {
	switch {
	case g.service == "":
		return hinted{errors.New("the server does not tell its health as a whole"), "name a service, as in grpc://HOST:PORT/SERVICE"}
	case g.hook:
		return hinted{errors.New("the server does not know that service"), hintService}
	}
	return hinted{fmt.Errorf("the server does not know the service %q", g.service), hintService}
}

// grpcCodes are the names of the statuses (google.golang.org/grpc/codes).
var grpcCodes = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// healthRequest is a HealthCheckRequest: its only field is number 1, a string. In
// front of every message of gRPC stand a byte for compression and its length.
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

// healthStatus reads a HealthCheckResponse: its field number 1 is the status, 0
// where it does not stand.
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
		case 0: // a number
			value, skip = binary.Uvarint(b)
			if skip <= 0 {
				return 0, false
			}
			if tag>>3 == 1 {
				status = value
			}
		case 1:
			skip = 8
		case 2: // a length and as many bytes
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)-n) {
				return 0, false
			}
			skip = n + int(length)
		case 5:
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

func buildGRPC(r *reading) Probe {
	g := &grpcProbe{hook: r.use.Hook(), scheme: "http"}
	if r.scheme == "grpcs" {
		secure := r.security()
		g.scheme, g.secure = "https", &secure
	}
	form := r.scheme + "://HOST:PORT[/SERVICE]"
	authority, path := r.authority()
	if strings.Contains(r.rest, "@") {
		r.mistake("%s:// takes no user: write %s, and %%40 for an @ in the service", r.scheme, form)
		return nil
	}
	g.host, g.port = r.hostPort(authority, 0)
	g.authority, _, _ = strings.Cut(authority, "%") // a zone is known here only
	if g.authority != authority {
		g.authority = "[" + strings.Trim(g.authority, "[") + "]:" + strconv.Itoa(int(g.port))
	}
	service, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
	switch {
	case strings.ContainsAny(path, "?#"):
		r.mistake("%s:// takes no query: write %s, and %%3F or %%23 for a ? or # in the service", r.scheme, form)
	case err != nil || !utf8.ValidString(service):
		r.mistake("%s://: a %% in the service that is no escape of UTF-8: write %%25", r.scheme)
	case len(service) > maxService:
		r.mistake("%s://: a service of %d bytes: at most %d are sent", r.scheme, len(service), maxService)
	}
	g.service = service
	r.name = r.scheme + "://" + authority
	if service != "" && !g.hook {
		r.name += (&url.URL{Path: "/" + service}).EscapedPath()
	}
	return g
}
