package probes

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// A serverProbe checks with the server's own protocol whether the server accepts clients.
//
// A server that answers "starting", "loading" or "shutting down" is not ready. A server that
// answers "password required", "unknown user" or "too many clients" counts as ready, because
// it has started and handles logins. pg_isready and "mysqladmin ping" treat such a server as
// ready too.
//
// A pooler or proxy reports its own state, which may differ from that of the server behind it.
//
// If the URL has several hosts, the probe succeeds when one of them is ready.
type serverProbe struct {
	hosts []serverHost
	ask   func(*session) error // returns nil if the server is ready
	url   serverURL
	tls   *tlsSettings // not nil: the connection uses TLS from its first byte
}

const (
	// maxHosts is the maximum number of hosts of a URL that are probed at a time.
	maxHosts = 4
	// When attempts at maxHosts hosts are running and the next host is due, tryInOrder stops one
	// of the attempts, but none of the keptHosts oldest ones.
	keptHosts = 2
	// maxShownHosts is the maximum number of hosts whose errors an error message contains.
	maxShownHosts = 4
	// maxServerBytes is the maximum number of bytes that are read on one connection. If the
	// connection switches to TLS, the count starts again after the handshake.
	maxServerBytes = 64 << 10
)

// lingerTimeout is the maximum duration of closeGracefully. It is a variable because some tests
// need a longer one (see lingerLong).
var lingerTimeout = time.Second

// A session is one attempt at one host: the connection to a server, and the values that are
// needed to connect again.
type session struct {
	*serverProbe
	serverHost
	ctx   context.Context // reads and writes fail once ctx has ended
	addrs []netip.Addr
	tcp   net.Conn      // the connection to the server, over TCP or a unix socket
	conn  net.Conn      // tcp, or TLS over it
	r     *bufio.Reader // reads at most maxServerBytes from conn
}

func (probe *serverProbe) Ask(ctx context.Context, a Attempt) error {
	if len(probe.hosts) == 1 {
		return probe.askHost(ctx, a, probe.hosts[0], func() {})
	}
	// The timeout of the whole attempt starts when the first address of any host is known. (The
	// address of a unix socket is known without a lookup.)
	listCtx, cancel := context.WithCancelCause(ctx)
	var (
		start sync.Once
		timer *time.Timer
	)
	startTimeout := func() {
		start.Do(func() {
			if a.Timeout > 0 {
				timer = time.AfterFunc(a.Timeout, func() { cancel(timeoutError(a.Timeout)) })
			}
		})
	}
	limit := a.Timeout
	if deadline, ok := ctx.Deadline(); ok && (limit == 0 || time.Until(deadline) < limit) {
		limit = time.Until(deadline) // in a hook a.Timeout is 0, and the timeout is the deadline of ctx (see RunHook)
	}
	gap := stagger
	if limit > 0 {
		gap = staggerWithin(limit, len(probe.hosts), maxHosts, keptHosts)
	}
	_, errs := tryInOrder(listCtx, tries{
		count: len(probe.hosts), gap: gap, most: maxHosts, kept: keptHosts,
		try: func(ctx context.Context, i int) (net.Conn, error) {
			return nil, probe.askHost(ctx, a, probe.hosts[i], startTimeout)
		},
	})
	cancel(nil)
	start.Do(func() {}) // prevents startTimeout from starting a timer later
	if timer != nil {
		timer.Stop()
	}
	switch {
	case errs == nil:
		return nil
	case hasEnded(ctx):
		return context.Cause(ctx)
	}
	return probe.joinHostErrs(errs)
}

// joinHostErrs returns the error of an attempt in which no host is ready. It wraps the error
// of one host, which decides the hint (see Hint) and the delay before the next attempt (see
// computeDelay). The delay is short after a refused connection or a missing socket, because
// such an attempt costs a server nothing. If a host has failed in another way, the next attempt
// may cost its server work. So joinHostErrs wraps the first such error, if there is one, and
// the delay is the longer one. Otherwise it wraps the first error.
func (probe *serverProbe) joinHostErrs(errs []error) error {
	shown := errs[0]
	same := true
	var text []string
	for i, err := range errs {
		if classify(shown).isCheap() && !classify(err).isCheap() {
			shown = err
		}
		same = same && err.Error() == errs[0].Error()
		label := probe.hosts[i].label
		if label == "" {
			label = fmt.Sprintf("host %d", i+1)
		}
		if i < maxShownHosts {
			text = append(text, label+": "+err.Error())
		}
	}
	switch more := len(errs) - maxShownHosts; {
	case same:
		return probeError{fmt.Sprintf("%v (all %d hosts)", errs[0], len(errs)), shown}
	case more > 0:
		text = append(text, fmt.Sprintf("and %d more", more))
	}
	return probeError{"no host is ready: " + strings.Join(text, ", "), shown}
}

