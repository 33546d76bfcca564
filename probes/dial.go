package probes

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"
)

// A ctxConn is a connection whose reads and writes fail once its context has ended.
type ctxConn struct {
	net.Conn
	stopWatch func() bool // stops watching the context
}

func newCtxConn(ctx context.Context, conn net.Conn) net.Conn {
	return &ctxConn{conn, context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })}
}

// Close closes the connection and stops watching the context.
func (c *ctxConn) Close() error {
	c.stopWatch()
	return c.Conn.Close()
}

// connect dials the addresses and returns one connection. Reads and writes on the
// connection fail once ctx has ended.
func connect(ctx context.Context, addrs []netip.Addr, port uint16) (net.Conn, error) {
	conn, err := dial(ctx, dialTCP, addrs, port)
	if err != nil {
		return nil, err
	}
	return newCtxConn(ctx, conn), nil
}

const (
	// stagger is the delay from the start of one dial to the start of the next, unless a
	// dial fails earlier (RFC 8305, section 5, recommends 250 ms and allows up to 2 s).
	stagger = 300 * time.Millisecond
	// At most maxDials dials run at a time, because each of them takes a descriptor, a
	// goroutine and a place in the server's backlog.
	maxDials = 8
	// When dial must stop a dial to start another, it stops none of the keptDials oldest.
	keptDials = 4
)

// dial tries the addresses in order and returns the first connection that is established.
// It starts the next dial when a dial has failed, or after a delay, so that an address that
// drops packets does not use up the whole timeout. The delay is stagger, or less when many
// addresses must share a short timeout.
//
// When maxDials dials are running, dial stops one of them before it starts the next. It
// does not stop the keptDials oldest dials, because a connection to a distant server takes
// time to establish. It stops the oldest of the other dials.
//
// A single address, the usual case, needs no goroutine and no timer.
//
// All dials have ended when dial returns.
func dial(ctx context.Context, connect dialFunc, addrs []netip.Addr, port uint16) (net.Conn, error) {
	if len(addrs) == 1 {
		conn, err := connect(ctx, netip.AddrPortFrom(addrs[0], port))
		switch {
		case err == nil:
			return conn, nil
		case hasEnded(ctx):
			return nil, context.Cause(ctx)
		}
		return nil, sanitizeErr(err)
	}
	gap := stagger
	if deadline, ok := ctx.Deadline(); ok {
		turns := len(addrs) + 1
		if len(addrs) > maxDials {
			turns = len(addrs) + maxDials - keptDials // so that the last dials get as much time as the others
		}
		gap = min(gap, time.Until(deadline)/time.Duration(turns))
	}
	dialCtx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		winner  net.Conn
		failure error
		results = make(chan dialResult)
		running []*pendingDial // oldest first
		next    = time.NewTimer(0)
	)
	defer next.Stop()
	for len(addrs) > 0 || len(running) > 0 {
		select {
		case <-next.C:
			switch {
			case len(addrs) == 0:
			case len(running) == maxDials:
				running[keptDials].stop() // the result of the stopped dial starts the next dial
			default:
				running = append(running, startDial(dialCtx, connect, netip.AddrPortFrom(addrs[0], port), results))
				addrs = addrs[1:]
				next.Reset(gap)
			}
		case r := <-results:
			running = slices.DeleteFunc(running, func(d *pendingDial) bool { return d == r.pendingDial })
			switch {
			case r.err != nil:
				failure = moreSpecific(failure, r.err)
				next.Reset(0)
			case winner == nil:
				winner = r.conn
				addrs = nil
				stop()
			default:
				r.conn.Close()
			}
		case <-ctx.Done():
			// The dials end, because dialCtx has ended too. The loop receives their results. A
			// context that never ends prevents this case from being chosen again.
			addrs = nil
			ctx = context.WithoutCancel(ctx)
		}
	}
	if winner != nil {
		return winner, nil
	}
	if hasEnded(dialCtx) {
		return nil, context.Cause(dialCtx)
	}
	return nil, sanitizeErr(failure)
}

// A dialFunc connects to one address.
type dialFunc func(context.Context, netip.AddrPort) (net.Conn, error)

// dialTCP connects without TCP keep-alive, because every attempt has a time limit of its
// own. Keep-alive would cost four system calls a connection (SO_KEEPALIVE, TCP_KEEPIDLE,
// TCP_KEEPINTVL, TCP_KEEPCNT).
func dialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", to.String())
}

// A pendingDial is a dial of one address.
type pendingDial struct{ stop context.CancelFunc }

type dialResult struct {
	*pendingDial
	conn net.Conn
	err  error
}

// startDial dials one address in a goroutine, which sends the result.
func startDial(ctx context.Context, connect dialFunc, to netip.AddrPort, results chan<- dialResult) *pendingDial {
	ownCtx, stop := context.WithCancel(ctx)
	d := &pendingDial{stop}
	go func() {
		conn, err := connect(ownCtx, to)
		if err != nil && ownCtx.Err() != nil && ctx.Err() == nil {
			err = os.ErrDeadlineExceeded // the dial was stopped in favour of another dial
		}
		stop()
		results <- dialResult{d, conn, err}
	}()
	return d
}

// moreSpecific returns the error to report when every address has failed. It prefers the
// first error, because the first address is the preferred one. But if only the second error
// is a refused connection, it returns the second, because it came from a host. The first
// error is then often "network is unreachable", because many pods have no IPv6.
func moreSpecific(first, second error) error {
	if first == nil || classify(second) == refused && classify(first) != refused {
		return second
	}
	return first
}
