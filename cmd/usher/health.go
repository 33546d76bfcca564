package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-init/usher/supervisor"
)

// health is the HTTP server of --health:
//
//   - /livez: 200 as long as usher runs.
//   - /readyz: 200 while the app is ready, else 503.
//   - /servingz: the same as /readyz until the shutdown begins. During the drain it keeps the
//     last result. After the app's stop signal or exit it is 503.
//
// The server implements only the part of HTTP/1.1 (RFC 9112) that these requests need, with
// one request per connection, because the server of net/http would add half a megabyte to
// the binary.
type health struct {
	listener net.Listener
	ready    *supervisor.Readiness
	accepted atomic.Int64 // how many connections have been accepted
	open     atomic.Int64 // how many connections are open
	maxOpen  int64        // at most this many are open at a time, see maxConnections

	mu      sync.Mutex
	silent  []*healthConn // the connections that have not sent a complete request, oldest first
	waiting []*healthConn // the connections that have requested /readyz or /servingz since the current check began
	checked []*healthConn // the connections that will get the result of the current check
}

type healthConn struct {
	net.Conn
	health  *health
	closed  atomic.Bool
	method  string
	serving bool // the request is for /servingz, not for /readyz
}

const (
	// If maxSilent connections have not sent a complete request, the oldest evictCount of
	// them are closed. So a client that opens connections and sends nothing does not lock out
	// other clients. Connections whose request has been read do not count, and are not closed
	// for this reason.
	maxSilent  = 64
	evictCount = 16
	// Before serve closes connections, it pauses for evictPause, so that requests that have
	// already arrived are read first. While connections arrive so fast that accept never
	// blocks, the Go runtime may poll the other sockets only every 10 ms. So without the pause
	// connections would be closed whose requests are in the socket, but have not been read.
	evictPause = time.Millisecond
	// At most maxWaiting connections may wait for the result of a check; other connections
	// get a 503 at once. A waiting connection needs a few hundred bytes and no goroutine.
	maxWaiting = 256
	// requestTimeout limits the time for reading a request, and the time for a readiness
	// check. A check takes at most 10 s (supervisor.Readiness). Most clients time out
	// earlier, the kubelet after 1 s by default.
	requestTimeout = 15 * time.Second
	// responseTimeout is only a precaution, because a response fits into the socket's send
	// buffer and the write does not block.
	responseTimeout = time.Second
	maxRequestSize  = 16 << 10
	// After an error such as EMFILE, serve pauses for acceptRetryPause, because accept
	// would fail again at once.
	acceptRetryPause = 100 * time.Millisecond
)

// listenForHealth opens the listening socket. It is called before usher starts anything, so
// usher can report an unusable address as it reports a wrong flag.
func listenForHealth(address string, ready *supervisor.Readiness, maxOpen int) (*health, error) {
	listener, err := net.Listen("tcp", address)
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	if err != nil {
		return nil, fmt.Errorf("--health: cannot listen on %s: %w", address, err)
	}
	return &health{listener: listener, ready: ready, maxOpen: int64(maxOpen)}, nil
}

// serve accepts connections. It never returns.
func (h *health) serve() {
	for {
		if h.isFull() {
			<-time.After(evictPause)
			h.closeOldest()
		}
		if h.open.Load() >= h.maxOpen {
			<-time.After(evictPause)
			h.makeRoom()
		}
		conn, err := h.listener.Accept()
		if err != nil {
			<-time.After(evictPause)
			h.freeDescriptors()
			<-time.After(acceptRetryPause)
			continue
		}
		h.accepted.Add(1)
		_ = conn.SetDeadline(time.Now().Add(requestTimeout))
		h.open.Add(1)
		c := &healthConn{Conn: newThreadless(conn), health: h}
		h.mu.Lock()
		h.silent = append(h.silent, c)
		h.mu.Unlock()
		go h.serveConn(c)
	}
}

func (h *health) isFull() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.silent) >= maxSilent
}

func (h *health) closeOldest() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.silent) >= maxSilent {
		closeAll(h.silent[:evictCount])
		h.silent = slices.Delete(h.silent, 0, evictCount)
	}
}

// makeRoom closes the older half of the connections that have not sent a request. If there are
// none, it closes the older half of those that wait for a response. These stay in their lists,
// because wait starts another check if the lists are empty.
func (h *health) makeRoom() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := (len(h.silent) + 1) / 2; n > 0 {
		closeAll(h.silent[:n])
		h.silent = slices.Delete(h.silent, 0, n)
		return
	}
	open := slices.DeleteFunc(slices.Concat(h.checked, h.waiting), func(c *healthConn) bool { return c.closed.Load() })
	closeAll(open[:(len(open)+1)/2])
}

// freeDescriptors closes connections after accept has failed, because usher may have no
// descriptor left, and hooks and probes need descriptors too. It closes the connections
// that have not sent a request. If there are none, it closes the connections that wait for
// a response.
func (h *health) freeDescriptors() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.silent) == 0 {
		closeAll(h.waiting)
		closeAll(h.checked)
	}
	closeAll(h.silent)
	h.silent = nil
}

