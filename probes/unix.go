package probes

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// A unixProbe is ready as a tcpProbe is.
type unixProbe struct {
	path string
	talk talk
}

func (u *unixProbe) Ask(ctx context.Context, a Attempt) error {
	ctx, cancel := limit(ctx, a.Timeout)
	defer cancel()
	var conn net.Conn
	err := files.run(ctx, u.path, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", u.path)
		return plainUnix(err)
	}, func() { conn.Close() })
	if err != nil {
		return orCause(ctx, err)
	}
	line := watched(ctx, conn)
	defer line.end()
	return u.talk.on(ctx, line)
}

// plainUnix reduces an error of connect(2), which looks up the path.
func plainUnix(err error) error {
	switch {
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
