package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// An optionFile is a file that an option names: a certificate, a key, a token.
// It is read at every attempt and never before the first, because such files are
// brought by whoever prepares the container, and are renewed while it runs.
type optionFile struct {
	option string // for messages: "ca="; the path is not told
	path   string
	// busy holds the one reading that may be under way, as in a fileProbe.
	busy chan struct{}
}

// optionFile makes one of the path of an option, which must be absolute: usher
// leaves its working directory.
func (r *reading) optionFile(option, path string) *optionFile {
	if !strings.HasPrefix(path, "/") {
		r.mistake("%s needs an absolute path: write for example %s/run/secrets/file", option, option)
	}
	return &optionFile{option, path, make(chan struct{}, 1)}
}

// read gives the content of the file, which may have at most max bytes. It
// returns early with the cause of ctx; the reading is then left behind, and the
// next attempts wait for it instead of adding to it.
func (f *optionFile) read(ctx context.Context, max int64) ([]byte, error) {
	select {
	case f.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1) // 1: nobody may be left to receive it
	go func() {
		text, err := readRegular(f.path, max)
		<-f.busy
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("cannot read the file of %s: %w", f.option, r.err)
		}
		return r.text, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// readRegular refuses what is no regular file: a FIFO may never have a writer,
// and a device never an end.
func readRegular(path string, max int64) ([]byte, error) {
	// Without O_NONBLOCK the open itself would wait for a FIFO's writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plainFile(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, plainFile(err)
	}
	if int64(len(text)) > max {
		return nil, fmt.Errorf("it has more than %d KiB", max>>10)
	}
	return text, nil
}
