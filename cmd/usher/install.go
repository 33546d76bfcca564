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

// installPatience is how long a stopped installation may take to clean up. It ends
// sooner unless the file system hangs.
const installPatience = time.Second

// install copies the running program to path, or into it if it is a directory,
// and returns where it is then. A stop signal ends it with a StopError. Whatever
// fails leaves nothing behind.
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
	case <-time.After(installPatience):
	}
	// A system call hangs, such as fsync on a slow disk. Removing the name may work
	// all the same, but may hang as well.
	removed := make(chan struct{})
	go func() {
		i.remove()
		close(removed)
	}()
	select {
	case <-removed:
	case <-time.After(installPatience):
	}
	return path, context.Cause(ctx)
}

type installer struct {
	path string
	temp atomic.Pointer[string] // the name of a file that is not complete yet
}

// run writes a temporary file and renames it, so that nobody ever sees a part of
// the program at path, and several may install at once.
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
	err = fill(ctx, to, from)
	// Closed before it is renamed: execve fails with ETXTBSY while a descriptor is
	// open for writing. An error of close is one of writing (NFS).
	if e := to.Close(); err == nil {
		err = e
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
	// Make the new name durable, where the file system allows it.
	if dir, err := os.Open(filepath.Dir(i.path)); err == nil {
		_ = dir.Sync()
		dir.Close()
	}
	return nil
}

// checkReplaceable refuses to replace anything but a regular file. A symbolic link
// is refused too, wherever it leads: /dev/stdout is one, and in a volume that
// several containers share it may have been made by somebody else.
func checkReplaceable(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().IsRegular() {
		return nil // creating the file tells what is wrong with the path
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

// createTemp creates a file with a new name in the directory of path.
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

// fill copies the program into to, which anybody may execute then, whatever the
// umask. It copies in parts, to notice the end of ctx.
func fill(ctx context.Context, to, from *os.File) error {
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
