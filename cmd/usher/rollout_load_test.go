package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// load sends requests at a fixed rate, without waiting for earlier requests (an open loop).
// 30 % of the requests are POST, and 5 % take 2 s. load must not send a request twice. So it
// does not use http.Transport, which may repeat a request if a reused connection fails.
type load struct {
	dial      func(ctx context.Context) (net.Conn, error)
	rate      int
	keepAlive bool // true: every second request uses a connection of a pool, and the others new ones; false: all use new ones

	pools   [loadClients]pool
	running sync.WaitGroup

	mu     sync.Mutex
	sent   int
	failed map[string]int // by reason
	took   []time.Duration
}

const (
	loadClients = 8 // the number of clients, each with a pool of its own. With one pool for all, most requests would use the same connection, the one used last.
	loadTimeout = 30 * time.Second
	longRequest = 2 * time.Second
	shareLong   = 0.05
	sharePost   = 0.3
	bodySize    = 1000
)

// run sends requests until ctx is done, and waits until all requests have ended.
func (l *load) run(ctx context.Context) {
	l.failed = map[string]int{}
	began := time.Now()
	for n := 0; ; n++ {
		at := began.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
		select {
		case <-ctx.Done():
			l.running.Wait()
			for i := range l.pools {
				l.pools[i].close()
			}
			return
		case <-time.After(time.Until(at)):
		}
		l.running.Go(func() { l.request(n, at) })
	}
}

// request sends one request. at is the time at which the request was due.
func (l *load) request(n int, at time.Time) {
	r := rolloutRequest{close: !l.keepAlive || n%2 == 0, post: rand.Float64() < sharePost}
	if rand.Float64() < shareLong {
		r.wait = longRequest
	}
	ctx, cancel := context.WithDeadline(context.Background(), at.Add(loadTimeout))
	defer cancel()
	err := l.send(ctx, r, &l.pools[n/2%loadClients])
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	if err != nil {
		l.failed[failureOf(err)]++
		return
	}
	l.took = append(l.took, time.Since(at)-r.wait)
}

func (l *load) send(ctx context.Context, r rolloutRequest, p *pool) (err error) {
	var c *clientConn
	if !r.close {
		c = p.take()
	}
	if c == nil {
		conn, err := l.dial(ctx)
		if err != nil {
			return err
		}
		c = newClientConn(conn)
	}
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	reusable, err := c.exchange(r)
	if err != nil || r.close || !reusable {
		c.Close()
		return err
	}
	p.put(c)
	return nil
}

// errStatus is the error for a response whose status is not 200.
type errStatus int

func (e errStatus) Error() string { return fmt.Sprint(int(e)) }

// failureOf returns the reason that the table of "make rollout" shows for an error.
func failureOf(err error) string {
	var status errStatus
	var timeout net.Error
	switch {
	case errors.As(err, &status):
		return status.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "EOF"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		var op *net.OpError
		if errors.As(err, &op) {
			return "timeout of " + op.Op
		}
		return "timeout"
	}
	return err.Error()
}

// rolloutRequest is a request to an app of the benchmark.
type rolloutRequest struct {
	post, close bool
	wait        time.Duration // the app responds after this time
}

type clientConn struct {
	net.Conn
	in *bufio.Reader
}

func newClientConn(conn net.Conn) *clientConn { return &clientConn{conn, bufio.NewReader(conn)} }

// exchange sends a request and reads the whole response. The connection is reusable if the
// server keeps it open.
func (c *clientConn) exchange(r rolloutRequest) (reusable bool, err error) {
	var text strings.Builder
	method := http.MethodGet
	if r.post {
		method = http.MethodPost
	}
	fmt.Fprintf(&text, "%s /?%d HTTP/1.1\r\nHost: app\r\n", method, r.wait.Milliseconds())
	if r.close {
		text.WriteString("Connection: close\r\n")
	}
	if r.post {
		fmt.Fprintf(&text, "Content-Length: %d\r\n\r\n%s", bodySize, strings.Repeat("x", bodySize))
	} else {
		text.WriteString("\r\n")
	}
	if _, err := io.WriteString(c, text.String()); err != nil {
		return false, err
	}
	response, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return false, err
	}
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return false, err
	case response.StatusCode != 200:
		return false, errStatus(response.StatusCode)
	case string(body) != "finished\n":
		return false, fmt.Errorf("wrong body")
	}
	return !response.Close && c.in.Buffered() == 0, nil
}

// open reports whether the connection is usable: the server has not closed it, and no unread
// data has arrived.
func (c *clientConn) open() (open bool) {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		open = err == unix.EAGAIN
	})
	return open && err == nil
}

// pool holds the idle connections of one client.
type pool struct {
	mu   sync.Mutex
	idle []*clientConn
}

// take returns the connection that was used last, or nil. As most clients do, it drops a
// connection that the server has closed.
func (p *pool) take() *clientConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if c.open() {
			return c
		}
		c.Close()
	}
	return nil
}

func (p *pool) put(c *clientConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
}

func (p *pool) close() {
	for c := p.take(); c != nil; c = p.take() {
		c.Close()
	}
}

// latency returns a quantile of the latencies of the requests that succeeded. A latency
// counts from the time at which the request was due, and excludes the time for which the
// request told the app to wait.
func (l *load) latency(quantile float64) time.Duration {
	if len(l.took) == 0 {
		return 0
	}
	slices.Sort(l.took)
	return l.took[int(quantile*float64(len(l.took)-1))]
}

// If the server closes the connection of a request, the request fails and is not repeated.
func TestLoadSendsNoRequestTwice(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var accepted atomic.Int64
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			if accepted.Add(1) == 50 {
				cancel()
			}
			conn.Read(make([]byte, 1))
			conn.Close()
		}
	}()
	l := &load{rate: 1000, keepAlive: true, dial: func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", server.Addr().String())
	}}
	l.run(ctx)
	assert.EqualValues(t, accepted.Load(), l.sent)
	assert.Equal(t, l.sent, l.failed["EOF"]+l.failed["reset"], "%v", l.failed)
}

// A connection of the pool is used again, unless the server has closed it.
func TestPoolDropsClosedConnections(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Addr().String())
	require.NoError(t, err)
	accepted, err := server.Accept()
	require.NoError(t, err)
	var p pool
	c := newClientConn(conn)
	p.put(c)
	require.Same(t, c, p.take())
	accepted.Close()
	_, err = c.in.Peek(1) // Peek returns when the server's close has arrived
	require.Equal(t, io.EOF, err)
	p.put(c)
	assert.Nil(t, p.take())
}
