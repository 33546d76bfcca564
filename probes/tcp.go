package probes

import (
	"context"
	"strings"
)

// A tcpProbe is ready when a connection is accepted and the exchange of send= and expect=
// on it succeeds. The probe then closes the connection.
type tcpProbe struct {
	host       string
	port       uint16
	sendExpect sendExpect
}

func (t *tcpProbe) Ask(ctx context.Context, a Attempt) error {
	addrs, err := a.resolver().Lookup(ctx, t.host)
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	conn, err := connect(ctx, addrs, t.port)
	if err != nil {
		return err
	}
	defer conn.Close()
	return t.sendExpect.run(ctx, conn)
}

func buildTCP(p *targetParser) Probe {
	authority, rest := p.splitAuthority()
	if rest != "" && rest != "/" {
		p.addError("tcp:// takes no path or query: write tcp://HOST:PORT")
	}
	t := &tcpProbe{sendExpect: p.sendExpect()}
	if strings.Contains(authority, "@") {
		p.addError("tcp:// takes no user: write tcp://HOST:PORT")
		return nil
	}
	t.host, t.port = p.parseHostPort(authority, 0)
	p.name = "tcp://" + authority
	return t
}
