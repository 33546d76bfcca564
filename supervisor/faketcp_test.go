package supervisor

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeTCP is the part of the fake kernel for TCP connections. The app listens on port 80
// (one socket for IPv4, one for IPv6), and usher on port 8086 (--health). Another container
// of the pod listens on port 9000.
//
// The fake kernel also has two connections that are never clients of the app: one to
// usher's own port, and an outgoing one. On both, a request is never answered.
type fakeTCP struct {
	clients  []fakeClient
	closesAt time.Duration   // when the app closes its listening sockets; 0: never
	short    []time.Duration // when a client opens a connection that it closes before the next poll
	checks   []time.Duration // when --health accepts a connection that is closed before the next poll

	unlistable                   bool          // sockets cannot be listed
	unlistableFrom, unlistableTo time.Duration // sockets cannot be listed between these times
	uncounted                    bool          // the kernel does not count the bytes of connections
	noFDs, noSNMP                bool          // /proc/PID/fd or /proc/net/snmp cannot be read

	takes time.Duration // how long a poll still lasts after it has listed the sockets
}

// fakeClient is a client's connection. The times count from the start of the story.
type fakeClient struct {
	port     uint16
	opens    time.Duration
	closes   time.Duration
	sends    []fakeBytes   // the bytes from the client
	answers  []fakeBytes   // the bytes from the app
	readsAll time.Duration // when the client has read the whole answer; 0: at once
	halfAt   time.Duration // when the client shuts down its side; 0: never
	bareAck  time.Duration // when the kernel acknowledges a request in a segment without data; 0: never
	ackAt    time.Duration // when the client acknowledges the last answer; 0: at once
}

type fakeBytes struct {
	at time.Duration
	n  uint64
}

const (
	appInode, usherInode, otherInode = 80, 8086, 9000
	never99                          = 99 * time.Hour
)

// setTCP applies a line of a story's section "machine" if the line is about connections, and
// returns false if it is not. A client is described by clauses:
//
//	a client connects at 9s, sends a request at 9s, is answered at 12s, disconnects at 14s
//
// "a client of port 9000" is a client of the other container. Without "disconnects" the
// client stays connected.
func setTCP(t *testing.T, k *fakeTCP, line string) bool {
	t.Helper()
	var a, b string
	list := func(to *[]time.Duration, from, until string) {
		for at := duration(t, from); at < duration(t, until); at += 30 * time.Millisecond {
			*to = append(*to, at)
		}
	}
	switch {
	case line == "sockets cannot be listed":
		k.unlistable = true
	case scan(line, "sockets cannot be listed from %s to %s", &a, &b):
		k.unlistableFrom, k.unlistableTo = duration(t, a), duration(t, b)
	case line == "the kernel does not count the bytes of connections":
		k.uncounted = true
	case line == "the descriptors of processes cannot be read":
		k.noFDs = true
	case line == "/proc/net/snmp cannot be read":
		k.noSNMP = true
	case scan(line, "a poll of the connections takes %s", &a):
		k.takes = duration(t, a)
	case scan(line, "the app closes port 80 at %s", &a):
		k.closesAt = duration(t, a)
	case scan(line, "clients open and close connections within 30ms from %s to %s", &a, &b):
		list(&k.short, a, b)
	case scan(line, "clients of --health open and close connections within 30ms from %s to %s", &a, &b):
		list(&k.checks, a, b)
	case strings.HasPrefix(line, "a client "):
		k.clients = append(k.clients, readClient(t, line))
	default:
		return false
	}
	return true
}

