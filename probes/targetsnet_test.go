package probes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A fakeNet is a network in memory, for the synctest bubble of one trial. The context of a dial
// selects the network, so trials can run at the same time. A dial whose context has no
// fakeNet uses the network of this machine.
type fakeNet struct {
	*record
	servers map[string]*serverPlan // by address and port, or by the path of a socket
	serve   func(*fakeConn, *serverPhase, string)
	stop    chan struct{} // closed at the end of the trial
	handler sync.WaitGroup

	mu      sync.Mutex // also guards the fields of all connections
	all     []*fakeConn
	dialing int
}

type netKey struct{}

func init() {
	system := dialContext
	dialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if n, ok := ctx.Value(netKey{}).(*fakeNet); ok {
			return n.dial(ctx, network, address)
		}
		return system(ctx, network, address)
	}
}

// dial connects to the server that is planned at address. It returns the same errors as
// net.Dialer.
func (n *fakeNet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		if errno, ok := err.(syscall.Errno); ok {
			err = os.NewSyscallError("connect", errno)
		}
		return nil, &net.OpError{Op: "dial", Net: network, Addr: fakeAddr("CANARY " + address), Err: err}
	}
	select {
	case <-ctx.Done():
		return fail(ctx.Err())
	case <-n.stop:
		return fail(syscall.ECONNREFUSED)
	default:
	}
	n.mu.Lock()
	n.dialing++
	n.mostDials = max(n.mostDials, n.dialing)
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.dialing--
		n.mu.Unlock()
	}()
	phase := &serverPhase{listens: isClosed}
	if s := n.servers[address]; s != nil {
		phase, address = s.at(n.elapsed()), s.address
	}
	dialed := n.addDial(address, phase.listens)
	switch phase.listens {
	case isClosed:
		return fail(syscall.ECONNREFUSED)
	case isMissing:
		return fail(syscall.ENOENT)
	case hasNoIPv6:
		return fail(syscall.EADDRNOTAVAIL)
	case isUnreachable:
		return fail(syscall.EHOSTUNREACH)
	case dropsPackets:
		select {
		case <-ctx.Done():
			return fail(ctx.Err())
		case <-time.After(127 * time.Second): // the kernel gives up after this time if net.ipv4.tcp_syn_retries is 6, its default
			return fail(syscall.ETIMEDOUT)
		}
	}
	if phase.connects > 0 {
		select {
		case <-ctx.Done():
			return fail(ctx.Err())
		case <-time.After(phase.connects):
		}
	}
	client, server := newFakePair(n)
	n.mu.Lock()
	n.all = append(n.all, client, server)
	n.mu.Unlock()
	client.dialed = dialed
	n.handler.Go(func() {
		n.serve(server, phase, address)
		server.Close()
	})
	return client, nil
}

// openConns returns how many connections the client has not closed.
func (n *fakeNet) openConns() (open int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.all {
		if c.dialed != nil && !c.closed {
			open++
		}
	}
	return open
}

// shutdown ends all servers, and waits until they have ended.
func (n *fakeNet) shutdown() {
	close(n.stop)
	n.mu.Lock()
	all := n.all
	n.mu.Unlock()
	for _, c := range all {
		if c.dialed == nil {
			c.reset()
		}
	}
	n.handler.Wait()
}

// pause waits for d and returns true. If the trial ends first, pause returns false.
func (n *fakeNet) pause(d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-n.stop:
		return false
	}
}

// A fakeConn is one end of a connection. Like TCP it has a buffer in each direction.
type fakeConn struct {
	net    *fakeNet
	peer   *fakeConn
	dialed *dialRecord // on the client's end the record of its dial; on the server's end nil

	// Guarded by net.mu.
	changed      *sync.Cond
	received     bytes.Buffer // sent by the peer, and not yet read
	ended        bool         // the peer sends nothing more
	broken       bool         // the peer has reset the connection
	closed       bool
	closedAt     time.Time
	readLimit    fakeDeadline
	writeLimit   fakeDeadline
	wroteToBreak bool
}

// receiveBuffer is the maximum number of bytes that one end has sent and the other has not read.
const receiveBuffer = 32 << 10

type fakeDeadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *fakeDeadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newFakePair(n *fakeNet) (client, server *fakeConn) {
	client, server = &fakeConn{net: n}, &fakeConn{net: n}
	client.peer, server.peer = server, client
	client.changed, server.changed = sync.NewCond(&n.mu), sync.NewCond(&n.mu)
	return client, server
}

func opError(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Addr: fakeAddr("CANARY"), Err: err}
}

func (c *fakeConn) Read(p []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, opError("read", net.ErrClosed)
		case c.readLimit.passed():
			return 0, opError("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case c.received.Len() > 0:
			n, _ := c.received.Read(p)
			if c.dialed != nil {
				c.dialed.read += n
			}
			c.peer.changed.Broadcast()
			return n, nil
		case c.broken:
			return 0, opError("read", syscall.ECONNRESET)
		case c.ended:
			return 0, io.EOF
		}
		c.changed.Wait()
	}
}

