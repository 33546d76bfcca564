package probes

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// A fileProbe is ready when its path exists.
type fileProbe struct{ path string }

func (f *fileProbe) Ask(ctx context.Context, a Attempt) error {
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	return files.run(ctx, f.path, func() error {
		_, err := os.Stat(f.path)
		return sanitizeFileErr(err)
	}, nil)
}

// sanitizeFileErr removes the path from an error, because logs must show neither the path of a
// hook's URL nor the path of an option such as ca=.
func sanitizeFileErr(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return probeError{"no such file", syscall.ENOENT}
	}
	return sanitizeErr(err)
}

func buildFile(p *targetParser) Probe {
	p.rest = strings.TrimPrefix(p.rest, "localhost") // file://localhost/PATH means file:///PATH (RFC 8089, section 2)
	return &fileProbe{p.parsePath("file:///PATH")}
}

// parsePath parses the absolute path of a file or unix URL, and sets the name of the
// target. As in any URL, % starts an escape. A query or fragment is an error.
func (p *targetParser) parsePath(form string) string {
	path, err := url.PathUnescape(p.rest)
	switch {
	case !strings.HasPrefix(p.rest, "/"):
		p.addError("%s:// needs an absolute path: write %s", p.scheme, form)
	case p.scheme == "unix" && strings.Contains(p.rest, "?"): // redis-py accepts such a URL
		p.addError("unix:// with a query: if that is the URL of a Redis client, write redis+socket:///PATH; a ? in a path is %%3F")
	case strings.ContainsAny(p.rest, "?#"):
		p.addError("%s://: a ? or # in the path: write %%3F or %%23", p.scheme)
	case err != nil:
		p.addError("%s://: a %% in the path that is not an escape: write %%25", p.scheme)
	case strings.ContainsRune(path, 0):
		p.addError("%s://: a NUL byte in the path", p.scheme)
	}
	p.name = p.scheme + "://"
	if !p.use.Hook() {
		p.name += (&url.URL{Path: path}).EscapedPath()
	}
	return path
}
