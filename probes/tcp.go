package probes

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A tcpProbe says yes when a connection is accepted, and what was to be said on
// it has been; it is closed then.
type tcpProbe struct {
	host string
	port uint16
	talk talk
}

func (t *tcpProbe) Ask(ctx context.Context, a Attempt) error {
	addrs, err := a.resolver().Lookup(ctx, t.host)
	if err != nil {
		return err
	}
	ctx, cancel := limit(ctx, a.Timeout)
	defer cancel()
	line, err := connect(ctx, addrs, t.port)
	if err != nil {
		return err
	}
	defer line.end()
	return t.talk.on(ctx, line)
}

func buildTCP(r *reading) Probe {
	authority, rest := r.authority()
	if rest != "" && rest != "/" {
		r.mistake("tcp:// takes no path or query: write tcp://HOST:PORT")
	}
	t := &tcpProbe{talk: r.talk()}
	if strings.Contains(authority, "@") {
		r.mistake("tcp:// takes no user: write tcp://HOST:PORT")
		return nil
	}
	t.host, t.port = r.hostPort(authority, 0)
	r.name = "tcp://" + authority
	return t
}

// authority cuts what follows the scheme into the authority and all after it.
func (r *reading) authority() (authority, rest string) {
	if i := strings.IndexAny(r.rest, "/?#"); i >= 0 {
		return r.rest[:i], r.rest[i:]
	}
	return r.rest, ""
}

// hostPort reads HOST:PORT or [IPv6]:PORT; preset is the port where none is
// written, 0 if one must be. A password with an unescaped / or space in it ends
// the authority early and looks like a port, so no port that is not a number is
// repeated, and nothing at all where there is an @ or a further word.
func (r *reading) hostPort(authority string, preset uint16) (host string, port uint16) {
	if strings.Contains(authority, ",") {
		r.mistake("%s:// with several hosts: write a target for each that must be there", r.scheme)
		return "", 0
	}
	form, shown := r.scheme+"://HOST:PORT", authority
	if r.torn || strings.Contains(r.rest, "@") || strings.Contains(authority, "%") && !strings.HasPrefix(authority, "[") {
		shown = "…"
	}
	host, digits, written := authority, "", false
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && i > strings.LastIndexByte(authority, ']') {
		host, digits, written = authority[:i], authority[i+1:], true
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case !written && preset != 0:
		port = preset
	case !written || digits == "":
		r.mistake("%s://%s has no port: write %s", r.scheme, shown, form)
	case strings.Trim(digits, "0123456789") != "":
		r.mistake("%s:// with a port that is not a number: write %s", r.scheme, form)
	case err != nil || number < 1 || number > 65535:
		r.mistake("%s://%s: the port is not in 1-65535", r.scheme, shown)
	default:
		port = uint16(number)
	}
	switch bracketed := strings.HasPrefix(host, "["); {
	case host == "":
		r.mistake("%s:// has no host: write %s", r.scheme, form)
	case !bracketed && strings.Contains(host, ":") && strings.Count(authority, ":") == 2 && !strings.Contains(authority, "::"):
		r.mistake("%s:// with more than one port: write %s", r.scheme, form)
	case !bracketed && strings.Contains(host, ":"):
		r.mistake("%s://%s: an IPv6 address needs brackets: write %s://[::1]:80", r.scheme, shown, r.scheme)
	case bracketed:
		host = strings.TrimSuffix(host[1:], "]")
		host = strings.Replace(host, "%25", "%", 1) // RFC 6874: the zone's % is escaped in a URL
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() || !strings.Contains(authority, "]") {
			r.mistake("%s://%s: no IPv6 address in the brackets: write %s://[::1]:80", r.scheme, shown, r.scheme)
		}
	case strings.ContainsFunc(host, notInHost):
		r.mistake("%s://%s: a character that no host name has (others than ASCII are written xn--…)", r.scheme, shown)
	}
	return host, port
}

func notInHost(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-._", c))
}

// A line is a connection on which every read and write fails from the moment its
// context ends.
type line struct {
	net.Conn
	watch func() bool // ends the watch over the context
}

func watched(ctx context.Context, conn net.Conn) *line {
	return &line{conn, context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })}
}