func (c *healthConn) close() {
	if c.closed.CompareAndSwap(false, true) {
		c.Conn.Close()
		c.health.open.Add(-1)
	}
}

func closeAll(conns []*healthConn) {
	for _, c := range conns {
		c.close()
	}
}

// serveConn reads a request and responds, or lets checkReadiness respond.
func (h *health) serveConn(c *healthConn) {
	request, err := http.ReadRequest(bufio.NewReader(io.LimitReader(c, maxRequestSize)))
	h.mu.Lock()
	i := slices.Index(h.silent, c)
	if i >= 0 {
		h.silent = slices.Delete(h.silent, i, i+1)
	}
	h.mu.Unlock()
	netErr := net.Error(nil)
	switch {
	case i < 0, err == io.EOF, errors.As(err, &netErr): // usher or the client has closed the connection, or the read timed out
		c.close()
	case err != nil:
		c.respond(http.StatusBadRequest, "not an HTTP/1 request, or too large")
	default:
		c.method = request.Method
		h.route(c, request.URL.Path)
	}
}

func (h *health) route(c *healthConn, path string) {
	switch {
	case path != "/livez" && path != "/readyz" && path != "/servingz":
		c.respond(http.StatusNotFound, "not found (try /livez, /readyz or /servingz)")
	case c.method != http.MethodGet && c.method != http.MethodHead:
		c.respond(http.StatusMethodNotAllowed, "use GET or HEAD")
	case path == "/livez":
		c.respond(http.StatusOK, "ok")
	default:
		c.serving = path == "/servingz"
		h.wait(c)
	}
}

// wait adds c to the connections that wait for a readiness check, or responds with 503 if
// too many wait already. The goroutine of the first connection runs the check; the
// goroutines of the other connections return.
func (h *health) wait(c *healthConn) {
	h.mu.Lock()
	tooMany := len(h.waiting)+len(h.checked) >= maxWaiting
	first := len(h.waiting)+len(h.checked) == 0
	if !tooMany {
		h.waiting = append(h.waiting, c)
	}
	h.mu.Unlock()
	switch {
	case tooMany:
		c.respond(formatReadiness(errTooManyWaiting, c.serving))
	case first:
		h.checkReadiness()
	}
}

// checkReadiness checks the readiness and responds, and repeats that until no connection is
// waiting. A result is sent only to the connections that were waiting when the check began.
// A later request needs another check, because the shutdown may have started since. The
// later check is usually cheap, because Readiness caches results.
func (h *health) checkReadiness() {
	for {
		h.mu.Lock()
		h.checked, h.waiting = h.waiting, nil
		checked := h.checked
		h.mu.Unlock()
		if len(checked) == 0 {
			return
		}
		h.check(checked, false, h.ready.Ask)
		h.check(checked, true, h.ready.AskServing) // if Ask was called above, AskServing uses its result and probes no target again
	}
}

// check responds to those of the given connections that have requested /servingz (if serving is
// true) or /readyz (if serving is false). If there are any, it calls ask for the result.
func (h *health) check(checked []*healthConn, serving bool, ask func(context.Context) error) {
	otherPath := func(c *healthConn) bool { return c.serving != serving }
	conns := slices.DeleteFunc(slices.Clone(checked), otherPath)
	if len(conns) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	err := ask(ctx)
	if ctx.Err() != nil {
		err = errCheckTimeout
	}
	code, text := formatReadiness(err, serving)
	for _, c := range conns {
		c.respond(code, text)
	}
}

var (
	errCheckTimeout   = errors.New("the check of the --ready targets timed out")
	errTooManyWaiting = errors.New("too many requests are waiting")
)

// formatReadiness returns the response to /readyz or /servingz. The response does not name
// the target that failed, because anybody can send a request. The log names the target.
func formatReadiness(err error, serving bool) (code int, text string) {
	notReady := supervisor.NotReadyError{}
	switch {
	case err == nil:
		return http.StatusOK, "ok"
	case errors.Is(err, supervisor.ErrStopping):
		text = "shutting down"
	case errors.As(err, &notReady) && notReady.Phase < supervisor.Ready:
		text = "the app has not started"
	case errors.As(err, &notReady):
		text = "waiting for the --ready targets"
	case err == errCheckTimeout, err == errTooManyWaiting:
		text = err.Error()
	default:
		text = "a --ready target failed"
	}
	if serving {
		return http.StatusServiceUnavailable, "not serving: " + text
	}
	return http.StatusServiceUnavailable, "not ready: " + text
}

// respond sends a response and closes the connection.
func (c *healthConn) respond(code int, text string) {
	defer c.close()
	text += "\n"
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"+
		"Allow: GET, HEAD\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
		code, http.StatusText(code), time.Now().UTC().Format(http.TimeFormat), len(text))
	if c.method == http.MethodHead {
		text = ""
	}
	_ = c.SetWriteDeadline(time.Now().Add(responseTimeout))
	_, _ = io.WriteString(c, head+text)
}