func (c *fakeConn) Write(p []byte) (written int, err error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return written, opError("write", net.ErrClosed)
		case c.writeLimit.passed():
			return written, opError("write", os.ErrDeadlineExceeded)
		case c.broken, c.peer.closed && c.wroteToBreak:
			return written, opError("write", syscall.EPIPE)
		case written == len(p):
			return written, nil
		case c.peer.closed: // the kernel accepts the data; the peer responds with a reset
			c.wroteToBreak = true
			return len(p), nil
		}
		if free := receiveBuffer - c.peer.received.Len(); free > 0 {
			n := min(free, len(p)-written)
			c.peer.received.Write(p[written : written+n])
			written += n
			c.peer.changed.Broadcast()
			continue
		}
		c.changed.Wait()
	}
}

// Close resets the connection if there is unread data, as the kernel does.
func (c *fakeConn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return opError("close", net.ErrClosed)
	}
	c.closed, c.closedAt = true, time.Now()
	for _, d := range []*fakeDeadline{&c.readLimit, &c.writeLimit} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	c.peer.ended = true
	c.peer.broken = c.peer.broken || c.received.Len() > 0
	c.changed.Broadcast()
	c.peer.changed.Broadcast()
	return nil
}

// closedBefore reports whether the connection was closed before an instant.
func (c *fakeConn) closedBefore(now time.Time) bool {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	return c.closed && c.closedAt.Before(now)
}

func (c *fakeConn) CloseWrite() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.peer.ended = true
	c.peer.changed.Broadcast()
	return nil
}

// reset closes the connection with a reset (RST).
func (c *fakeConn) reset() {
	c.net.mu.Lock()
	c.peer.broken = true
	c.net.mu.Unlock()
	c.Close()
}

func (c *fakeConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *fakeConn) SetReadDeadline(t time.Time) error  { return c.setDeadline(&c.readLimit, t) }
func (c *fakeConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeLimit, t) }

func (c *fakeConn) setDeadline(d *fakeDeadline, t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		// In fake time a timer may fire, or a context may end, at the very instant of Close,
		// and its function may then set a deadline here. At a later instant, only a timer that
		// should have been stopped can set one.
		if c.dialed != nil && time.Now().After(c.closedAt) {
			c.net.fault("a timer of a closed connection fires %v later", time.Since(c.closedAt))
		}
		return opError("set", net.ErrClosed)
	}
	if d.timer != nil {
		d.timer.Stop()
	}
	*d = fakeDeadline{at: t}
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			c.net.mu.Lock()
			defer c.net.mu.Unlock()
			c.changed.Broadcast()
		})
	}
	c.changed.Broadcast()
	return nil
}

func (c *fakeConn) LocalAddr() net.Addr  { return fakeAddr("local") }
func (c *fakeConn) RemoteAddr() net.Addr { return fakeAddr("remote") }

type fakeAddr string

func (a fakeAddr) Network() string { return "tcp" }
func (a fakeAddr) String() string  { return string(a) }

// A spoiledConn is the server's end of a connection. As planned in phase, it delays what the
// server sends, cuts it into pieces, or ends the connection at a given byte, also within a TLS
// handshake.
type spoiledConn struct {
	*fakeConn
	phase *serverPhase
	sent  int
}

var errCut = errors.New("the connection ends at the planned byte")

func (c *spoiledConn) Write(p []byte) (written int, err error) {
	if c.sent == 0 && !c.net.pause(c.phase.delay) {
		return 0, errCut
	}
	for written < len(p) {
		n := len(p) - written
		if c.phase.piece > 0 {
			n = min(n, c.phase.piece)
		}
		if c.phase.stall > 0 {
			if c.sent == c.phase.stallAt && !c.net.pause(c.phase.stall) {
				return written, errCut
			}
			if c.sent < c.phase.stallAt {
				n = min(n, c.phase.stallAt-c.sent)
			}
		}
		if c.phase.ends != "" {
			if c.sent >= c.phase.endAt {
				return written, c.end()
			}
			n = min(n, c.phase.endAt-c.sent)
		}
		if n, err = c.fakeConn.Write(p[written : written+n]); err != nil {
			return written, err
		}
		written += n
		c.sent += n
	}
	return written, nil
}

func (c *spoiledConn) end() error {
	switch c.phase.ends {
	case "EOF":
		c.Close()
	case "a reset":
		c.reset()
	default: // "silence": the server sends nothing more
		io.Copy(io.Discard, c.fakeConn)
	}
	return errCut
}

// A record holds what the network, the servers and the name server have recorded in a trial.
type record struct {
	start time.Time

	recordMu  sync.Mutex
	dials     []*dialRecord
	answers   []*answer
	lookups   []lookupRecord
	faults    []string
	mostDials int // the maximum number of dials that ran at the same time
	sent      []sentRecord
}

type dialRecord struct {
	at      time.Duration
	address string
	listens string
	read    int // how many bytes the client has read
}

// A sentRecord holds the data that the client has sent on one connection, as far as the server
// has read it. A connection with TLS has two sentRecords: one of the bytes on the network, and
// one of the decrypted data.
type sentRecord struct {
	at      time.Duration
	address string
	secure  bool
	data    *bytes.Buffer // guarded by record.recordMu
}

type lookupRecord struct {
	name       string
	begun, end time.Duration
	result     namePhase
}

func (r *record) elapsed() time.Duration { return time.Since(r.start) }

func (r *record) addDial(address, listens string) *dialRecord {
	r.recordMu.Lock()
	defer r.recordMu.Unlock()
	d := &dialRecord{at: r.elapsed(), address: address, listens: listens}
	r.dials = append(r.dials, d)
	return d
}

func (r *record) fault(format string, args ...any) {
	r.recordMu.Lock()
	defer r.recordMu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}
