package probes

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Resolver looks up names, for all targets of a program. The zero value is ready for use,
// by any number of goroutines.
//
// For each name at most one lookup runs at a time, and at most one starts per second,
// because in a pod a lookup may cause ten queries, one for each search domain and address
// family. (Lookups for targets with gone=true, and lookups of SRV records, count separately.)
// When a name begins to resolve, a random delay of up to a second is added before the next
// lookup. The delay spreads the lookups of pods that start together.
//
// A lookup runs in a goroutine, with the timeouts of the system's resolver. It continues
// even if the attempt that started it ends.
type Resolver struct {
	// LookupNetIP returns the addresses of a name, in the order in which they are
	// tried; nil means the system's resolver.
	LookupNetIP func(ctx context.Context, host string) ([]netip.Addr, error)
	// LookupSRV returns the SRV records of a name, in the order in which their hosts are
	// tried; nil means the system's resolver.
	LookupSRV func(ctx context.Context, name string) ([]*net.SRV, error)

	random func() float64 // returns a number in [0,1); nil: rand.Float64

	mu    sync.Mutex
	names map[string]*lookup
}

// DefaultResolver is used for an [Attempt] without a Resolver.
var DefaultResolver = new(Resolver)

func (a Attempt) resolver() *Resolver {
	if a.Resolver != nil {
		return a.Resolver
	}
	return DefaultResolver
}

// A lookup is an element of Resolver.names: the state of one name. Resolver.mu guards it.
type lookup struct {
	startedAt  time.Time
	nextAt     time.Time     // the earliest time at which the next lookup may start
	done       chan struct{} // closed when the latest lookup has ended
	running    bool
	addrs      []netip.Addr // the addresses of the last successful lookup; nil: none, or the name has since disappeared
	hosts      []serverHost // the hosts of the last successful lookup of an SRV record; nil: none, or the record has since disappeared
	resolvedAt time.Time    // when the last successful lookup ended
	err        error        // the error of the latest lookup that has ended
}

// A lookupError is the reason why the lookup of a name has no result.
type lookupError struct{ text string }

func (e lookupError) Error() string { return e.text }

// errNoName is the error for a name that, according to the name server, does not exist or has
// no address.
var errNoName = lookupError{"name does not resolve"}

// errNoSRV is the error for a name without an SRV record.
var errNoSRV = lookupError{"the name has no SRV record"}

// srvKey is the prefix of a name's key in Resolver.names for the lookup of its SRV record.
const srvKey = "SRV "

const (
	// lookupInterval is the shortest time between the starts of two lookups of a name.
	lookupInterval = time.Second
	// maxLookupAge is the age up to which Lookup returns the addresses of an earlier lookup
	// without waiting for a new one. It is the usual TTL of cluster DNS.
	maxLookupAge = 30 * time.Second
	// staleWait is how long Lookup waits for a new lookup if the addresses are older than
	// maxLookupAge. It waits so that a hook does not use an address that is hours old.
	staleWait = time.Second
)

// Lookup returns the addresses of host, at least one, or an error. An IP address and localhost
// (RFC 6761, section 6.3) need no lookup. For any other name, Lookup starts a new lookup if none
// is running and one may start (see Resolver). Its result depends on the addresses of the last
// successful lookup. (A lookup that finds that the name does not exist, or has no address, drops
// these addresses.)
//
//   - If they are at most 30 seconds old, Lookup returns them at once.
//   - If they are older, Lookup first waits up to one second for the running lookup, if there is
//     one. Then it returns the addresses of that lookup, or the old ones if it takes longer or
//     fails.
//   - If there are none, Lookup waits until the running lookup has ended, and returns its
//     addresses or its error. If no lookup is running, Lookup returns the error of the latest one.
//
// If ctx ends while Lookup waits, Lookup returns the cause of ctx.
func (r *Resolver) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addrs := literalAddrs(host); addrs != nil {
		return addrs, nil
	}
	l, err := r.find(ctx, strings.ToLower(host))
	return l.addrs, err
}

// lookupSRV returns the hosts of the SRV record with this name, at least one. It waits for
// lookups and uses earlier results in the same way as Lookup.
func (r *Resolver) lookupSRV(ctx context.Context, name string) ([]serverHost, error) {
	l, err := r.find(ctx, srvKey+strings.ToLower(name))
	if err == errNoName {
		err = errNoSRV
	}
	return l.hosts, err
}

// find returns the result of the last successful lookup of a name, or an error. name is a key
// of Resolver.names. If a lookup is running and that result is older than maxLookupAge, find
// first waits for the lookup, for staleWait at most. Without a result it waits until the lookup
// has ended.
func (r *Resolver) find(ctx context.Context, name string) (found lookup, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.startLookup(name)
	if l.running && (!l.hasResult() || time.Since(l.resolvedAt) > maxLookupAge) {
		var stale <-chan time.Time // nil if there is no earlier result to return
		if l.hasResult() {
			stale = time.After(staleWait)
		}
		if err := r.wait(ctx, l, stale); err != nil {
			return lookup{}, err
		}
	}
	if l.hasResult() {
		return *l, nil
	}
	return lookup{}, l.err
}

func (l *lookup) hasResult() bool { return l.addrs != nil || l.hosts != nil }

