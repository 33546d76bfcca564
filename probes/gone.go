package probes

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

var goneOptions = []option{{name: "gone", value: "true", form: "gone=true", uses: []Use{ForWait, ForReady, ForProbe},
	meaning: "ready when it is certainly not there",
	details: "That is: the connection is refused, the file or socket does not exist, the name does not exist. All addresses of a name must refuse. " +
		"A timeout, a network that cannot be reached, a missing permission or a name server that fails is never that. No request is sent for http and https: any response shows that the server is there. " +
		"It cannot be combined with the options of only some kinds, such as `match=`."}}

// A goneChecker is a probe that can also find out whether its target is certainly not there.
type goneChecker interface {
	// checkGone returns nil if the target is certainly not there.
	checkGone(ctx context.Context, a Attempt) error
}

// A goneProbe is ready when its target is certainly not there.
type goneProbe struct{ target goneChecker }

func (g goneProbe) Ask(ctx context.Context, a Attempt) error {
	err := g.target.checkGone(ctx, a)
	if err != nil && Hint(err) == hintTimeout {
		return hintedError{err, hintGone}
	}
	return err
}

// applyGone returns probe, or with gone=true a probe that is ready when the target of probe is
// certainly not there.
func (p *targetParser) applyGone(probe Probe) Probe {
	values := p.values["gone"]
	if len(values) == 0 || values[0] == "false" {
		return probe
	}
	if values[0] != "true" {
		p.addError("gone= is neither true nor false: write gone=true to wait until the target is not there")
	}
	for _, name := range p.order {
		if name != "gone" && !slices.ContainsFunc(options, func(o option) bool { return o.name == name }) {
			p.addError("gone=true and %s= cannot be combined: gone=true only checks that the target is not there", name)
		}
	}
	checker, ok := probe.(goneChecker)
	if !ok { // this kind does not have gone=, and setOptions has reported that
		return probe
	}
	p.name += " (gone)"
	return goneProbe{checker}
}

// errPresent returns the error for a target that is still there.
func errPresent(text string) error { return hintedError{probeError{text, nil}, hintPresent} }

// checkPortGone returns nil if the name server says that host has no address, or if dials to
// all addresses of host show that no server listens on port (see isRefused).
func checkPortGone(ctx context.Context, a Attempt, host string, port uint16) error {
	addrs, err := a.resolver().lookupStrictly(ctx, host)
	switch {
	case errors.Is(err, errNoName):
		return nil
	case err != nil:
		return err
	}
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	conn, errs := dialInOrder(ctx, dialTCP, addrs, port)
	if errs == nil {
		conn.Close()
		return errPresent("still accepts connections")
	}
	for i, err := range errs {
		switch {
		case isRefused(err, addrs[i]):
		case hasEnded(ctx):
			return context.Cause(ctx)
		default:
			return sanitizeErr(err)
		}
	}
	return nil
}

// isRefused reports whether err, the error of a dial to addr, means that no server listens
// there. If IPv6 is disabled, this host has no address ::1. Then no server can listen on ::1, and
// a dial to it fails with one of the errors in absent.
func isRefused(err error, addr netip.Addr) bool {
	absent := []error{syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT, syscall.ENETUNREACH}
	return errors.Is(err, syscall.ECONNREFUSED) ||
		addr == netip.IPv6Loopback() && slices.ContainsFunc(absent, func(errno error) bool { return errors.Is(err, errno) })
}

func (t *tcpProbe) checkGone(ctx context.Context, a Attempt) error {
	return checkPortGone(ctx, a, t.host, t.port)
}

func (h *httpProbe) checkGone(ctx context.Context, a Attempt) error {
	port, err := portOf(h.url)
	if err != nil {
		return err
	}
	return checkPortGone(ctx, a, h.url.Hostname(), port)
}

func (u *unixProbe) checkGone(ctx context.Context, a Attempt) error {
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	conn, err := connectUnix(ctx, u.path)
	switch {
	case err == nil:
		conn.Close()
		return errPresent("still accepts connections")
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return nil
	}
	return errOrCause(ctx, err)
}

func (f *fileProbe) checkGone(ctx context.Context, a Attempt) error {
	err := f.Ask(ctx, a)
	switch {
	case err == nil:
		return errPresent("still exists")
	case errors.Is(err, syscall.ENOENT):
		return nil
	}
	return err
}

func (d *dnsProbe) checkGone(ctx context.Context, a Attempt) error {
	if literalAddrs(d.host) != nil {
		return errPresent("still resolves")
	}
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	err := a.resolver().resolveNow(ctx, strictPrefix+d.host, &d.pending)
	switch {
	case err == nil:
		return errPresent("still resolves")
	case errors.Is(err, errNoName):
		return nil
	}
	return err
}

// strictPrefix is put before a name in Resolver.names, so that a lookup with strictResolver
// has its own entry. Names contain no space, so no name begins with it.
const strictPrefix = "strict "

// A lookup sends queries for each address family and search domain. strictResolver fails if
// one of these queries fails. Without StrictErrors, a resolver may ignore that failure and
// return the same error as for a name that does not exist.
var strictResolver = &net.Resolver{PreferGo: true, StrictErrors: true}

// lookupStrictly returns the addresses of host, from a new lookup, a running one, or one
// that started less than two seconds ago. The error is errNoName only if all queries of the
// lookup have been answered.
func (r *Resolver) lookupStrictly(ctx context.Context, host string) ([]netip.Addr, error) {
	if addrs := literalAddrs(host); addrs != nil {
		return addrs, nil
	}
	var pending chan struct{}
	if err := r.resolveNow(ctx, strictPrefix+host, &pending); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// resolveNow has released the lock, so another lookup may have ended since then and
	// found that the name no longer exists.
	if l := r.names[strings.ToLower(strictPrefix+host)]; l.addrs != nil {
		return l.addrs, nil
	}
	return nil, errNoName
}
