package supervisor

import (
	"slices"
	"time"
)

// network is the result of kernel.network: the sockets of usher's network namespace.
type network struct {
	sockets []socket
	// opens is the number of connections that clients have opened since the namespace was
	// made. If it is unknown, opensErr is the reason; otherwise opensErr is nil.
	opens    int64
	opensErr error
}

// socket is a TCP socket.
type socket struct {
	state  uint8  // include/net/tcp_states.h
	port   uint16 // the local port
	inode  uint32 // 0: no process has a descriptor of it
	cookie uint64 // no other socket gets the same cookie until the next boot (SO_COOKIE in socket(7))

	unread uint32 // bytes that the app has not read
	unsent uint32 // bytes that the app has written, and the client has not acknowledged

	// counted is false if the kernel does not count the bytes of this socket. The fields
	// below are 0 then.
	counted            bool
	received, sent     uint64        // bytes, without retransmissions
	lastRecv, lastSent time.Duration // time since the last byte was received or sent; if there was none, since the connection was opened; multiples of the kernel's clock tick
	lastAck            time.Duration // time since the last segment with an acknowledgement arrived from the client, with data or without
	acks               uint32        // segments without data that the kernel has sent, most of them acknowledgements
}

// TCP states as the kernel numbers them (include/net/tcp_states.h).
const (
	tcpEstablished = 1
	tcpFinWait1    = 4
	tcpCloseWait   = 8
	tcpLastAck     = 9
	tcpListen      = 10
	tcpClosing     = 11
	// openStates and closingStates are bit masks. In openStates the client may still send
	// requests or wait for an answer. In closingStates the app has closed the connection,
	// but data may still have to be sent. In the other states the connection is not
	// established yet, or the client has acknowledged all data.
	openStates    = 1<<tcpEstablished | 1<<tcpCloseWait
	closingStates = 1<<tcpFinWait1 | 1<<tcpLastAck | 1<<tcpClosing
)

const (
	// After an answer a client may send a frame that is not a request. usher assumes that
	// such a frame has at most smallTail bytes. The longest usual one is the acknowledgement
	// of a PING in HTTP/2 (RFC 9113): 17 bytes, and 22 more for a record of TLS 1.3. Usual
	// requests of HTTP/1.1 are longer, even without TLS.
	smallTail = 40
	// If it is unclear whether the last bytes of a connection are a request, usher assumes
	// for unclearTime that the client waits for an answer.
	unclearTime = 5 * time.Second
	// If a client sent the last byte, usher assumes that the client waits for an answer (the
	// client "is owed" an answer). usher assumes this for longestAnswer, or for Budget.Drain
	// if that is longer. The limit is needed because usher cannot distinguish a request from
	// bytes to which the client expects no answer.
	longestAnswer = time.Minute
	// The kernel acknowledges received data within ackTime. It delays an acknowledgement
	// by up to 200 ms (TCP_DELACK_MAX in include/net/tcp.h), to send it together with data
	// of the app.
	ackTime = 250 * time.Millisecond
)

// clients finds out whether the clients are idle. It compares the results of successive
// polls. Each poll lists the sockets of the network namespace (kernel.network).
type clients struct {
	ports     []uint16 // the ports of the app
	idleTime  time.Duration
	longest   time.Duration          // the longest time for which a client is assumed to wait for an answer, see longestAnswer
	conns     map[uint64]*connection // by the cookie of the socket
	moved     time.Time              // when a byte was last sent or received, a connection opened, or a poll found bytes not yet read or acknowledged
	opened    int64                  // the number of connections that clients have opened, without those to --health
	openedAt  time.Time              // when opened last increased
	polled    bool                   // update has been called before
	uncounted bool                   // the kernel does not count the bytes of some connection

	owed int // connections whose client waits for an answer, or which have bytes that are not read yet or not acknowledged, or whose bytes the kernel does not count
	// active is the number of connections that owed does not count, and that were opened, or on
	// which a byte was sent or received, within idleTime. If owed and active would both be 0, but
	// opened has increased within idleTime, active is 1: a client has opened a connection and
	// closed it between two polls, so no list of sockets has shown it.
	active int
}