// askHost probes one host. It calls startTimeout when the address of the host is known.
func (probe *serverProbe) askHost(ctx context.Context, a Attempt, h serverHost, startTimeout func()) error {
	var addrs []netip.Addr
	if h.socket == "" {
		var err error
		if addrs, err = a.resolver().Lookup(ctx, h.host); err != nil {
			return err
		}
	}
	startTimeout()
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	s := &session{serverProbe: probe, serverHost: h, ctx: ctx, addrs: addrs}
	err := s.connect()
	if err == nil {
		err = probe.ask(s)
		s.close()
	}
	return errOrCause(ctx, err)
}

// connect connects to the server, with TLS if s.tls is not nil. It closes the previous
// connection, if there is one.
func (s *session) connect() error {
	if s.tcp != nil {
		s.close()
	}
	var tcp net.Conn
	var err error
	if s.socket != "" {
		tcp, err = connectUnix(s.ctx, s.socket)
	} else {
		tcp, err = connect(s.ctx, s.addrs, s.port)
	}
	if err != nil {
		return err
	}
	s.tcp = tcp
	s.use(tcp)
	if s.tls == nil {
		return nil
	}
	if err := s.startTLS(s.tls); err != nil {
		s.close()
		return errOrCause(s.ctx, err)
	}
	return nil
}

// startTLS performs the TLS handshake. From then on the session uses TLS. Data that the
// server has sent before the handshake causes an error, because it is not protected by TLS.
func (s *session) startTLS(settings *tlsSettings, protocols ...string) error {
	if s.r.Buffered() > 0 {
		return errNotTLS
	}
	conn, err := settings.handshake(s.ctx, s.tcp, cmp.Or(s.name, s.host), protocols...)
	if err != nil {
		return err
	}
	s.use(conn)
	return nil
}

// close closes the connection. With TLS, unless s.ctx has ended, it first sends close_notify,
// because some servers log an error if a connection ends without it.
func (s *session) close() {
	if secure, ok := s.conn.(*tls.Conn); ok && !hasEnded(s.ctx) {
		_ = secure.CloseWrite() // sends close_notify; crypto/tls limits the write to five seconds
	}
	s.tcp.Close()
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
		return nil, sanitizeReadErr(err)
	}
	return data, nil
}

// readLine reads a line and returns it without its end. It cuts a line that is longer than
// the reader's buffer of 4 KiB, because callers need only the beginning.
func (s *session) readLine() (string, error) {
	line, err := s.r.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull:
		return string(line), nil
	case err != nil:
		return "", sanitizeReadErr(err)
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// sanitizeReadErr returns the reason of a failed read, without the address that Go puts before
// it. If the server has sent a TLS alert, that is the reason: with TLS 1.3 a server rejects a
// client certificate only after the handshake, so the first read returns the alert.
func sanitizeReadErr(err error) error {
	if alert := alertError(err); alert != nil {
		return alert
	}
	return sanitizeErr(err)
}

// closeGracefully half-closes the connection to a server that is ready, and reads the rest of
// the server's data. The caller then closes the connection (close). Closing a socket with unread
// data resets the connection, and many servers log a reset as an error.
//
// closeGracefully first calls logout, if it is not nil, to end the session as the protocol
// requires. It takes at most lingerTimeout (1 s), including logout. It ignores errors, because
// the server is already known to be ready.
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

// buildServer returns the function kind.build for a kind of server whose probe calls ask. The
// URL of the target may be the app's whole connection URL; its password is never sent.
func buildServer(defaultPort uint16, ask func(*session) error) func(*targetParser) Probe {
	return func(p *targetParser) Probe {
		p.joinURLs()
		u := p.parseServerURL()
		probe := &serverProbe{ask: ask, url: u}
		switch kind := p.target.Kind; {
		case isSocketScheme(p.written):
			probe.hosts = p.parseSocketURL(u)
		case kind == "postgres" && hasNoDefaultPort(p.written):
			probe.hosts = p.parsePostgresHosts(u, 0)
		case kind == "postgres", kind == "postgresql":
			probe.hosts = p.parsePostgresHosts(u, defaultPort)
		case kind == "mysql":
			probe.hosts = p.parseMySQLHosts(u, defaultPort)
		default:
			probe.hosts = p.parseHosts(u.hosts, defaultPort)
		}
		p.name = p.scheme + "://" + u.hosts
		if len(probe.hosts) > 0 && probe.hosts[0].isHidden() {
			p.name = p.scheme + "://…"
		}
		return probe
	}
}

// buildServerTLS is like buildServer, but for a kind whose connections use TLS from the first
// byte.
func buildServerTLS(defaultPort uint16, ask func(*session) error) func(*targetParser) Probe {
	build := buildServer(defaultPort, ask)
	return func(p *targetParser) Probe {
		probe := build(p)
		if s, ok := probe.(*serverProbe); ok {
			s.tls = p.serverTLS(tlsVerified, lowerNames(s.url.query))
		}
		return probe
	}
}
