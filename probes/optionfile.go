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

// An optionFile is a file that an option or a parameter of the URL names: it holds
// certificates, a key, or text for a header. It is read at every attempt and not when the
// target is parsed, because the file may be created later and renewed at any time.
type optionFile struct {
	option string // the option or parameter in messages, such as "ca="; messages do not show the path
	path   string
}

// newOptionFile returns the file that an option or a parameter names. The path must be
// absolute, because usher changes its working directory.
func (p *targetParser) newOptionFile(option, path string) *optionFile {
	if !strings.HasPrefix(path, "/") {
		p.addError("%s needs an absolute path: write for example %s/run/secrets/file", option, option)
	}
	return &optionFile{option, path}
}

// read returns the content of the file, or an error if it has more than max bytes.
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

// readRegular reads a regular file of at most max bytes. It follows symbolic links, because
// Kubernetes uses them for mounted Secrets. It rejects files of other types, because a read
// from a FIFO or a device may never end.
func readRegular(path string, max int64) ([]byte, error) {
	// The type is checked before the file is opened, because opening a device may have side
	// effects (start a watchdog, rewind a tape).
	if err := checkRegular(os.Stat(path)); err != nil {
		return nil, err
	}
	// The file may have been replaced since its type was checked. With O_NONBLOCK, open(2) does
	// not wait for the writer of a FIFO or for the holder of a lease (see fcntl(2)).
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, sanitizeFileErr(err)
	}
	defer f.Close()
	if err := checkRegular(f.Stat()); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, sanitizeFileErr(err)
	}
	if int64(len(text)) > max {
		return nil, fmt.Errorf("it has more than %d KiB", max>>10)
	}
	return text, nil
}

// checkRegular checks the result of a stat. It returns an error unless the file is a
// regular file.
func checkRegular(info fs.FileInfo, err error) error {
	if err != nil {
		return sanitizeFileErr(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	return nil
}
