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

// An exchange is one request on a connection of its own, and the answer to it.
//
// It is HTTP/1.1, spoken here and not by net/http's Transport: that one refuses
// an answer that comes before the request was written (as a canned one from nc
// does) and prints it to stderr through package log; and its goroutines outlive
// the request.
type exchange struct {
	conn   net.Conn
	answer *http.Response // its Body is never closed: that might read it to the end
	limit  *io.LimitedReader
}

// send connects, writes the request and reads the answer's headers. The caller
// closes what it returns.
func send(ctx context.Context, addrs []netip.Addr, req *http.Request, s *security) (*exchange, error) {
	port, err := portOf(req.URL)
	if err != nil {
		return nil, err
	}
	line, err := connect(ctx, addrs, port)
	if err != nil {
		return nil, err
	}
	e := &exchange{conn: line}
	if req.URL.Scheme == "https" {
		e.conn, err = s.handshake(ctx, line, req.URL.Hostname(), "http/1.1")
	}
	if err == nil {
		err = e.exchange(req)
	}
	if err != nil {
		line.end()
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

// exchange writes the request and reads the headers of the final answer.
func (e *exchange) exchange(req *http.Request) error {
	// A server may answer and hang up before it has read everything; the
	// answer is worth more than the failure of the write.
	written := req.Write(e.conn)
	e.limit = &io.LimitedReader{R: e.conn, N: maxHeaderBytes}
	r := bufio.NewReader(e.limit)
	for {
		resp, err := http.ReadResponse(r, req)
		switch {
		case err != nil && e.limit.N <= 0:
			return answer{fmt.Sprintf("more than %d KiB of headers", maxHeaderBytes>>10), nil}
		case err != nil && written != nil:
			return plainHTTP(written, errNoHTTP)
		case err != nil:
			return plainHTTP(err, errNoHTTP)
		case resp.ProtoMajor != 1:
			return errNoHTTP
		case 100 <= resp.StatusCode && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols:
			continue // an interim answer, RFC 9110, section 15.2
		}
		e.limit.N = math.MaxInt64
		e.answer = resp
		return nil
	}
}

// body reads the first of the answer's body, at most maxBodyBytes.
func (e *exchange) body() ([]byte, error) {
	if e.answer.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil // what follows is another protocol's
	}
	body, err := io.ReadAll(io.LimitReader(e.answer.Body, maxBodyBytes))
	if err != nil {
		return nil, plainHTTP(err, errNoHTTP)
	}
	return body, nil
}

// plainHTTP reduces an error of HTTP. Those of no known sort may repeat what the
// server has sent, and so they are not repeated.
func plainHTTP(err, other error) error {
	var (
		advised hinted
		known   answer
	)
	switch {
	case errors.As(err, &advised):
		return advised
	case errors.As(err, &known):
		return known
	}
	var errno syscall.Errno
	if errors.As(err, &errno) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		return plain(err)
	}
	if alert := alertOf(err); alert != nil {
		return alert
	}
	return other
}

var errNoHTTP = hinted{errors.New("no valid HTTP answer"), hintStranger}
