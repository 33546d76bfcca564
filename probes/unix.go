package probes

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// A unixProbe is ready when a connection to a unix socket is accepted and the exchange of send=
// and expect= on it succeeds. The probe then closes the connection.
type unixProbe struct {
	path       string
	sendExpect sendExpect
}

func (u *unixProbe) Ask(ctx context.Context, a Attempt) error {
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	conn, err := connectUnix(ctx, u.path)
	if err != nil {
		return errOrCause(ctx, err)
	}
	defer conn.Close()
	return u.sendExpect.run(ctx, conn)
}

// maxSocketPath is the maximum length of the path of a socket: sun_path has 108 bytes
// (unix(7)), one of them for the NUL.
const maxSocketPath = 107

// connectUnix connects to a unix socket. Reads and writes on the connection fail once ctx has
// ended.
func connectUnix(ctx context.Context, path string) (net.Conn, error) {
	var conn net.Conn
	err := files.run(ctx, path, func() (err error) {
		conn, err = dialContext(ctx, "unix", path)
		return sanitizeUnixErr(err)
	}, func() { conn.Close() })
	if err != nil {
		return nil, err
	}
	return newCtxConn(ctx, conn), nil
}

// sanitizeUnixErr returns only the reason of an error of connect(2) on a unix socket. It drops
// the path, which may be secret.
func sanitizeUnixErr(err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		return probeError{"no such socket", syscall.ENOENT}
	case errors.Is(err, syscall.EAGAIN):
		// connect(2) on a non-blocking unix socket fails with EAGAIN if the backlog is full.
		return probeError{"the backlog is full", nil}
	}
	return sanitizeErr(err)
}

func buildUnix(p *targetParser) Probe {
	path := p.parsePath("unix:///PATH")
	if len(path) > maxSocketPath {
		p.addError("unix:// path of %d bytes: the path of a socket has at most %d", len(path), maxSocketPath)
	}
	return &unixProbe{path, p.sendExpect()}
}
