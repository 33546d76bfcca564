package probes

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// fileThreads makes the system calls that look up a path: for file targets, unix sockets, the
// files of options and the system's CA certificates.
//
// If a file system does not respond (for example because its NFS or FUSE server is gone),
// such a call sleeps in the kernel and blocks its thread. No context can end the call. The
// attempt ends with its timeout, but the thread stays blocked until the file system
// responds. If every attempt blocked another thread, the process would reach the pids limit
// of its cgroup, and the Go runtime crashes when it cannot create a thread. Therefore one
// thread makes all calls, one after the other:
//
//   - When a call has taken slowCall (100 ms), another thread takes over the waiting calls.
//   - A call on a mount on which another call hangs does not start. It waits until the other
//     call returns or its own attempt times out. So a mount that does not respond blocks
//     one thread, however many targets are on it, and delays calls on other mounts once, by
//     slowCall.
//   - There are at most MaxFileThreads threads. When each of them hangs on a different
//     mount, all other calls wait.
type fileThreads struct {
	mu      sync.Mutex
	waiting []*fileCall
	serving *fileCall            // the running call of the thread that takes calls from waiting; nil: there is no such thread
	hanging map[*fileCall]string // the calls of all other threads, and the mount on which each call hangs

	mounts   mountTable // the mounts at the time mountsAt
	mountsAt time.Time
}

// MaxFileThreads is the maximum number of threads that this package uses for system calls that
// look up a path. It is two, so that while one thread hangs on a mount that does not respond,
// the other one still serves the other mounts.
const MaxFileThreads = 2

const (
	slowCall = 100 * time.Millisecond
	// refreshMounts reads the table of mounts again if it is older than mountsAge.
	mountsAge = time.Second
)

// The whole process shares the variable files, because the pids limit counts all threads
// of the process.
var files fileThreads

// A fileCall is one call of fileThreads.run. The fields at and abandoned are guarded by
// fileThreads.mu.
type fileCall struct {
	path      string
	do        func() error
	undo      func()
	done      chan error // buffered, because run may return before the call ends
	at        string     // the file or directory that is being looked up
	abandoned bool       // the method run has returned, because the attempt has ended
}

// A fileTimeoutError reports that an attempt timed out while fileThreads.run waited for a
// call.
type fileTimeoutError struct{ timeoutError }

func (t fileTimeoutError) Error() string {
	return "no response from the file system within " + time.Duration(t.timeoutError).String()
}

// run calls the function do on a thread of f, and returns the error of do. path is the file
// or socket that do uses. If ctx ends first, run returns a fileTimeoutError, or the cause
// of ctx if that cause is not a timeout. If do succeeds after run has returned, the
// function undo is called. undo may be nil and must not block.
func (f *fileThreads) run(ctx context.Context, path string, do func() error, undo func()) error {
	c := &fileCall{path: path, do: do, undo: undo, at: "/", done: make(chan error, 1)}
	f.mu.Lock()
	f.waiting = append(f.waiting, c)
	f.startThread()
	f.mu.Unlock()
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case err := <-c.done: // the call and ctx ended at the same time
		return err
	default:
	}
	c.abandoned = true
	if i := slices.Index(f.waiting, c); i >= 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
	}
	if t, ok := context.Cause(ctx).(timeoutError); ok {
		return hintedError{fileTimeoutError{t}, hintMount}
	}
	return context.Cause(ctx)
}

// startThread starts a thread for the waiting calls if no thread takes calls, one of the
// calls may start, and there are fewer than MaxFileThreads threads. The caller holds f.mu.
func (f *fileThreads) startThread() {
	if f.serving != nil || len(f.hanging) >= MaxFileThreads {
		return
	}
	if f.serving = f.take(); f.serving != nil {
		go f.serve(f.serving)
	}
}

// take removes and returns the first waiting call that is not on a mount on which another
// call hangs. It returns nil if there is none. The caller holds f.mu.
func (f *fileThreads) take() *fileCall {
	i := slices.IndexFunc(f.waiting, func(c *fileCall) bool {
		return len(f.hanging) == 0 || f.isFree(f.mounts.of(c.at))
	})
	if i < 0 {
		return nil
	}
	c := f.waiting[i]
	f.waiting = slices.Delete(f.waiting, i, i+1)
	return c
}

// isFree reports whether no call hangs on mount. The caller holds f.mu.
func (f *fileThreads) isFree(mount string) bool {
	for _, hangs := range f.hanging {
		if hangs == mount {
			return false
		}
	}
	return true
}