// connection is the state of a connection to the app.
type connection struct {
	received, sent uint64
	acks           uint32
	exchange       exchange
	tail           uint64    // bytes received since the app sent its last byte; the real number may be lower if both sides have sent bytes between two polls, or before the first poll
	acksBefore     int64     // for unclearTick (see answerWasLast): the value of acks at the poll before the last bytes; -1: unknown
	receivedAt     time.Time // when the last byte was received
	moved          time.Time // when the last byte was received or sent, or a poll last found bytes not yet read or acknowledged
	owed           bool      // the result of isOwed at the last poll
}

// exchange is the state of the last request and its answer.
type exchange int

const (
	answered    exchange = iota // the last byte was sent to the client, or the client has sent no byte yet
	unanswered                  // the last byte was received from the client, so the client waits for an answer
	unclearTail                 // the client has sent at most smallTail bytes since the last answer, so they may be something other than a request
	unclearTick                 // the last bytes were received and sent within one tick of the kernel's clock, so their order is unknown
)

// update evaluates a poll of the sockets. n.opens also counts the connections to --health.
// accepted is the number of those, and is read after n.opens. So the difference, opened, is
// the number of connections that clients of the app have opened.
//
// The two numbers cannot be read at the same moment, so a connection to --health may be in
// only one of them:
//   - It is only in n.opens if --health had not accepted it yet. Then opened is one too high,
//     and the app keeps serving for another idleTime. At the next poll opened is right again,
//     so it falls by one. If a client has opened and closed a connection meanwhile, opened does
//     not increase, and that connection is missed.
//   - It is only in accepted if it was opened after n.opens was read. Then opened is one too
//     low, and increases by one at the next poll, as if a client had opened a connection then.
//     If a client has opened and closed a connection since the previous poll, that is noticed
//     only at the next poll.
func (c *clients) update(n network, accepted int64, now time.Time) {
	if n.opensErr == nil {
		opened := n.opens - accepted
		if c.polled && opened > c.opened {
			c.openedAt, c.moved = now, now
		}
		c.opened = opened
	}
	c.polled = true
	before := c.conns
	c.conns = make(map[uint64]*connection, len(before))
	c.owed, c.active = 0, 0
	for i := range n.sockets {
		k := &n.sockets[i]
		if (openStates|closingStates)&(1<<k.state) != 0 && slices.Contains(c.ports, k.port) {
			c.updateConnection(k, before[k.cookie], now)
			delete(before, k.cookie)
		}
	}
	for _, closed := range before {
		// This connection was closed since the previous poll. If its client waited for an answer
		// at that poll, usher assumes that the answer was sent meanwhile.
		if closed.owed {
			c.moved = now
		}
	}
	if c.owed == 0 && c.active == 0 && !c.openedAt.IsZero() && now.Sub(c.openedAt) < c.idleTime {
		c.active = 1
	}
}

// updateConnection evaluates a connection that a poll has found. previous is the state of the
// connection after the previous poll, or nil if the connection is new.
func (c *clients) updateConnection(k *socket, previous *connection, now time.Time) {
	if !k.counted { // without the counts of bytes, any open connection may be waiting for an answer
		c.uncounted = true
		c.owed++
		c.moved = now
		return
	}
	conn := previous
	if conn == nil {
		conn = newConnection(k, now)
	} else {
		conn.update(k, now)
	}
	c.conns[k.cookie] = conn
	if k.unread > 0 || k.unsent > 0 {
		conn.moved = now
	}
	c.moved = later(c.moved, conn.moved)
	conn.owed = conn.isOwed(k, now, c.longest)
	switch {
	case conn.owed:
		c.owed++
	case now.Sub(conn.moved) < c.idleTime:
		c.active++
	}
}