// Close ends the watch too, and with it all that the line has held.
func (l *line) Close() error {
	l.watch()
	return l.Conn.Close()
}

// end is Close where there is nobody who would want its error.
func (l *line) end() { _ = l.Close() }

// connect is dial with a watch over the connection.
func connect(ctx context.Context, addrs []netip.Addr, port uint16) (*line, error) {
	conn, err := dial(ctx, dialTCP, addrs, port)
	if err != nil {
		return nil, err
	}
	return watched(ctx, conn), nil
}

const (
	// stagger is how long the newest dial is alone before the next address is tried
	// beside it (RFC 8305, section 5, recommends 250 ms and allows up to 2 s).
	stagger = 300 * time.Millisecond
	// maxDials is how many addresses are tried at a time: each takes a descriptor,
	// a goroutine and a place in the server's backlog.
	maxDials = 8
	// keptDials of them stay until the end of the attempt, the others take turns.
	keptDials = 4
)

// dial connects to the first of the addresses that accepts. Each is tried: the
// next one when one has failed, or a moment after the one before, so that an address
// that drops packets does not use up the attempt. The moment is shorter than stagger
// where many addresses must share a short timeout.
//
// When maxDials dials are running, the next address replaces one of them. The
// keptDials oldest are kept, because a distant server needs the time; the one
// after them is stopped.
//
// All dials have ended when it returns.
func dial(ctx context.Context, connect dialFunc, addrs []netip.Addr, port uint16) (net.Conn, error) {
	gap := stagger
	if deadline, ok := ctx.Deadline(); ok {
		turns := len(addrs) + 1
		if len(addrs) > maxDials {
			turns = len(addrs) + maxDials - keptDials // the last ones take no less time than those before
		}
		gap = min(gap, time.Until(deadline)/time.Duration(turns))
	}
	dialing, stop := context.WithCancel(ctx)
	defer stop()
	var (
		winner  net.Conn
		failure error
		results = make(chan dialResult)
		running []*dialer // the oldest first
		next    = time.NewTimer(0)
	)
	defer next.Stop()
	for len(addrs) > 0 || len(running) > 0 {
		select {
		case <-next.C:
			switch {
			case len(addrs) == 0:
			case len(running) == maxDials:
				running[keptDials].stop() // its result starts the next
			default:
				running = append(running, startDial(dialing, connect, netip.AddrPortFrom(addrs[0], port), results))
				addrs = addrs[1:]
				next.Reset(gap)
			}
		case r := <-results:
			running = slices.DeleteFunc(running, func(d *dialer) bool { return d == r.dialer })
			switch {
			case r.err != nil:
				failure = tellingMore(failure, r.err)
				next.Reset(0)
			case winner == nil:
				winner = r.conn
				addrs = nil
				stop()
			default:
				r.conn.Close()
			}
		case <-ctx.Done():
			addrs = nil
			ctx = context.WithoutCancel(ctx) // seen; the dials are about to return
		}
	}
	if winner != nil {
		return winner, nil
	}
	if ended(dialing) {
		return nil, context.Cause(dialing)
	}
	return nil, plain(failure)
}

// A dialFunc connects to one address.
type dialFunc func(context.Context, netip.AddrPort) (net.Conn, error)

func dialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", to.String())
}

// A dialer tries one address.
type dialer struct{ stop context.CancelFunc }

type dialResult struct {
	*dialer
	conn net.Conn
	err  error
}

// startDial tries an address, and sends the result.
func startDial(ctx context.Context, connect dialFunc, to netip.AddrPort, results chan<- dialResult) *dialer {
	own, stop := context.WithCancel(ctx)
	d := &dialer{stop}
	go func() {
		conn, err := connect(own, to)
		if err != nil && own.Err() != nil && ctx.Err() == nil {
			err = os.ErrDeadlineExceeded // its turn is over
		}
		stop()
		results <- dialResult{d, conn, err}
	}()
	return d
}

// tellingMore picks the error to report when every address failed. The first is
// that of the preferred address, but a refusal is worth more: it comes from the
// host itself, where "network is unreachable" only says that this pod has no IPv6.
func tellingMore(first, second error) error {
	if first == nil || kindOf(second) == refused && kindOf(first) != refused {
		return second
	}
	return first
}
