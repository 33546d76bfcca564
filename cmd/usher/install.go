package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// install copies the running program to path, or into it if it is a directory,
// and returns where it then stands. Nobody ever sees half a file there: it is
// written beside, synced and renamed (rename(2)), so that two may do so at once.
// Whatever fails leaves nothing behind.
func install(path string) (string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "usher")
	}
	from, err := openSelf()
	if err != nil {
		return path, err
	}
	defer from.Close()
	to, err := createBeside(path)
	if err != nil {
		return path, fmt.Errorf("cannot write in %s: %w", filepath.Dir(path), reason(err))
	}
	defer to.Close()
	if err := fill(to, from); err != nil {
		_ = os.Remove(to.Name())
		return path, fmt.Errorf("cannot write %s: %w", path, reason(err))
	}
	if err := os.Rename(to.Name(), path); err != nil {
		_ = os.Remove(to.Name())
		return path, fmt.Errorf("cannot write %s: %w", path, reason(err))
	}
	// The name too is on the disk then, where that can be had.
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		dir.Close()
	}
	return path, nil
}

// createBeside makes a file of a name that nobody else has, in path's directory.
func createBeside(path string) (*os.File, error) {
	for try := 0; ; try++ {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".usher-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), try))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// fill makes to a copy that anybody may execute, whatever the umask.
func fill(to, from *os.File) error {
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	if err := to.Chmod(0o755); err != nil {
		return err
	}
	return to.Sync()
}

// openSelf opens the running program: by /proc or, where that is missing, by the
// path with which it was executed, as the kernel tells it (getauxval(3)).
func openSelf() (*os.File, error) {
	f, err := os.Open("/proc/self/exe")
	if err == nil {
		return f, nil
	}
	path := executedAs()
	if f, err := os.Open(path); err == nil {
		return f, nil
	}
	return nil, fmt.Errorf("cannot find the running program: /proc is not mounted, and it is not at %s: mount /proc", strconv.Quote(path))
}

func executedAs() string {
	pairs, err := unix.Auxv()
	if err != nil {
		return ""
	}
	const atExecFn = 31 // AT_EXECFN, a pointer to a string that the kernel has put there
	for _, pair := range pairs {
		if pair[0] == atExecFn {
			return unix.BytePtrToString(*(**byte)(unsafe.Pointer(&pair[1])))
		}
	}
	return ""
}

// reason is an error without the names that the caller gives.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