// newConnection evaluates a connection at the first poll that shows it. There are no earlier
// counts. So if both sides have sent bytes, only the times since their last bytes (lastRecv,
// lastSent) show which side sent the last one. A connection without any bytes counts as
// active from the time at which it was opened, because its client will probably send a
// request.
func newConnection(k *socket, now time.Time) *connection {
	c := &connection{moved: now.Add(-min(k.lastRecv, k.lastSent)), acksBefore: -1}
	c.record(k, now)
	switch {
	case c.received == 0:
	case c.sent == 0:
		c.exchange = unanswered
	default:
		c.compareTimes(k, c.received)
	}
	return c
}

// update evaluates a connection that an earlier poll has already shown. If both sides have sent
// bytes since that poll, compareTimes finds out which side sent the last byte.
func (c *connection) update(k *socket, now time.Time) {
	received, sent, acks := int64(k.received-c.received), int64(k.sent-c.sent), c.acks
	c.record(k, now)
	if received > 0 || sent > 0 {
		c.moved = now
	}
	switch {
	case received > 0 && sent > 0:
		c.acksBefore = int64(acks)
		c.compareTimes(k, uint64(received))
	case sent > 0:
		c.exchange = answered
	case received > 0:
		if c.exchange == answered {
			c.tail = 0
		}
		c.tail += uint64(received)
		c.receivedLast()
	}
	if c.exchange == unclearTick && c.answerWasLast(k) {
		c.exchange = answered
	}
}

// answerWasLast reports whether acknowledgements show that the app sent the last byte.
// There are two cases:
//   - The client acknowledged something after it had sent its own last byte. The segment with
//     that byte acknowledged everything that the app had sent before. So the later
//     acknowledgement is for bytes that the app sent after the client's last byte.
//   - ackTime has passed since the client's last byte, so the kernel has acknowledged that
//     byte. The kernel has sent no segment without data since the poll before that byte. So
//     the acknowledgement was in a segment with data, which is an answer.
func (c *connection) answerWasLast(k *socket) bool {
	return k.lastAck < k.lastRecv || int64(k.acks) == c.acksBefore && k.lastRecv > ackTime
}

func (c *connection) record(k *socket, now time.Time) {
	c.received, c.sent, c.acks, c.receivedAt = k.received, k.sent, k.acks, now.Add(-k.lastRecv)
}

// compareTimes sets exchange if both sides have sent bytes since the previous poll (on a new
// connection: at all). tail is the number of bytes that were received in this time. If the
// times of the last byte received and the last byte sent are equal, their order is unknown: a
// fast app may have answered a request, or the next request may have followed an answer at
// once.
func (c *connection) compareTimes(k *socket, tail uint64) {
	c.exchange, c.tail = answered, tail
	if k.lastRecv == k.lastSent {
		c.exchange = unclearTick
	} else if k.lastRecv < k.lastSent {
		c.receivedLast()
	}
}

// receivedLast sets exchange for the case that the last byte was received from the client.
func (c *connection) receivedLast() {
	switch {
	case c.exchange == unanswered:
	case c.sent > 0 && c.tail <= smallTail:
		c.exchange = unclearTail
	default:
		c.exchange = unanswered
	}
}

// isOwed reports whether the client waits for an answer, or bytes of the connection are not yet
// read by the app or acknowledged by the client.
func (c *connection) isOwed(k *socket, now time.Time, longest time.Duration) bool {
	switch {
	case k.unread > 0 || k.unsent > 0:
		return true
	case closingStates&(1<<k.state) != 0 || c.exchange == answered:
		return false
	case c.exchange == unanswered:
		return now.Sub(c.receivedAt) < longest
	}
	return now.Sub(c.moved) < unclearTime
}

// rest returns how long the app must still serve if the clients stay idle. idleTime counts
// from began, when usher began to wait for idle clients, or from the last activity, whichever
// is later.
func (c *clients) rest(began, now time.Time) time.Duration {
	return c.idleTime - now.Sub(later(began, c.moved))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
