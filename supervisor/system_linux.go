package supervisor

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// linux implements the interface kernel with system calls. It works without /proc and
// /dev, because a container may not have them.
type linux struct {
	pid1      bool
	terminal  int    // a duplicated descriptor of the terminal in whose foreground usher was started; -1: none
	cwd       string // where commands start: usher's working directory from before it changed to /; "": usher has not changed it
	inherited []int  // inherited descriptors from 3 on, for the app
	app       int    // the app's pid, which is also the number of its process group; 0: not started
	copiers   []*copier
	memory    memoryCgroup

	// A goroutine in a system call that blocks occupies a thread, and cmd/usher creates all
	// its threads before the app starts. To need only a few threads, linux starts one command
	// at a time (commands), and lets only one goroutine at a time scan /proc, list sockets or
	// count the kills for lack of memory (reads). The start of the app does not wait for a
	// turn, so a command whose start blocks does not delay the app.
	commands, reads turn
}

// turn is a lock that one goroutine at a time can hold.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits until no other goroutine holds the turn, and takes it. The returned function
// releases it.
func (t turn) take() (end func()) {
	t <- struct{}{}
	return func() { <-t }
}

func newSystem() kernel {
	return &linux{pid1: os.Getpid() == 1, terminal: -1, inherited: inheritedFiles(), commands: newTurn(), reads: newTurn()}
}

// inheritedFiles returns the descriptors from 3 on that usher inherited, and sets
// close-on-exec on them, so that hooks do not get them. linux.startApp passes them to the
// app. A descriptor without close-on-exec must be an inherited one, because Go sets that
// flag on every descriptor that it opens.
func inheritedFiles() []int {
	var fds []int
	for _, fd := range openFiles() {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if fd > 2 && err == nil && flags&unix.FD_CLOEXEC == 0 {
			syscall.CloseOnExec(fd)
			fds = append(fds, fd)
		}
	}
	return fds
}

// openFiles returns the numbers of the open descriptors or, without /proc, all numbers
// below the usual RLIMIT_NOFILE.
func openFiles() []int {
	const usualLimit = 1024
	if fds := numericEntries("/proc/self/fd"); len(fds) > 0 {
		return fds
	}
	var fds []int
	for fd := range usualLimit {
		fds = append(fds, fd)
	}
	return fds
}

func (s *linux) becomeSubreaper() (pid1, seesAll bool, err error) {
	if s.pid1 {
		return true, true, nil
	}
	err = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	return false, procIsOurs(), err
}
