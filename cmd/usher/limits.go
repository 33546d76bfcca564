package main

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/supervisor"
)

// The Go runtime ends the process with a trace where it gets no descriptor or no
// thread. So limits that are too low are found before it asks for them.

// descriptorsNeeded are three pipes for signals, the runtime's epoll(7) instance
// and eventfd(2), and the pipe by which a child reports that its exec failed.
const descriptorsNeeded = 3*2 + 2 + 2

// checkDescriptors returns an error unless so many can be opened.
func checkDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil
	}
	free := 0
	for fd := 0; free < descriptorsNeeded; fd++ {
		if uint64(fd) >= limit.Cur {
			return fmt.Errorf("usher needs %d file descriptors, the limit of %d leaves %d (RLIMIT_NOFILE, ulimit -n)", descriptorsNeeded, limit.Cur, free)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			free++
		}
	}
	return nil
}

// reportTooFew prints the error of a missing descriptor and returns the exit status.
// It uses no timer and no file of package os: for these the runtime would open
// its epoll instance.
func reportTooFew(err error) int {
	line := "error: " + err.Error() + "\n"
	stderr := []unix.PollFd{{Fd: 2, Events: unix.POLLOUT}}
	if n, _ := unix.Poll(stderr, 0); n == 1 { // else the write might block
		_, _ = syscall.Write(2, []byte("usher: "+line))
	}
	writeIfEmpty(defaultTerminationLog, line)
	return supervisor.CodeFault
}

// checkPids returns an error unless the container's pids limit has room for
// usher's own threads and the app. On a host the limit is not in one of these
// files, and is rarely this low.
func checkPids(threads int) error {
	for _, dir := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/pids/"} { // cgroup v2, v1
		limit, ok := readNumber(dir + "pids.max")
		if !ok {
			continue
		}
		if limit > threads {
			return nil
		}
		return fmt.Errorf("usher needs %d threads and the app's process, the container's pids limit is %d", threads, limit)
	}
	return nil
}

// readNumber reads a file of one number; false if it has another content.
func readNumber(path string) (int, bool) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer syscall.Close(fd)
	var b [32]byte
	n, err := syscall.Read(fd, b[:])
	if err != nil {
		return 0, false
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	return number, err == nil
}