func readClient(t *testing.T, line string) fakeClient {
	t.Helper()
	c := fakeClient{port: 80, closes: never99}
	rest := strings.TrimPrefix(line, "a client ")
	if other, ok := strings.CutPrefix(rest, "of port 9000 "); ok {
		c.port, rest = 9000, other
	}
	for clause := range strings.SplitSeq(rest, ", ") {
		var a, b string
		var n uint64
		switch {
		case scan(clause, "connects at %s", &a):
			c.opens = duration(t, a)
		case scan(clause, "disconnects at %s", &a):
			c.closes = duration(t, a)
		case clause == "stays connected":
		case scan(clause, "sends a request at %s", &a):
			c.sends = append(c.sends, fakeBytes{duration(t, a), 100})
		case scan(clause, "is answered at %s", &a):
			c.answers = append(c.answers, fakeBytes{duration(t, a), 1000})
		case scan(clause, "sends %d bytes at %s", &n, &a):
			c.sends = append(c.sends, fakeBytes{duration(t, a), n})
		case scan(clause, "sends a byte every second from %s to %s", &a, &b):
			for at := duration(t, a); at < duration(t, b); at += time.Second {
				c.sends = append(c.sends, fakeBytes{at, 1})
			}
		case scan(clause, "has read the answer at %s", &a):
			c.readsAll = duration(t, a)
		case scan(clause, "shuts down its side at %s", &a):
			c.halfAt = duration(t, a)
		case scan(clause, "acknowledges the answer at %s", &a):
			c.ackAt = duration(t, a)
		case scan(clause, "gets an acknowledgement without data at %s", &a):
			c.bareAck = duration(t, a)
		default:
			t.Fatalf("unknown clause about a client: %q", clause)
		}
	}
	return c
}

// sumAt returns the number of bytes that were sent until now, and the time since the last of
// them was sent. If no byte was sent, it returns the time since the connection was opened.
func sumAt(all []fakeBytes, now, opened time.Duration) (n uint64, age time.Duration) {
	last := opened
	for _, b := range all {
		if b.at <= now {
			n += b.n
			last = b.at
		}
	}
	return n, now - last
}

func (c *fakeClient) socket(at time.Duration, cookie uint64) socket {
	s := socket{state: tcpEstablished, port: c.port, inode: 1, cookie: cookie, counted: true}
	s.received, s.lastRecv = sumAt(c.sends, at, c.opens)
	s.sent, s.lastSent = sumAt(c.answers, at, c.opens)
	s.lastAck = min(s.lastRecv, s.lastSent)
	if c.ackAt > 0 && at >= c.ackAt {
		s.lastAck = min(s.lastAck, at-c.ackAt)
	}
	if s.sent > 0 && at < c.readsAll {
		s.unsent = 500
	}
	if c.halfAt > 0 && at >= c.halfAt {
		s.state = tcpCloseWait
	}
	if c.bareAck > 0 && at >= c.bareAck {
		s.acks++
	}
	return s
}

func (k *fake) network() (n network, err error) {
	tcp := &k.tcp
	defer func() { <-time.After(tcp.takes) }()
	at := time.Since(k.began)
	if tcp.unlistable || tcp.unlistableFrom <= at && at < tcp.unlistableTo {
		return n, syscall.EPERM
	}
	waiting := socket{state: tcpEstablished, counted: true, received: 100, lastSent: time.Second}
	own, outgoing := waiting, waiting
	own.port, own.cookie = 8086, 1
	outgoing.port, outgoing.cookie = 43210, 2
	n.sockets = []socket{{state: tcpListen, port: 8086, inode: usherInode}, {state: tcpListen, port: 9000, inode: otherInode}, own, outgoing}
	if tcp.closesAt == 0 || at < tcp.closesAt {
		n.sockets = append(n.sockets, socket{state: tcpListen, port: 80, inode: appInode}, socket{state: tcpListen, port: 80, inode: appInode + 1})
	}
	for i := range tcp.clients {
		if c := &tcp.clients[i]; c.opens <= at {
			n.opens++
			if at < c.closes {
				n.sockets = append(n.sockets, c.socket(at, uint64(100+i)))
			}
		}
	}
	if tcp.uncounted {
		for i, s := range n.sockets {
			n.sockets[i] = socket{state: s.state, port: s.port, inode: s.inode}
		}
	}
	n.opens += until(tcp.short, at) + until(tcp.checks, at)
	if tcp.noSNMP {
		n.opens, n.opensErr = 0, os.ErrNotExist
	}
	return n, nil
}

// until returns how many of the times are not later than now.
func until(times []time.Duration, now time.Duration) (n int64) {
	for _, t := range times {
		if t <= now {
			n++
		}
	}
	return n
}

// accepted is the value of Config.IdleAccepted.
func (k *fake) accepted() int64 { return until(k.tcp.checks, time.Since(k.began)) }

func (k *fake) socketInodes(context.Context) (map[uint32]bool, error) {
	if k.tcp.noFDs {
		return map[uint32]bool{usherInode: true}, syscall.EACCES
	}
	return map[uint32]bool{usherInode: true, appInode: true, appInode + 1: true}, nil
}
