package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

// cleanupTimeout limits each of two waits of install after a signal: first for the goroutine
// that copies the program, then for the removal of the temporary file. Both may hang if the
// file system does not respond.
const cleanupTimeout = time.Second

// install copies the running program to path, or into path if that is a directory. It
// returns the path of the copy. SIGTERM, SIGINT, SIGQUIT and SIGHUP cancel the copying;
// install then returns a StopError. If install fails or is cancelled, it removes its
// temporary file.
func install(inbox *signals.Inbox, path string) (string, error) {
	i := installer{path: path}
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	done := make(chan error, 1)
	go func() { done <- i.run(ctx) }()
	select {
	case err := <-done:
		return i.path, err
	case sig := <-inbox.Control:
		stop(supervisor.StopError{Signal: sig.(syscall.Signal)})
	}
	select {
	case err := <-done:
		return i.path, err
	case <-time.After(cleanupTimeout):
	}
	// The goroutine hangs in a system call, such as fsync on a slow disk. Unlinking the
	// temporary file may still work, but may hang too.
	removed := make(chan struct{})
	go func() {
		i.remove()
		close(removed)
	}()
	select {
	case <-removed:
	case <-time.After(cleanupTimeout):
	}
	return path, context.Cause(ctx)
}

type installer struct {
	path string
	temp atomic.Pointer[string] // the name of the temporary file; nil: not created yet
}

// run writes a temporary file and renames it, so that path never refers to an
// incomplete program, even if several processes install at the same time.
func (i *installer) run(ctx context.Context) error {
	if info, err := os.Stat(i.path); err == nil && info.IsDir() {
		i.path = filepath.Join(i.path, "usher")
	}
	if err := checkReplaceable(i.path); err != nil {
		return err
	}
	from, err := openSelf()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := i.createTemp()
	if err != nil {
		return fmt.Errorf("cannot write in %s: %w", filepath.Dir(i.path), reason(err))
	}
	err = copyProgram(ctx, to, from)
	// The file is closed before it is renamed, because execve fails with ETXTBSY while a
	// file is open for writing. On NFS, close may report the error of an earlier write.
	if closeErr := to.Close(); err == nil {
		err = closeErr
	}
	stopped := context.Cause(ctx)
	if err == nil && stopped == nil {
		err = os.Rename(to.Name(), i.path)
	}
	if err != nil || stopped != nil {
		i.remove()
	}
	if stopped != nil {
		return stopped
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", i.path, reason(err))
	}
	// fsync of the directory makes the rename durable.
	if dir, err := os.Open(filepath.Dir(i.path)); err == nil {
		_ = dir.Sync()
		dir.Close()
	}
	return nil
}

// checkReplaceable returns an error unless path is a regular file or does not exist. It
// refuses a symbolic link even if the link points to a regular file: rename(2) would replace
// the link itself, and another container that shares the volume may need it.
func checkReplaceable(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().IsRegular() {
		return nil // if Lstat has failed with an error other than ENOENT, creating the file will fail too
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("cannot write %s: it is a symbolic link: write the path of the file itself, or remove the link", path)
	}
	what := "a special file"
	for mode, name := range map[fs.FileMode]string{fs.ModeDir: "a directory", fs.ModeNamedPipe: "a named pipe", fs.ModeSocket: "a socket", fs.ModeDevice: "a device"} {
		if info.Mode()&mode != 0 {
			what = name
		}
	}
	return fmt.Errorf("cannot write %s: it is %s, and only a regular file is replaced", path, what)
}

// createTemp creates the temporary file in the directory of path, because rename(2) works
// only within one file system.
func (i *installer) createTemp() (*os.File, error) {
	for try := 0; ; try++ {
		name := filepath.Join(filepath.Dir(i.path), fmt.Sprintf(".usher-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), try))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			i.temp.Store(&name)
		}
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

func (i *installer) remove() {
	if name := i.temp.Load(); name != nil {
		_ = os.Remove(*name)
	}
}

// copyProgram copies the program and makes the copy executable for everybody, whatever the
// umask is. It copies the program in parts, and checks ctx after each part.
func copyProgram(ctx context.Context, to, from *os.File) error {
	for {
		_, err := io.CopyN(to, from, 1<<20)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := to.Chmod(0o755); err != nil {
		return err
	}
	return to.Sync()
}

// openSelf opens the running program through /proc. Without /proc it uses the path that
// was passed to execve(2).
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

// executedAs returns the path that was passed to execve(2), from the auxiliary vector
// (getauxval(3)).
func executedAs() string {
	pairs, err := unix.Auxv()
	if err != nil {
		return ""
	}
	const atExecFn = 31 // AT_EXECFN: a pointer to a string on the initial stack
	for _, pair := range pairs {
		if pair[0] == atExecFn {
			return unix.BytePtrToString(*(**byte)(unsafe.Pointer(&pair[1])))
		}
	}
	return ""
}

// reason returns the errno in err, without the operation and path of an os.PathError,
// because the caller's message names the path. If err contains no errno, it returns err.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
