package probes

import (
	"context"
	"net/netip"
	"strings"
)

// A dnsProbe is ready when its name resolves. The timeout of an attempt covers the lookup. When
// the timeout expires, the lookup continues, and the next attempt uses the lookup's result.
type dnsProbe struct {
	host    string
	pending chan struct{} // lookup.done of the lookup that the previous attempt has left running; nil: it has left none running; guarded by Resolver.mu
}

func (d *dnsProbe) Ask(ctx context.Context, a Attempt) error {
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	return a.resolver().resolveNow(ctx, d.host, &d.pending)
}

func buildDNS(p *targetParser) Probe {
	authority, rest := p.splitAuthority()
	host := authority
	p.name = "dns://" + host
	shown := host
	if p.hidesHosts {
		shown = "…"
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	switch {
	case strings.Contains(p.rest, "@"):
		p.addError("dns:// takes no user: write dns://NAME")
	case rest != "" && rest != "/":
		p.addError("dns:// takes no path or query: write dns://NAME")
	case host == "":
		p.addError("dns:// has no name: write dns://NAME")
	case err == nil:
		p.addError("dns://%s is an address, not a name: write dns://NAME", shown)
	case strings.Contains(host, ":"):
		p.addError("dns:// takes no port: write dns://NAME")
	case strings.ContainsFunc(host, isInvalidInHost):
		p.addError("dns://%s: a character that is not allowed in a host name (write non-ASCII names as xn--…)", shown)
	}
	return &dnsProbe{host: host}
}
