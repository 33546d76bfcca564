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

// A serverProbe checks with the server's own protocol whether the server accepts clients.
//
// Only a server that reports itself as not ready (starting, loading, shutting down) fails
// the probe. A server that answers "password required", "unknown user" or "too many
// clients" counts as ready, because waiting does not change these answers. For pg_isready
// and "mysqladmin ping" such a server is ready too.
//
// A pooler or proxy reports its own state, not that of the server behind it.
type serverProbe struct {
	host string
	port uint16
	ask  func(*session) error // returns nil if the server is ready
	user string               // the user of the URL, with its %-escapes
	rest string               // the part of the URL after the authority
}

const (
	// maxServerBytes is the maximum number of bytes that are read on one connection.
	maxServerBytes = 64 << 10
	// lingerTimeout is the maximum duration of closeGracefully.
	lingerTimeout = time.Second
)

// A session is one attempt: the connection to a server, and the values that are needed to
// connect again.
type session struct {
	*serverProbe
	ctx   context.Context // reads and writes fail once ctx has ended
	addrs []netip.Addr
	tcp   net.Conn
	conn  net.Conn      // tcp, or TLS over it
	r     *bufio.Reader // reads at most maxServerBytes from conn
}

func (probe *serverProbe) Ask(ctx context.Context, a Attempt) error {
	addrs, err := a.resolver().Lookup(ctx, probe.host)
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	s := &session{serverProbe: probe, ctx: ctx, addrs: addrs}
	if err = s.connect(); err != nil {
		return err
	}
	err = probe.ask(s)
	s.tcp.Close()
	return errOrCause(ctx, err)
}

// connect connects to the server. It closes the previous connection, if there is one.
func (s *session) connect() error {
	if s.tcp != nil {
		s.tcp.Close()
	}
	tcp, err := connect(s.ctx, s.addrs, s.port)
	if err != nil {
		return err
	}
	s.tcp = tcp
	s.use(tcp)
	return nil
}

// use makes the session read from conn and write to conn.
func (s *session) use(conn net.Conn) {
	s.conn, s.r = conn, bufio.NewReader(io.LimitReader(conn, maxServerBytes))
}

// write sends data. It ignores errors, because a server may have sent an answer before it
// closed the connection. The next read returns that answer, or an error.
func (s *session) write(data string) { _, _ = io.WriteString(s.conn, data) }

// read reads exactly n bytes. n must be less than maxServerBytes.
func (s *session) read(n int) ([]byte, error) {
	data := make([]byte, n)
	if _, err := io.ReadFull(s.r, data); err != nil {
		return nil, sanitizeErr(err)
	}
	return data, nil
}

// readLine reads a line and returns it without its end. It cuts a line that is longer than
// the reader's buffer of 4 KiB, because callers need only the beginning.
func (s *session) readLine() (string, error) {
	line, err := s.r.ReadSlice('\n')
	if err != nil && err != bufio.ErrBufferFull {
		return "", sanitizeErr(err)
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// closeGracefully ends the connection to a server that is ready, in the way that the
// server expects, so that the server logs no error. It half-closes the connection and
// reads the rest of the server's data, because closing a socket with unread data resets
// the connection, and many servers log that as an error.
//
// closeGracefully first calls logout, if it is not nil, to end the session as the protocol
// requires. It takes at most lingerTimeout in total. It ignores errors, because the server
// is already known to be ready.
func (s *session) closeGracefully(logout func()) {
	expire := time.AfterFunc(lingerTimeout, func() { s.tcp.SetDeadline(time.Unix(1, 0)) })
	defer expire.Stop()
	if logout != nil {
		logout()
	}
	conn := s.conn
	if c, ok := conn.(*ctxConn); ok {
		conn = c.Conn
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, s.r)
}

// errWrongProtocol returns the error for a response that no server of this kind sends.
func errWrongProtocol(kind string) error {
	return hintedError{probeError{"the server does not speak the " + kind + " protocol", nil}, hintWrongProtocol}
}

// buildServer returns the build function of a kind whose probe calls ask. The URL may be
// the app's whole connection URL; the build function drops its password.
func buildServer(defaultPort uint16, ask func(*session) error) func(*targetParser) Probe {
	return func(p *targetParser) Probe {
		authority, rest := p.splitAuthority()
		if strings.Contains(rest, "@") {
			// The @ may belong to a password that contains a /, see buildHTTP.
			p.addError("%s:// with an @ after the host: write %%40, and in a user or password %%2F %%3F %%23 for / ? #", p.scheme)
		}
		at := strings.LastIndexByte(authority, '@')
		user, _, _ := strings.Cut(authority[:max(at, 0)], ":")
		address := authority[at+1:]
		probe := &serverProbe{ask: ask, user: user, rest: rest}
		probe.host, probe.port = p.parseHostPort(address, defaultPort)
		p.name = p.scheme + "://" + address
		return probe
	}
}
