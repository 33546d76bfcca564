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
	// So many connections are open at the same time. The next one takes the place of
	// the oldest, so that whoever opens them and says nothing keeps nobody out.
	healthPlaces = 64
	// A request and its answer, together. An answer takes as long as the ready
	// targets; whoever asks has usually given up long before that (the kubelet after
	// a second).
	healthPatience    = 10 * time.Second
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
	var places [healthPlaces]context.CancelFunc
	for i := 0; ; i = (i + 1) % healthPlaces {
		conn, err := h.listener.Accept()
		if err != nil {
			<-time.After(healthPause)
			continue
		}
		if places[i] != nil {
			places[i]()
		}
		ctx, cancel := context.WithTimeout(context.Background(), healthPatience)
		context.AfterFunc(ctx, func() { conn.Close() })
		places[i] = cancel
		go func() {
			defer cancel()
			h.answer(ctx, conn)
		}()
	}
}

func (h *health) answer(ctx context.Context, conn net.Conn) {
	request, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, healthRequestSize)))
	if err != nil {
		return // nobody who would understand an answer
	}
	code, text := h.judge(ctx, request)
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
		code, http.StatusText(code), len(text))
	if request.Method == http.MethodHead {
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
