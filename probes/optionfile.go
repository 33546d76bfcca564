package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// An optionFile is a file that an option names: a certificate, a key, a token.
// It is read at every attempt, never while a target is parsed: such files are
// written by whatever prepares the container, and are renewed while it runs.
type optionFile struct {
	option string // for messages: "ca="; the path is not printed
	path   string
}

// optionFile makes one of the path of an option, which must be absolute: usher
// leaves its working directory.
func (r *reading) optionFile(option, path string) *optionFile {
	if !strings.HasPrefix(path, "/") {
		r.mistake("%s needs an absolute path: write for example %s/run/secrets/file", option, option)
	}
	return &optionFile{option, path}
}

// read returns the content of the file, which may have at most max bytes.
func (f *optionFile) read(ctx context.Context, max int64) ([]byte, error) {
	var text []byte
	err := files.run(ctx, f.path, func() (err error) {
		text, err = readRegular(f.path, max)
		return err
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read the file of %s: %w", f.option, err)
	}
	return text, nil
}

// readRegular reads a regular file of at most max bytes, or what a symbolic link
// to one leads to (Kubernetes mounts Secrets so). Other files are refused: a FIFO
// may never have a writer, a device may never end.
func readRegular(path string, max int64) ([]byte, error) {
	// A device is not even opened, because that may start something (a watchdog, a tape).
	if err := checkRegular(os.Stat(path)); err != nil {
		return nil, err
	}
	// The file may have been replaced since. With O_NONBLOCK open(2) neither waits
	// for the writer of a FIFO nor for the holder of a lease, fcntl(2).
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plainFile(err)
	}
	defer f.Close()
	if err := checkRegular(f.Stat()); err != nil {
		return nil, err
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

// checkRegular returns an error unless the result of a stat is that of a regular file.
func checkRegular(info fs.FileInfo, err error) error {
	if err != nil {
		return plainFile(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	return nil
}
