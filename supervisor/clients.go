package supervisor

import (
	"slices"
	"time"
)

// network is what usher sees when it looks at the TCP sockets of its network namespace.
type network struct {
	sockets []socket
	// opens is the number of connections that clients have opened since the namespace was
	// made. opensErr is the reason why it is unknown, or nil.
	opens    int64
	opensErr error
}

// socket is a TCP socket.
type socket struct {
	state  uint8  // include/net/tcp_states.h
	port   uint16 // the local port
	inode  uint32 // 0: no process has it
	cookie uint64 // identifies the socket until the system ends (SO_COOKIE in socket(7))

	unread uint32 // bytes that the app has not read
	unsent uint32 // bytes that the client has not acknowledged

	// counted: the kernel counts the bytes of this socket. If it does not, the fields below
	// are 0.
	counted            bool
	received, sent     uint64        // bytes, without retransmissions
	lastRecv, lastSent time.Duration // since the last byte was received or sent, else since the connection was opened; in steps of the kernel's clock tick
	lastAck            time.Duration // since the client last acknowledged bytes, or sent bytes that did
	acks               uint32        // segments without data that the kernel has sent
}

// TCP states as the kernel numbers them (include/net/tcp_states.h).
const (
	tcpEstablished = 1
	tcpFinWait1    = 4
	tcpCloseWait   = 8
	tcpLastAck     = 9
	tcpListen      = 10
	tcpClosing     = 11
	// In openStates the client may still send requests or wait for an answer. In
	// closingStates the app has closed the connection, but data may still have to be
	// sent. In the other states the connection is not established yet, or the client has
	// acknowledged all data.
	openStates    = 1<<tcpEstablished | 1<<tcpCloseWait
	closingStates = 1<<tcpFinWait1 | 1<<tcpLastAck | 1<<tcpClosing
)

const (
	// smallTail is the largest size of the frames that a client sends after an answer
	// without asking for another one. The largest is a PING of HTTP/2 (RFC 9113), which
	// confirms a PING of the server, in a record of TLS 1.3: 17 + 22 bytes. The shortest
	// usual request of HTTP/1.1, without TLS, is longer.
	smallTail = 40
	// unclearTime limits how long a connection is waited for if it is unclear whether its
	// last bytes are a request.
	unclearTime = 5 * time.Second
	// longestAnswer is the shortest time after which a connection is not waited for
	// although its last byte was received: clients that do not expect an answer cannot be
	// distinguished from clients that do. If the drain may last longer, its duration is
	// the limit instead.
	longestAnswer = time.Minute
	// ackTime is the longest time after which the kernel acknowledges received data. It
	// waits up to 200 ms (TCP_DELACK_MAX in include/net/tcp.h) for data of the app with
	// which it can send the acknowledgement.
	ackTime = 250 * time.Millisecond
)

// clients decides whether the app is idle. For that it compares what usher sees in
// successive looks at the network namespace.
type clients struct {
	ports     []uint16 // the ports of the app
	idleTime  time.Duration
	longest   time.Duration          // at least longestAnswer
	conns     map[uint64]*connection // by the cookie of the socket
	moved     time.Time              // when a client last moved a byte or opened a connection
	opened    int64                  // the number of connections that clients have opened
	openedAt  time.Time              // when that number last increased
	looked    bool                   // there was a look
	uncounted bool                   // the kernel does not count the bytes of some connection

	owed   int // connections whose client waits for an answer or for bytes
	active int // other connections that have moved a byte within idleTime; 1 if only short connections were opened
}

// connection is the state of a connection to the app.
type connection struct {
	received, sent uint64
	acks           uint32
	exchange       exchange
	tail           uint64    // bytes received after the last byte that was sent, or more if the order is unknown
	acksBefore     int64     // for unclearTick: acks in the look before the bytes were moved; -1: unknown
	receivedAt     time.Time // when the last byte was received
	moved          time.Time // when the last byte was received or sent
	owed           bool      // the client waited for an answer or for bytes when usher last looked
}

