package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/usher-init/usher/supervisor"
)

// health answers the platform's probes over HTTP: /livez, which says yes for as
// long as usher lives, and /readyz. It speaks just enough of HTTP/1.1 (RFC 9112)
// for that, one request a connection: net/http's server is half a megabyte.
type health struct {
	listener net.Listener
	ready    *supervisor.Readiness
}

const (
	// At most so many connections are open. The next one takes the place of the
	// oldest, so that whoever opens them and says nothing keeps nobody out.
	healthPlaces = 64
	// A request and its answer, together: longer than the ready targets have for
	// theirs. Whoever asks has usually given up long before (the kubelet after a second).
	healthPatience    = 15 * time.Second
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
	return &health{listener, ready}, nil
}

// serve goes on until the process ends.
func (h *health) serve() {
	var places [healthPlaces]func()
	for i := range places {
		places[i] = func() {}
	}
	for i := 0; ; i = (i + 1) % healthPlaces {
		places[i]()
		conn, err := h.listener.Accept()
		if err != nil {
			for _, giveWay := range places { // there may be no descriptor left, for hooks too
				giveWay()
			}
			<-time.After(healthPause)
			continue
		}
		conn = newThreadless(conn)
		ctx, cancel := context.WithTimeout(context.Background(), healthPatience)
		context.AfterFunc(ctx, func() { conn.Close() })
		places[i] = func() {
			cancel()
			conn.Close() // now: AfterFunc does it some time
		}
		go func() {
			defer cancel()
			h.answer(ctx, conn)
		}()
	}
}

func (h *health) answer(ctx context.Context, conn net.Conn) {
	request, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, healthRequestSize)))
	if failed := net.Error(nil); err == io.EOF || errors.As(err, &failed) {
		return // nobody is there, or ever said anything
	}
	code, text := http.StatusBadRequest, "this is no request of HTTP/1, or too large\n"
	if err == nil {
		code, text = h.judge(ctx, request)
	}
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"+
		"Allow: GET, HEAD\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
		code, http.StatusText(code), time.Now().UTC().Format(http.TimeFormat), len(text))
	if err == nil && request.Method == http.MethodHead {
		text = ""
	}
	_, _ = io.WriteString(conn, head+text)
}

// judge gives the status and the body, which says why not.
func (h *health) judge(ctx context.Context, request *http.Request) (code int, text string) {
	switch path := request.URL.Path; {
	case path != "/livez" && path != "/readyz":
		return http.StatusNotFound, "there are /livez and /readyz\n"
	case request.Method != http.MethodGet && request.Method != http.MethodHead:
		return http.StatusMethodNotAllowed, "GET or HEAD\n"
	case path == "/livez":
		return http.StatusOK, "ok\n"
	}
	if err := h.ready.Ask(ctx); err != nil {
		return http.StatusServiceUnavailable, err.Error() + "\n"
	}
	return http.StatusOK, "ok\n"
}
