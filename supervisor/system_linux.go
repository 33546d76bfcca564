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
	cwd       string // once we have gone to /: where we were started, for the hooks
	inherited []int  // descriptors from 3 on that are meant for the app
	app       int    // its pid, which is its group's number too
	copiers   []*copier
	memory    memoryCgroup
}

func newSystem() kernel {
	return &linux{pid1: os.Getpid() == 1, terminal: -1, inherited: inheritedFiles()}
}

// inheritedFiles finds what we were started with beside the standard three, and
// marks it close-on-exec, so that the app gets it and no hook does. Everything
// that Go itself opens is close-on-exec already.
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

// openFiles lists the numbers that may be open: from /proc, else every number
// that is likely.
func openFiles() []int {
	const likely = 1024
	if fds := numbersIn("/proc/self/fd"); len(fds) > 0 {
		return fds
	}
	var fds []int
	for fd := range likely {
		fds = append(fds, fd)
	}
	return fds
}

func (s *linux) adopt() (pid1, seesAll bool) {
	if s.pid1 {
		return true, true
	}
	// Before Linux 3.4 this fails, and orphans go to the real PID 1: as before.
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	return false, procIsOurs()
}
