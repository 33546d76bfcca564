package probes

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// A serverProbe asks a server in its own protocol whether it accepts clients.
//
// Only one that says itself that it is not ready (starting, loading, going down)
// is a no. One that turns this client away, because it wants a password, knows
// no such user or is full, is a yes: it is up, pg_isready, "mysqladmin ping" and
// the like take it for up, and no waiting changes it.
//
// A pooler or proxy answers for itself.
type serverProbe struct {
	host string
	port uint16
	ask  func(*session) error // nil is a yes
	user string               // of the URL, escaped
	rest string               // all behind the authority
}

const (
	// maxHeard is the most that is read from a server on one connection.
	maxHeard = 64 << 10
	// courtesy is how long a server may take over being left, after its yes.
	courtesy = time.Second
)

// A session is one attempt's conversation with a server.
type session struct {
	*serverProbe
	ctx   context.Context // when it ends all reads and writes fail
	addrs []netip.Addr
	tcp   net.Conn
	conn  net.Conn      // tcp, or the TLS on it
	r     *bufio.Reader // at most maxHeard of conn
}

func (p *serverProbe) Ask(ctx context.Context, a Attempt) error {
	addrs, err := a.resolver().Lookup(ctx, p.host)
	if err != nil {
		return err
	}
	ctx, cancel := limit(ctx, a.Timeout)
	defer cancel()
	s := &session{serverProbe: p, ctx: ctx, addrs: addrs}
	if err = s.connect(); err != nil {
		return err
	}
	err = p.ask(s)
	s.tcp.Close()
	return orCause(ctx, err)
}

// connect begins the conversation, or begins it anew.
func (s *session) connect() error {
	if s.tcp != nil {
		s.tcp.Close()
	}
	tcp, err := connect(s.ctx, s.addrs, s.port)
	if err != nil {
		return err
	}
	s.tcp = tcp
	s.over(tcp)
	return nil
}

// over makes conn what is read from and written to.
func (s *session) over(conn net.Conn) {
	s.conn, s.r = conn, bufio.NewReader(io.LimitReader(conn, maxHeard))
}

// say sends. A failure is not reported: a server that has hung up may have said
// why, and what it said is still to be heard.
func (s *session) say(words string) { _, _ = io.WriteString(s.conn, words) }

// hear reads exactly n bytes. It is never asked for more than maxHeard.
func (s *session) hear(n int) ([]byte, error) {
	words := make([]byte, n)
	if _, err := io.ReadFull(s.r, words); err != nil {
		return nil, plain(err)
	}
	return words, nil
}

// line reads a line, and gives it without its end. One that is longer than the
// reader's buffer of 4 KiB is cut: those who ask look at its first words.
func (s *session) line() (string, error) {
	words, err := s.r.ReadSlice('\n')
	if err != nil && err != bufio.ErrBufferFull {
		return "", plain(err)
	}
	return strings.TrimRight(string(words), "\r\n"), nil
}

// leave ends a conversation whose verdict is a yes in the way that the server
// finds in order, so that its log stays clean. It says that nothing more will
// come and reads what is still said: a close with unread words in the socket
// would be a reset for the other side, and in many a log an error.
//
// first does what has to be done before that; it may be nil. The server has a
// second for its part in all of it, and cannot change the verdict.
func (s *session) leave(first func()) {
	bye := time.AfterFunc(courtesy, func() { s.tcp.SetDeadline(time.Unix(1, 0)) })
	defer bye.Stop()
	if first != nil {
		first()
	}
	conn := s.conn
	if l, ok := conn.(*line); ok {
		conn = l.Conn
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, s.r)
}

// stranger is the no to words that a server of this kind would not say.
func stranger(kind string) error {
	return hinted{answer{"what answers there is no " + kind + " server", nil}, hintStranger}
}

// buildServer makes the build function of a kind; preset is the port where none
// is written. A whole connection URL may be given. Its password is dropped here.
func buildServer(preset uint16, ask func(*session) error) func(*reading) Probe {
	return func(r *reading) Probe {
		authority, rest := r.authority()
		if strings.Contains(rest, "@") {
			// See buildHTTP: it may be the rest of a password.
			r.mistake("%s:// with an @ behind the host: write %%40, and in a user or password %%2F %%3F %%23 for / ? #", r.scheme)
		}
		at := strings.LastIndexByte(authority, '@')
		user, _, _ := strings.Cut(authority[:max(at, 0)], ":")
		place := authority[at+1:]
		p := &serverProbe{ask: ask, user: user, rest: rest}
		p.host, p.port = r.hostPort(place, preset)
		r.name = r.scheme + "://" + place
		return p
	}
}
