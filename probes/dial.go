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

// connect dials the addresses and returns the first connection that is established. Reads and
// writes on the connection fail once ctx has ended.
func connect(ctx context.Context, addrs []netip.Addr, port uint16) (net.Conn, error) {
	conn, err := dial(ctx, dialTCP, addrs, port)
	if err != nil {
		return nil, err
	}
	return newCtxConn(ctx, conn), nil
}

const (
	// stagger is the delay from the start of one dial to the start of the next (RFC 8305,
	// section 5, recommends 250 ms and allows up to 2 s). The next dial starts earlier if a dial
	// fails, or if many addresses share a short timeout (see staggerWithin).
	stagger = 300 * time.Millisecond
	// At most maxDials dials run at a time, because each of them takes a descriptor, a
	// goroutine and a place in the server's backlog.
	maxDials = 8
	// If maxDials dials are running, dial stops one of them to start the next dial. It never
	// stops the keptDials oldest ones, because a distant server takes time to answer.
	keptDials = 4
)

// dial tries the addresses in order and returns the first connection that is established.
// It starts the next dial when a dial has failed, or after a delay, so that an address that
// drops packets does not use up the whole timeout. The delay is stagger (300 ms), or less when
// many addresses must share a short timeout. All dials have ended when dial returns.
func dial(ctx context.Context, connect dialFunc, addrs []netip.Addr, port uint16) (net.Conn, error) {
	conn, errs := dialInOrder(ctx, connect, addrs, port)
	if errs == nil {
		return conn, nil
	}
	if hasEnded(ctx) {
		return nil, context.Cause(ctx)
	}
	failure := errs[0]
	for _, err := range errs[1:] {
		failure = moreSpecific(failure, err)
	}
	failure = sanitizeErr(failure)
	if hint := hintForAddrs(failure, addrs); hint != "" {
		failure = hintedError{failure, hint}
	}
	return nil, failure
}

// dialInOrder is like dial, but if no connection is established, it returns one error for
// each address, in the order of addrs.
func dialInOrder(ctx context.Context, connect dialFunc, addrs []netip.Addr, port uint16) (net.Conn, []error) {
	gap := stagger
	if deadline, ok := ctx.Deadline(); ok {
		gap = staggerWithin(time.Until(deadline), len(addrs), maxDials, keptDials)
	}
	return tryInOrder(ctx, tries{
		count: len(addrs), gap: gap, most: maxDials, kept: keptDials,
		try: func(ctx context.Context, i int) (net.Conn, error) {
			return connect(ctx, netip.AddrPortFrom(addrs[i], port))
		},
	})
}

// staggerWithin returns the delay from the start of one try to the start of the next. The
// delay is at most stagger (300 ms), and so short that count tries fit into timeout. The
// parameters most and kept have the same meaning as the fields of the type tries.
func staggerWithin(timeout time.Duration, count, most, kept int) time.Duration {
	turns := count + 1
	if count > most {
		// To make room for the next try, the oldest try that is not one of the kept ones is stopped.
		// It has then run for most-kept delays. The last try starts after count-1 delays, and must
		// get as much time.
		turns = count + most - kept
	}
	return min(stagger, timeout/time.Duration(turns))
}

// tries describes count calls of the function try, with the arguments 0 to count-1. Only
// one of the calls has to succeed.
type tries struct {
	count int
	gap   time.Duration                                      // delay from the start of one call to the start of the next, unless a call fails earlier
	most  int                                                // the maximum number of calls that run at a time
	kept  int                                                // this many of the oldest running calls are never stopped to make room for the next call
	try   func(ctx context.Context, i int) (net.Conn, error) // a call that succeeds may return a nil net.Conn
}

// tryInOrder makes the calls that t describes, in order, and returns the result of the first
// one that succeeds. In that case errs is nil. Otherwise errs has the error of each call, or
// the cause of ctx for a call that did not start before ctx ended.
//
// When t.most calls are running, tryInOrder stops one of them before it starts the next. It
// does not stop the t.kept oldest calls, because a connection to a distant server takes time
// to establish. It stops the oldest of the other calls.
//
// A single call, the usual case, needs no goroutine and no timer.
//
// All calls have ended when tryInOrder returns.
func tryInOrder(ctx context.Context, t tries) (won net.Conn, errs []error) {
	if t.count == 1 {
		won, err := t.try(ctx, 0)
		if err != nil {
			errs = []error{err}
		}
		return won, errs
	}
	callCtx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		next    int
		success bool
		running []*pendingTry // oldest first
		results = make(chan tryResult)
		timer   = time.NewTimer(0)
	)
	defer timer.Stop()
	errs = make([]error, t.count)
	for next < t.count || len(running) > 0 {
		select {
		case <-timer.C:
			switch {
			case next == t.count:
			case len(running) == t.most:
				running[t.kept].stop() // when the result of the stopped call arrives, the loop starts the next call
			default:
				running = append(running, startTry(callCtx, t.try, next, results))
				next++
				timer.Reset(t.gap)
			}
		case r := <-results:
			running = slices.DeleteFunc(running, func(p *pendingTry) bool { return p == r.pendingTry })
			switch {
			case r.err != nil:
				errs[r.index] = r.err
				timer.Reset(0)
			case !success:
				won, success = r.conn, true
				next = t.count
				stop()
			case r.conn != nil:
				r.conn.Close()
			}
		case <-ctx.Done():
			for ; next < t.count; next++ {
				errs[next] = context.Cause(ctx)
			}
			// callCtx has ended too. So the running calls end, and the loop receives their
			// results. From now on ctx is a context that never ends, so that this case is not
			// chosen again.
			ctx = context.WithoutCancel(ctx)
		}
	}
	if success {
		return won, nil
	}
	return won, errs
}

// A dialFunc connects to one address.
type dialFunc func(context.Context, netip.AddrPort) (net.Conn, error)

// dialContext opens every connection of this package. It is a variable because the test of
// random targets (targets_test.go) replaces it with a network in memory.
//
// It does not enable TCP keep-alive, because a connection lasts for one attempt only.
// Keep-alive would cost four system calls for each connection (SO_KEEPALIVE, TCP_KEEPIDLE,
// TCP_KEEPINTVL, TCP_KEEPCNT).
var dialContext = (&net.Dialer{KeepAlive: -1}).DialContext

func dialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return dialContext(ctx, "tcp", to.String())
}

// A pendingTry is a running call of the function try, made by tryInOrder.
type pendingTry struct {
	index int
	stop  context.CancelFunc
}

type tryResult struct {
	*pendingTry
	conn net.Conn
	err  error
}

// startTry starts call i in a goroutine, which sends the result to results.
func startTry(ctx context.Context, try func(context.Context, int) (net.Conn, error), i int, results chan<- tryResult) *pendingTry {
	ownCtx, stop := context.WithCancel(ctx)
	p := &pendingTry{i, stop}
	go func() {
		conn, err := try(ownCtx, i)
		if err != nil && ownCtx.Err() != nil && ctx.Err() == nil {
			err = sanitizeErr(os.ErrDeadlineExceeded) // stopped to make room for another call
		}
		stop()
		results <- tryResult{p, conn, err}
	}()
	return p
}

// moreSpecific returns the one of two errors that is reported when every address has failed.
// It prefers the first error, because the first address is the preferred one. There is one
// exception: if only the second error is a refused connection, it returns the second, which
// shows that a host has answered. The first error is then often "network is unreachable",
// because many pods have no IPv6.
func moreSpecific(first, second error) error {
	if first == nil || classify(second) == refused && classify(first) != refused {
		return second
	}
	return first
}