// exchange is the state of the last request and its answer.
type exchange int

const (
	answered    exchange = iota // the last byte was sent to the client, or there was none
	unanswered                  // the last byte was received from the client, so that it waits for an answer
	unclearTail                 // the last byte was received, but only a few bytes followed the answer: perhaps no request
	unclearTick                 // the last bytes were received and sent within one tick of the kernel's clock, so that their order is unknown
)

// update evaluates a look. accepted is the number of connections that --health has
// accepted, read after n.opens.
//
// The two numbers cannot be read at the same moment. A connection to --health that was
// opened before n.opens was read, but not accepted before accepted was read, counts as one
// of a client, and the app keeps serving for idleTime. Then the difference is one too high,
// and the next look, which corrects it, misses one connection that a client has opened and
// closed meanwhile. A connection to --health that was opened between the two reads makes
// the difference one too low. Then a client's connection is noticed one look later.
func (c *clients) update(n network, accepted int64, now time.Time) {
	if n.opensErr == nil {
		opened := n.opens - accepted
		if c.looked && opened > c.opened {
			c.openedAt, c.moved = now, now
		}
		c.opened = opened
	}
	c.looked = true
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
		if closed.owed { // the answer was sent after the last look
			c.moved = now
		}
	}
	if c.owed == 0 && c.active == 0 && !c.openedAt.IsZero() && now.Sub(c.openedAt) < c.idleTime {
		c.active = 1
	}
}

// updateConnection evaluates a connection. before is its state after the last look, or nil
// if it is new.
func (c *clients) updateConnection(k *socket, before *connection, now time.Time) {
	if !k.counted { // any open connection may be waiting for an answer
		c.uncounted = true
		c.owed++
		c.moved = now
		return
	}
	conn := before
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

// newConnection evaluates the first look at a connection. Only the times tell which side
// has moved the last byte. A connection that was opened a moment ago counts as moved,
// because its client will probably send a request.
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

// update evaluates a further look at a connection. If both sides have moved bytes since
// the last look, the times tell which side has moved the last one.
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

// answerWasLast reports whether acknowledgements show that the app sent the last byte:
//   - The client has acknowledged something after it had sent its last byte. That was the
//     answer. A next request would have acknowledged the answer itself.
//   - ackTime has passed, so that the kernel has acknowledged the last byte of the client.
//     Since the look before that byte, it has sent no segment without data. So it has
//     acknowledged the byte together with an answer.
func (c *connection) answerWasLast(k *socket) bool {
	return k.lastAck < k.lastRecv || int64(k.acks) == c.acksBefore && k.lastRecv > ackTime
}

func (c *connection) record(k *socket, now time.Time) {
	c.received, c.sent, c.acks, c.receivedAt = k.received, k.sent, k.acks, now.Add(-k.lastRecv)
}

// compareTimes sets exchange if both sides have moved bytes. tail is the number of bytes
// that were received. If the times are equal, a fast app has probably answered a request,
// but the next request may also have followed an answer at once.
func (c *connection) compareTimes(k *socket, tail uint64) {
	c.exchange, c.tail = answered, tail
	if k.lastRecv == k.lastSent {
		c.exchange = unclearTick
	} else if k.lastRecv < k.lastSent {
		c.receivedLast()
	}
}

// receivedLast sets exchange if the last byte was received.
func (c *connection) receivedLast() {
	switch {
	case c.exchange == unanswered:
	case c.sent > 0 && c.tail <= smallTail:
		c.exchange = unclearTail
	default:
		c.exchange = unanswered
	}
}

// isOwed reports whether the client waits for an answer or for bytes.
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

// rest returns how long the app must still serve after a look if clients do nothing. began
// is the time from which idleTime counts at the earliest.
func (c *clients) rest(began, now time.Time) time.Duration {
	return c.idleTime - now.Sub(later(began, c.moved))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
