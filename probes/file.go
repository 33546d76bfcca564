package probes

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// A fileProbe says yes when its path exists.
type fileProbe struct {
	path string
	// busy holds the one stat that may be under way. On a dead network mount
	// a stat sleeps in the kernel and no context wakes it: the attempt leaves
	// it behind, and the next ones wait for it instead of adding to it.
	busy chan struct{}
}

func (f *fileProbe) Ask(ctx context.Context, a Attempt) error {
	ctx, cancel := limit(ctx, a.Timeout)
	defer cancel()
	select {
	case f.busy <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	done := make(chan error, 1) // 1: nobody may be left to receive it
	go func() {
		err := stat(f.path)
		<-f.busy
		done <- err
	}()
	select {
	case err := <-done:
		return plainFile(err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A stat may take a thread, and a Go program that cannot make one more, under a
// pids limit, is ended by its runtime. So few are under way at a time, unless all
// of those are kept by a dead mount.
var (
	stats         = make(chan struct{}, 2)
	statsPatience = 100 * time.Millisecond
)

func stat(path string) error {
	select {
	case stats <- struct{}{}:
		defer func() { <-stats }()
	case <-time.After(statsPatience):
	}
	_, err := os.Stat(path)
	return err
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
	return &fileProbe{path: r.path("file:///PATH"), busy: make(chan struct{}, 1)}
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