// serve makes the call that it is given. Then it makes each call that finish returns, until
// finish returns nil.
func (f *fileThreads) serve(next *fileCall) {
	for next != nil {
		c := next // a copy, because the timer may call markHanging after next has changed
		slow := time.AfterFunc(slowCall, func() { f.markHanging(c) })
		f.refreshMounts()
		reached := followPath(c.path, func(at string) bool { return f.enter(c, at) })
		var err error
		if reached {
			err = c.do()
		}
		slow.Stop()
		next = f.finish(c, reached, err)
	}
}

// finish passes the result of c to run, which waits for it. If run has already returned and
// the call has succeeded, finish calls undo instead. If the call did not start (reached is
// false), because another call hangs on its mount, finish puts it back into waiting. It returns
// the thread's next call, or nil if the thread must end.
func (f *fileThreads) finish(c *fileCall, reached bool, err error) *fileCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !c.abandoned && reached:
		c.done <- err
	case !c.abandoned:
		f.waiting = append(f.waiting, c)
	case reached && err == nil && c.undo != nil:
		c.undo()
	}
	if f.serving != c {
		delete(f.hanging, c)
		if f.serving != nil { // another thread has taken over the waiting calls, so this one must end
			return nil
		}
	}
	f.serving = f.take()
	return f.serving
}

// enter sets c.at, the path that c looks up next. It returns false if another call hangs on
// the mount of this path. In that case c must not look it up.
func (f *fileThreads) enter(c *fileCall, at string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.at = at
	if len(f.hanging) == 0 {
		return true
	}
	mount := f.mounts.of(at)
	on, slow := f.hanging[c]
	if slow && on == mount {
		return true // c itself is the call that hangs on this mount
	}
	free := f.isFree(mount)
	if slow && free {
		f.hanging[c] = mount
		f.startThread() // for the calls that wait for the mount that c has left
	}
	return free
}

// markHanging records that c hangs, and lets another thread take over the waiting calls. It
// reads no file, because a read could block a further thread.
func (f *fileThreads) markHanging(c *fileCall) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.serving != c {
		return // the call has returned in the meantime
	}
	if f.hanging == nil {
		f.hanging = map[*fileCall]string{}
	}
	f.hanging[c] = f.mounts.of(c.at)
	f.serving = nil
	f.startThread()
}

// refreshMounts reads the table of mounts again if the table is old, because a new mount
// may have replaced a mount that does not respond.
func (f *fileThreads) refreshMounts() {
	f.mu.Lock()
	old := time.Since(f.mountsAt) > mountsAge
	f.mu.Unlock()
	if !old {
		return
	}
	mounts := readMounts()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mounts, f.mountsAt = mounts, time.Now()
}

// A mountTable lists the mounts of this namespace. A mount that hides another mount comes
// after that mount. The table is empty if /proc cannot be read.
type mountTable []struct{ id, point string }

// mountInfo is the path of the file that proc_pid_mountinfo(5) describes. Tests change it.
var mountInfo = "/proc/self/mountinfo"

func readMounts() mountTable {
	text, err := os.ReadFile(mountInfo)
	if err != nil {
		return nil
	}
	return parseMounts(string(text))
}

func parseMounts(text string) (t mountTable) {
	for line := range strings.Lines(text) {
		// The fields are ID, parent, device, root, mount point, …
		if fields := strings.Fields(line); len(fields) > 4 {
			t = append(t, struct{ id, point string }{fields[0], unescapeOctal(fields[4])})
		}
	}
	return t
}

// unescapeOctal replaces the escapes in a mount point, such as \040 for a space.
func unescapeOctal(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b = append(b, byte(c))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// of returns the ID of the mount that contains path. If the table is empty, it returns the
// first directory of path instead, as if each directory in / were a mount.
func (t mountTable) of(path string) string {
	if len(t) == 0 {
		top, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		return "/" + top
	}
	id, length := "", -1
	for _, m := range t {
		below := path == m.point || strings.HasPrefix(path, strings.TrimSuffix(m.point, "/")+"/")
		if below && len(m.point) >= length {
			id, length = m.id, len(m.point)
		}
	}
	return id
}

// followPath looks up path step by step. Before each step it calls enter with the file or
// directory to be looked up. It follows symbolic links, because a link may lead to another
// mount. If enter returns false, followPath stops and returns false. It ignores errors,
// because serve calls fileCall.do afterwards, and do returns them.
func followPath(path string, enter func(at string) bool) bool {
	const maxLinks = 40 // the kernel's limit, path_resolution(7)
	dir, rest := "/", strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		at := filepath.Join(dir, name)
		if !enter(at) {
			return false
		}
		to, err := os.Readlink(at)
		switch {
		case err == nil && links == maxLinks:
			return true
		case err == nil:
			links++
			rest = append(strings.Split(to, "/"), rest...)
			if filepath.IsAbs(to) {
				dir = "/"
			}
		case errors.Is(err, syscall.EINVAL): // EINVAL: it is not a link
			dir = at
		default:
			return true
		}
	}
	return true
}
