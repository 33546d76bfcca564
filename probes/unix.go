package probes

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// A unixProbe says yes as a tcpProbe does.
type unixProbe struct {
	path string
	talk talk
}

func (u *unixProbe) Ask(ctx context.Context, a Attempt) error {
	ctx, cancel := limit(ctx, a.Timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", u.path)
	switch {
	case err == nil:
		line := watched(ctx, conn)
		defer line.end()
		return u.talk.on(ctx, line)
	case ended(ctx):
		return context.Cause(ctx)
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		return answer{"no such socket", syscall.ENOENT}
	case errors.Is(err, syscall.EAGAIN):
		// A non-blocking connect to a listener that does not keep up, unix(7).
		return answer{"its backlog is full", nil}
	}
	return plain(err)
}

func buildUnix(r *reading) Probe {
	p := r.path("unix:///PATH")
	if len(p) > 107 { // sun_path has 108 bytes, one of them for the NUL
		r.mistake("unix:// path of %d bytes: a socket's has at most 107", len(p))
	}
	return &unixProbe{p, r.talk()}
}
