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
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	name := strings.ToLower(host)
	if local := strings.TrimSuffix(name, "."); local == "localhost" || strings.HasSuffix(local, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	r.mu.Lock()
	l := r.lookup(name)
	if l.busy && (l.addrs == nil || time.Since(l.good) > lookupAge) {
		ended := l.ended
		var patience <-chan time.Time // nil: there is nothing to fall back on
		if l.addrs != nil {
			patience = time.After(lookupPatience)
		}
		r.mu.Unlock()
		select {
		case <-ended:
		case <-patience:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	if l.addrs != nil {
		return l.addrs, nil
	}
	return nil, l.err
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
		l.addrs, l.err = nil, lookupError{"name does not resolve"}
	case errors.As(err, &dns):
		l.err = lookupError{"cannot look up name: " + dns.Err}
	default:
		l.err = lookupError{"cannot look up name"}
	}
	l.busy = false
	close(l.ended)
}
