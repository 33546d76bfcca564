package probes

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"syscall"
)

// An exchange is one HTTP/1.1 request on its own connection, and the response.
//
// net/http writes the request and parses the response, but its Transport is not used. If a
// response is received before the request is written, a Transport rejects the response and
// prints it through package log. (A server made with nc sends its fixed response at once.)
// The goroutines of a Transport also outlive the request.
type exchange struct {
	conn     net.Conn
	response *http.Response // its Body is never closed, because Close may read the rest of the body, which may be endless
	limit    *io.LimitedReader
	buffer   *bufio.Reader // reads from limit, which reads from conn
}

// sendRequest connects, writes the request and reads the headers of the response. The
// caller closes the connection.
func sendRequest(ctx context.Context, addrs []netip.Addr, req *http.Request, s *tlsSettings) (*exchange, error) {
	port, err := portOf(req.URL)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, addrs, port)
	if err != nil {
		return nil, err
	}
	e := &exchange{conn: conn}
	if req.URL.Scheme == "https" {
		e.conn, err = s.handshake(ctx, conn, req.URL.Hostname(), "http/1.1")
	}
	if err == nil {
		err = e.roundTrip(req)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return e, nil
}

func portOf(u *url.URL) (uint16, error) {
	if u.Port() == "" {
		return map[string]uint16{"http": 80, "https": 443}[u.Scheme], nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return 0, errors.New("redirects to a port that is not in 1-65535")
	}
	return uint16(port), nil
}

// roundTrip writes the request and reads the headers of the final response.
func (e *exchange) roundTrip(req *http.Request) error {
	// A server may respond and close the connection before it has read everything, so
	// the response is read even if the write has failed.
	written := req.Write(e.conn)
	e.limit = &io.LimitedReader{R: e.conn, N: maxHeaderBytes}
	r := bufio.NewReader(e.limit)
	e.buffer = r
	if head, _ := r.Peek(len(tlsAlert)); string(head) == tlsAlert { // an error is ignored, because ReadResponse reads again and returns it
		return errWantsTLS
	}
	for {
		resp, err := http.ReadResponse(r, req)
		switch {
		case err != nil && e.limit.N <= 0:
			return probeError{fmt.Sprintf("more than %d KiB of headers", maxHeaderBytes>>10), nil}
		case err != nil && written != nil:
			return sanitizeHTTPErr(written, errNoHTTP)
		case err != nil:
			return sanitizeHTTPErr(err, errNoHTTP)
		case resp.ProtoMajor != 1:
			return errNoHTTP
		case 100 <= resp.StatusCode && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols:
			continue // an interim response (RFC 9110, section 15.2): read the next one
		}
		e.limit.N = math.MaxInt64
		e.response = resp
		return nil
	}
}

// readBody reads the beginning of the body, at most maxBodyBytes.
func (e *exchange) readBody() ([]byte, error) {
	if e.response.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil // after a 101 response the data is not HTTP
	}
	body, err := io.ReadAll(io.LimitReader(e.response.Body, maxBodyBytes))
	if err != nil {
		return nil, sanitizeHTTPErr(err, errNoHTTP)
	}
	return body, nil
}

// receivedBody returns the part of the body that was received together with the headers. A
// chunked body is not decoded, so its chunk sizes are included.
func (e *exchange) receivedBody() []byte {
	body, _ := e.buffer.Peek(e.buffer.Buffered()) // cannot fail, because it reads nothing
	return body
}

// isLongerThan reports whether the response has more data after body. The parameter body is
// the result of readBody.
func (e *exchange) isLongerThan(body []byte) bool {
	if len(body) < maxBodyBytes {
		return false
	}
	if length := e.response.ContentLength; length >= 0 {
		return length > maxBodyBytes
	}
	n, _ := e.response.Body.Read(make([]byte, 1))
	return n > 0
}

// sanitizeHTTPErr returns only the reason of an HTTP error. For an error of an unknown type
// it returns fallback, because the text of such an error may contain data from the server.
func sanitizeHTTPErr(err, fallback error) error {
	var (
		hinted hintedError
		known  probeError
	)
	switch {
	case errors.As(err, &hinted):
		return hinted
	case errors.As(err, &known):
		return known
	}
	var errno syscall.Errno
	if errors.As(err, &errno) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		return sanitizeErr(err)
	}
	if alert := alertError(err); alert != nil {
		return alert
	}
	return fallback
}

// tlsAlert is the beginning of a TLS record that contains an alert (RFC 8446, section 5.1).
// Many TLS servers answer a request that is not TLS with an alert.
const tlsAlert = "\x15\x03"

var errWantsTLS = probeError{"the server wants TLS: write https://", nil}

var errNoHTTP = hintedError{errors.New("not a valid HTTP response"), hintWrongProtocol}
