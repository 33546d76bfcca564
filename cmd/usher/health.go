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
	"time"

	"github.com/usher-init/usher/supervisor"
)

// health answers the platform's probes over HTTP: /livez, which is 200 as long as
// usher runs, and /readyz. It implements just enough of HTTP/1.1 (RFC 9112) for
// that, one request a connection: net/http's server is half a megabyte.
type health struct {
	listener net.Listener
	ready    *supervisor.Readiness

	mu      sync.Mutex
	silent  []*healthConn // those that have not sent their request yet, oldest first
	waiting []*healthConn // those that have asked for /readyz, since the question under way
	asked   []*healthConn // those that the question under way is for
}

type healthConn struct {
	net.Conn
	method string
}

const (
	// maxSilent is how many connections without a complete request are open. When
	// there are more, the oldest are closed, healthEvicted at a time. So whoever opens
	// connections and sends nothing keeps nobody out, and a connection that has
	// sent its request is never closed for a newer one.
	maxSilent     = 64
	healthEvicted = 16
	// Before connections are closed, what has arrived is read: while accept does not
	// block, the runtime polls the others only every 10 ms.
	healthReadPause = time.Millisecond
	// maxWaiting is how many connections wait for the answer to /readyz; a further one is
	// answered at once. One that waits has no goroutine and costs some hundred bytes.
	maxWaiting = 256
	// healthPatience is the time for a request, and for its answer: longer than the ready
	// targets have for theirs. Whoever asks has usually given up long before (the
	// kubelet after a second).
	healthPatience = 15 * time.Second
	// An answer fits into the socket's buffer, so writing it does not wait.
	healthWriteLimit  = time.Second
	healthRequestSize = 16 << 10
	// After an error such as EMFILE accept would fail again at once.
	healthPause = 100 * time.Millisecond
)

// listenForHealth claims the address, so that one that cannot be had is known
// before anything starts.
func listenForHealth(address string, ready *supervisor.Readiness) (*health, error) {
	listener, err := net.Listen("tcp", address)
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	if err != nil {
		return nil, fmt.Errorf("--health: cannot listen on %s: %w", address, err)
	}
	return &health{listener: listener, ready: ready}, nil
}

// serve goes on until the process ends.
func (h *health) serve() {
	for {
		if h.isFull() {
			<-time.After(healthReadPause)
			h.makeRoom()
		}
		conn, err := h.listener.Accept()
		if err != nil {
			<-time.After(healthReadPause)
			h.freeDescriptors()
			<-time.After(healthPause)
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(healthPatience))
		c := &healthConn{Conn: newThreadless(conn)}
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

func (h *health) makeRoom() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.silent) >= maxSilent {
		closeAll(h.silent[:healthEvicted])
		h.silent = slices.Delete(h.silent, 0, healthEvicted)
	}
}

// freeDescriptors closes connections after accept has failed, because there may be
// no descriptor left, for hooks and probes neither: the silent ones or, without
// any, those that wait.
func (h *health) freeDescriptors() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.silent) == 0 {
		closeAll(h.waiting)
		closeAll(h.asked)
	}
	closeAll(h.silent)
	h.silent = nil
}

func closeAll(conns []*healthConn) {
	for _, c := range conns {
		c.Close()
	}
}

// serveConn reads a request and answers it, or leaves it to answerWaiting.
func (h *health) serveConn(c *healthConn) {
	request, err := http.ReadRequest(bufio.NewReader(io.LimitReader(c, healthRequestSize)))
	h.mu.Lock()
	i := slices.Index(h.silent, c)
	if i >= 0 {
		h.silent = slices.Delete(h.silent, i, i+1)
	}
	h.mu.Unlock()
	failed := net.Error(nil)
	switch {
	case i < 0, err == io.EOF, errors.As(err, &failed): // closed by us, by the client, or timed out
		c.Close()
	case err != nil:
		c.respond(http.StatusBadRequest, "not a request of HTTP/1, or too large")
	default:
		c.method = request.Method
		h.route(c, request.URL.Path)
	}
}

func (h *health) route(c *healthConn, path string) {
	switch {
	case path != "/livez" && path != "/readyz":
		c.respond(http.StatusNotFound, "not found (try /livez or /readyz)")
	case c.method != http.MethodGet && c.method != http.MethodHead:
		c.respond(http.StatusMethodNotAllowed, "GET or HEAD")
	case path == "/livez":
		c.respond(http.StatusOK, "ok")
	default:
		h.wait(c)
	}
}

// wait makes c wait for the next answer about readiness. If no question is under
// way, this goroutine asks it, else it ends.
func (h *health) wait(c *healthConn) {
	h.mu.Lock()
	tooMany := len(h.waiting)+len(h.asked) >= maxWaiting
	first := len(h.waiting)+len(h.asked) == 0
	if !tooMany {
		h.waiting = append(h.waiting, c)
	}
	h.mu.Unlock()
	switch {
	case tooMany:
		c.respond(http.StatusServiceUnavailable, "not ready: too many requests are waiting")
	case first:
		h.answerWaiting()
	}
}

// answerWaiting asks until nobody waits. An answer is only for those who were
// waiting when the question was asked: one who came later may have come after the
// shutdown began. For them it is asked again, and mostly answered from memory.
func (h *health) answerWaiting() {
	for {
		h.mu.Lock()
		h.asked, h.waiting = h.waiting, nil
		asked := h.asked
		h.mu.Unlock()
		if len(asked) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), healthPatience)
		err := h.ready.Ask(ctx)
		if ctx.Err() != nil {
			err = errNoAnswer
		}
		cancel()
		code, text := readinessText(err)
		for _, c := range asked {
			c.respond(code, text)
		}
	}
}

var errNoAnswer = errors.New("no answer in time")

// readinessText is the answer to /readyz. Who asks may be a stranger, so that it
// names no target; the log does.
func readinessText(err error) (code int, text string) {
	notReady := supervisor.NotReadyError{}
	switch {
	case err == nil:
		return http.StatusOK, "ok"
	case errors.Is(err, supervisor.ErrStopping):
		text = "not ready: shutting down"
	case errors.As(err, &notReady) && notReady.Phase < supervisor.Ready:
		text = "not ready: the app has not started"
	case errors.As(err, &notReady):
		text = "not ready: waiting for the --ready targets"
	case err == errNoAnswer:
		text = "not ready: " + errNoAnswer.Error()
	default:
		text = "not ready: a --ready target failed"
	}
	return http.StatusServiceUnavailable, text
}

// respond sends the answer and closes the connection.
func (c *healthConn) respond(code int, text string) {
	defer c.Close()
	text += "\n"
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"+
		"Allow: GET, HEAD\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
		code, http.StatusText(code), time.Now().UTC().Format(http.TimeFormat), len(text))
	if c.method == http.MethodHead {
		text = ""
	}
	_ = c.SetWriteDeadline(time.Now().Add(healthWriteLimit))
	_, _ = io.WriteString(c, head+text)
}
