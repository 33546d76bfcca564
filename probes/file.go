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
	ctx, cancel := limit(ctx, a.Timeout)
	defer cancel()
	return files.run(ctx, f.path, func() error {
		_, err := os.Stat(f.path)
		return plainFile(err)
	}, nil)
}

// plainFile drops the path from an error of stat: a hook's is not to be printed.
func plainFile(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return answer{"no such file", syscall.ENOENT}
	}
	return plain(err)
}

func buildFile(r *reading) Probe {
	r.rest = strings.TrimPrefix(r.rest, "localhost") // RFC 8089, section 2
	return &fileProbe{r.path("file:///PATH")}
}

// path reads the absolute path of a file or unix URL and names the target. As in
// any URL a % begins an escape, and what would begin a query is refused.
func (r *reading) path(form string) string {
	p, err := url.PathUnescape(r.rest)
	switch {
	case !strings.HasPrefix(r.rest, "/"):
		r.mistake("%s:// needs an absolute path: write %s", r.scheme, form)
	case strings.ContainsAny(r.rest, "?#"):
		r.mistake("%s://: a ? or # in the path: write %%3F or %%23", r.scheme)
	case err != nil:
		r.mistake("%s://: a %% in the path that is not an escape: write %%25", r.scheme)
	case strings.ContainsRune(p, 0):
		r.mistake("%s://: a NUL byte in the path", r.scheme)
	}
	r.name = r.scheme + "://"
	if !r.use.Hook() {
		r.name += (&url.URL{Path: p}).EscapedPath()
	}
	return p
}
