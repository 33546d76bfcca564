package supervisor

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownTerminal is a descriptor of the terminal whose foreground process group is
// ours, or -1. Only then is the foreground ours to give away.
func ownTerminal() int {
	for fd := range 3 {
		pgrp, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		// 0 is a group of another PID namespace: it could not be given back.
		if err != nil || pgrp <= 0 || pgrp != syscall.Getpgrp() {
			continue
		}
		if own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err == nil {
			return own
		}
	}
	return -1
}

// setForeground gives the terminal to a process group. To a caller in the
// background the kernel sends SIGTTOU, unless the calling thread blocks it.
func setForeground(tty, pgrp int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var set, old unix.Sigset_t
	set.Val[0] = 1 << (syscall.SIGTTOU - 1)
	unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old)
	unix.IoctlSetPointerInt(tty, unix.TIOCSPGRP, pgrp)
	unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
}

func (s *linux) appExited() {
	if s.terminal < 0 {
		return
	}
	setForeground(s.terminal, syscall.Getpgrp())
	syscall.Close(s.terminal)
	s.terminal = -1
}