// resolveNow returns the error of the latest lookup of host, or nil if that lookup
// succeeded. It starts a lookup if none is running and nextAt has passed. It waits for a
// running lookup. Unlike Lookup, it never falls back on the addresses of an earlier lookup.
//
// If ctx ends before the lookup ends, resolveNow returns the cause of ctx, and stores the channel
// done of that lookup in *pending, which belongs to the caller. When the caller calls again and
// that lookup has ended, resolveNow starts no new one. It returns the error of the name's latest
// lookup, unless that is still running or started more than maxLookupAge (30 s) ago. If each call
// waited for a new lookup instead, and the name server were slower than the timeout of an
// attempt, no attempt would get a result.
func (r *Resolver) resolveNow(ctx context.Context, host string, pending *chan struct{}) error {
	if literalAddrs(host) != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := strings.ToLower(host)
	if *pending != nil {
		select {
		case <-*pending:
			*pending = nil
			if l := r.names[name]; !l.running && time.Since(l.startedAt) < maxLookupAge {
				return l.err
			}
		default:
		}
	}
	l := r.startLookup(name)
	if l.running {
		*pending = l.done
		if err := r.wait(ctx, l, nil); err != nil {
			return err
		}
	}
	*pending = nil
	return l.err
}

// wait waits until the running lookup has ended or stale fires. If ctx ends first, wait
// returns the cause of ctx. The caller holds r.mu; wait releases it while it waits.
func (r *Resolver) wait(ctx context.Context, l *lookup, stale <-chan time.Time) error {
	ended := l.done
	r.mu.Unlock()
	defer r.mu.Lock()
	select {
	case <-ended:
	case <-stale:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// literalAddrs returns the addresses of a host that needs no lookup, or nil.
func literalAddrs(host string) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}
	}
	if local := strings.TrimSuffix(strings.ToLower(host), "."); local == "localhost" || strings.HasSuffix(local, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return nil
}

// startLookup returns the state of a name. It starts a lookup if none is running and
// nextAt has passed. The caller holds r.mu.
func (r *Resolver) startLookup(name string) *lookup {
	l, known := r.names[name]
	if !known {
		if r.names == nil {
			r.names = map[string]*lookup{}
		}
		l = new(lookup)
		r.names[name] = l
	}
	if now := time.Now(); !l.running && !now.Before(l.nextAt) {
		l.running, l.startedAt, l.nextAt, l.done = true, now, now.Add(lookupInterval), make(chan struct{})
		go r.refresh(name, l)
	}
	return l
}

// refresh does one lookup. If the name does not exist or has no records, refresh drops the
// earlier results for the name. If the lookup fails in another way, refresh keeps them.
func (r *Resolver) refresh(name string, l *lookup) {
	var (
		addrs []netip.Addr
		hosts []serverHost
		err   error
	)
	if record, ok := strings.CutPrefix(name, srvKey); ok {
		hosts, err = r.resolveSRV(record)
	} else {
		addrs, err = r.resolveAddrs(name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var dns *net.DNSError
	switch {
	case err == nil && len(addrs)+len(hosts) > 0:
		if !l.hasResult() {
			// The name begins to resolve. So add the random delay that spreads the lookups of pods
			// that start together. Once is enough, because it shifts all later lookups of the name
			// too. While the name does not resolve, a random delay would delay the app's start.
			l.nextAt = l.nextAt.Add(time.Duration(r.jitter() * float64(lookupInterval)))
		}
		l.addrs, l.hosts, l.err = addrs, hosts, nil
		l.resolvedAt = time.Now()
	case err == nil, errors.As(err, &dns) && dns.IsNotFound:
		l.addrs, l.hosts, l.err = nil, nil, errNoName
	case errors.As(err, &dns):
		l.err = lookupError{"cannot look up name: " + describeDNSError(dns)}
	default:
		l.err = lookupError{"cannot look up name"}
	}
	l.running = false
	close(l.done)
}

func (r *Resolver) jitter() float64 {
	if r.random != nil {
		return r.random()
	}
	return rand.Float64()
}

func (r *Resolver) resolveAddrs(name string) (addrs []netip.Addr, err error) {
	system := net.DefaultResolver
	name, strict := strings.CutPrefix(name, strictPrefix)
	if strict {
		system = strictResolver
	}
	if r.LookupNetIP != nil {
		addrs, err = r.LookupNetIP(context.Background(), name)
	} else {
		addrs, err = system.LookupNetIP(context.Background(), "ip", name)
	}
	addrs = slices.Clone(addrs)
	for i, addr := range addrs {
		addrs[i] = addr.Unmap() // the resolver may return IPv4 as ::ffff:a.b.c.d
	}
	return addrs, err
}

func (r *Resolver) resolveSRV(record string) (hosts []serverHost, err error) {
	var records []*net.SRV
	if r.LookupSRV != nil {
		records, err = r.LookupSRV(context.Background(), record)
	} else {
		_, records, err = net.DefaultResolver.LookupSRV(context.Background(), "", "", record)
	}
	for _, srv := range records {
		// A record with the target "." means that the service does not exist (RFC 2782).
		if host := strings.TrimSuffix(srv.Target, "."); host != "" && srv.Port != 0 {
			hosts = append(hosts, serverHost{label: net.JoinHostPort(host, strconv.Itoa(int(srv.Port))), host: host, port: srv.Port})
		}
	}
	return hosts, err
}

// describeDNSError returns the reason of a failed lookup. err.Err may contain the addresses of
// sockets, as in "dial udp 10.0.0.10:53: connect: network is unreachable". So
// describeDNSError returns only its last part, or a text of its own.
func describeDNSError(err *net.DNSError) string {
	switch {
	case err.IsTimeout:
		return "the name server timed out"
	case strings.HasSuffix(err.Err, "connection refused"):
		return "the name server refused the connection"
	case err.Err == "server misbehaving":
		return "the name server failed"
	}
	parts := strings.Split(err.Err, ": ")
	return parts[len(parts)-1]
}
