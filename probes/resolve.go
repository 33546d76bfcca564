package probes

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// A Resolver looks names up, for all targets of a program. The zero value is
// ready for use, from any number of goroutines.
//
// One lookup of a name is under way at a time, and at most one begins in a
// second: in a pod one lookup may be ten queries, for every search domain and
// both families. It runs beside the attempts, to the limits of the system's own
// resolver; an attempt that stops waiting for it does not stop it.
type Resolver struct {
	// LookupNetIP is asked for the addresses of a name, in the order in which
	// they are to be tried; nil means the system's resolver.
	LookupNetIP func(ctx context.Context, host string) ([]netip.Addr, error)

	mu    sync.Mutex
	names map[string]*lookup
}

// DefaultResolver is used where an [Attempt] has none.
var DefaultResolver = new(Resolver)

func (a Attempt) resolver() *Resolver {
	if a.Resolver != nil {
		return a.Resolver
	}
	return DefaultResolver
}

// A lookup is what is known of a name. All of it is guarded by Resolver.mu.
type lookup struct {
	begun time.Time
	ended chan struct{} // closed when the latest one has ended
	busy  bool
	addrs []netip.Addr // the last good answer
	good  time.Time    // when it came
	err   error        // of the latest, if it ended badly
}

// A lookupError says why a name has no address.
type lookupError struct{ text string }

func (e lookupError) Error() string { return e.text }

// errNoName is the no of a name server that works.
var errNoName = lookupError{"name does not resolve"}

const (
	// lookupPause is the least time between the beginnings of two lookups of a name.
	lookupPause = time.Second
	// lookupAge is how long a good answer is given at once; it is what cluster
	// DNS allows. A hook that is done hours after the wait shall not go to an
	// address of then, so it gives the resolver lookupPatience first.
	lookupAge      = 30 * time.Second
	lookupPatience = time.Second
)

// Lookup gives the addresses of host, at least one. An address and localhost
// (RFC 6761, section 6.3) need no lookup. While a known name is looked up again
// the last good answer is given at once, or after a second if it is an old one; a
// failure is given to all who ask within a second of its lookup's beginning.
// It returns early with the cause of ctx when that ends.
func (r *Resolver) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addrs := literal(host); addrs != nil {
		return addrs, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lookup(strings.ToLower(host))
	if l.busy && (l.addrs == nil || time.Since(l.good) > lookupAge) {
		var patience <-chan time.Time // nil: there is nothing to fall back on
		if l.addrs != nil {
			patience = time.After(lookupPatience)
		}
		if err := r.wait(ctx, l, patience); err != nil {
			return nil, err
		}
	}
	if l.addrs != nil {
		return l.addrs, nil
	}
	return nil, l.err
}

// resolves reports whether host resolves now: it has no good answer of before to
// fall back on, and waits for the lookup that is under way.
//
// If ctx ends first, that lookup is left to the next call with the same left. It
// takes the answer as it is, unless it is an old one: if it began another lookup
// instead, one that is always slower than an attempt would never be heard.
func (r *Resolver) resolves(ctx context.Context, host string, left *chan struct{}) error {
	if literal(host) != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := strings.ToLower(host)
	if *left != nil {
		select {
		case <-*left:
			*left = nil
			if l := r.names[name]; !l.busy && time.Since(l.begun) < lookupAge {
				return l.err
			}
		default:
		}
	}
	l := r.lookup(name)
	if l.busy {
		*left = l.ended
		if err := r.wait(ctx, l, nil); err != nil {
			return err
		}
	}
	*left = nil
	return l.err
}

// wait waits for the lookup that is under way, for patience, or for ctx, whose
// cause it returns. r.mu is held before and after.
func (r *Resolver) wait(ctx context.Context, l *lookup, patience <-chan time.Time) error {
	ended := l.ended
	r.mu.Unlock()
	defer r.mu.Lock()
	select {
	case <-ended:
	case <-patience:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// literal gives the addresses of a host that needs no lookup.
func literal(host string) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}
	}
	if local := strings.TrimSuffix(strings.ToLower(host), "."); local == "localhost" || strings.HasSuffix(local, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return nil
}

// lookup finds what is known of a name, and begins to look it up if it is time.
// r.mu is held.
func (r *Resolver) lookup(name string) *lookup {
	l, known := r.names[name]
	if !known {
		if r.names == nil {
			r.names = map[string]*lookup{}
		}
		l = new(lookup)
		r.names[name] = l
	}
	if now := time.Now(); !l.busy && (!known || now.Sub(l.begun) >= lookupPause) {
		l.busy, l.begun, l.ended = true, now, make(chan struct{})
		go r.refresh(name, l)
	}
	return l
}

// refresh does one lookup. A name that is gone is forgotten; a resolver that
// fails takes no known address away.
func (r *Resolver) refresh(name string, l *lookup) {
	ask := r.LookupNetIP
	if ask == nil {
		ask = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := ask(context.Background(), name)
	r.mu.Lock()
	defer r.mu.Unlock()
	var dns *net.DNSError
	switch {
	case err == nil && len(addrs) > 0:
		l.addrs, l.err = make([]netip.Addr, len(addrs)), nil
		l.good = time.Now()
		for i, addr := range addrs {
			l.addrs[i] = addr.Unmap() // the resolver gives IPv4 as ::ffff:a.b.c.d
		}
	case err == nil, errors.As(err, &dns) && dns.IsNotFound:
		l.addrs, l.err = nil, errNoName
	case errors.As(err, &dns):
		l.err = lookupError{"cannot look up name: " + plainDNS(dns)}
	default:
		l.err = lookupError{"cannot look up name"}
	}
	l.busy = false
	close(l.ended)
}

// plainDNS says in what way a resolver has failed. Its own words name sockets.
func plainDNS(err *net.DNSError) string {
	switch {
	case err.IsTimeout:
		return "no name server answers in time"
	case strings.HasSuffix(err.Err, "connection refused"):
		return "there is no name server"
	case err.Err == "server misbehaving":
		return "the name server fails"
	}
	return err.Err
}
