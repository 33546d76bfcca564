package probes

import (
	"context"
	"net/netip"
	"strings"
)

// A dnsProbe says yes when its name resolves. Here the lookup is what is asked,
// and so the timeout covers it: an attempt that does not get an answer in time
// leaves it to the next one.
type dnsProbe struct {
	host string
	left chan struct{} // the lookup that was left, until it ends; guarded by the resolver
}

func (d *dnsProbe) Ask(ctx context.Context, a Attempt) error {
	ctx, cancel := limit(ctx, a.Timeout)
	defer cancel()
	return a.resolver().resolves(ctx, d.host, &d.left)
}

func buildDNS(r *reading) Probe {
	authority, rest := r.authority()
	host := authority
	r.name = "dns://" + host
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	switch {
	case strings.Contains(r.rest, "@"):
		r.mistake("dns:// takes no user: write dns://NAME")
	case rest != "" && rest != "/":
		r.mistake("dns:// takes no path or query: write dns://NAME")
	case host == "":
		r.mistake("dns:// has no name: write dns://NAME")
	case err == nil:
		r.mistake("dns://%s is an address, which needs no lookup: write dns://NAME", host)
	case strings.Contains(host, ":"):
		r.mistake("dns:// takes no port: write dns://NAME")
	case strings.ContainsFunc(host, notInHost):
		r.mistake("dns://%s: a character that no host name has (others than ASCII are written xn--…)", host)
	}
	return &dnsProbe{host: host}
}
