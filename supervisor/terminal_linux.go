package supervisor

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownTerminal returns a new descriptor of the terminal on stdin, stdout or stderr, if usher's
// process group is the terminal's foreground group. Otherwise it returns -1, because an app
// that is started in the background must not take the terminal from the foreground group.
func ownTerminal() int {
	for fd := range 3 {
		pgrp, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		// pgrp 0 is a group outside our PID namespace. After the app's exit usher could not
		// make that group the foreground group again.
		if err != nil || pgrp <= 0 || pgrp != syscall.Getpgrp() {
			continue
		}
		if own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err == nil {
			return own
		}
	}
	return -1
}

// setForeground makes pgrp the terminal's foreground process group. The kernel sends
// SIGTTOU to a caller in the background, unless the calling thread blocks that signal.
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
