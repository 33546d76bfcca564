package supervisor

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// linux is the real kernel. It needs nothing that a bare container may lack:
// where /proc or /dev is missing it does without.
type linux struct {
	pid1      bool
	terminal  int    // our own descriptor of the controlling terminal, or -1
	cwd       string // after chdir("/"): where we were started, for the hooks
	inherited []int  // descriptors from 3 on that are meant for the app
	app       int    // its pid, which is its process group's number too
	copiers   []*copier
	memory    memoryCgroup
}

func newSystem() kernel {
	return &linux{pid1: os.Getpid() == 1, terminal: -1, inherited: inheritedFiles()}
}

// inheritedFiles finds the descriptors from 3 on that we were started with, and
// marks them close-on-exec, so that the app gets them and no hook does.
// Everything that Go itself opens is close-on-exec already.
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

// openFiles lists the numbers that may be open: from /proc, else all numbers up
// to the usual limit.
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

func (s *linux) becomeSubreaper() (pid1, seesAll bool) {
	if s.pid1 {
		return true, true
	}
	// Before Linux 3.4 this fails, and orphans go to the real PID 1.
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	return false, procIsOurs()
}
