package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/supervisor"
)

// If the Go runtime cannot get a descriptor or a thread that it needs, it prints a trace and
// ends the process. So usher checks the limits first, and prints an error instead.

// minDescriptors is the number of descriptors that usher opens without any flags: three
// pipes for signals (on amd64 and arm64), the runtime's epoll(7) instance and eventfd(2), and
// the pipe by which a child reports that its exec failed.
const minDescriptors = 3*2 + 2 + 2

// neededDescriptors returns how many descriptors usher opens with these options, if at most
// one target at a time is probed or run.
func neededDescriptors(o *options) int {
	n := minDescriptors
	if o.health != "" {
		n += 2 // the listening socket and one connection
	}
	if o.notifySocket != "" {
		n++ // a socket, to send a message to the service manager
	}
	if runsCommands(&o.config) {
		n += 4 // the pipe for the command's output, /dev/null, and the working directory
	} else if len(allTargets(&o.config)) > 0 {
		n++ // the socket or the file of a target
	}
	return n
}

// maxConnections returns how many connections of --health may be open at a time, so that
// enough descriptors are left for hooks and probes. A limit above 1024 is enough for all
// connections that usher lets wait (maxSilent and maxWaiting).
func maxConnections(o *options) int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1024 {
		return math.MaxInt32
	}
	return max(1, countFree(limit.Cur, math.MaxInt)-neededDescriptors(o))
}

// checkDescriptors returns an error if usher cannot open minDescriptors descriptors, or
// cannot make an epoll instance and add an eventfd to it. The Go runtime needs both. A sandbox
// may refuse these system calls, and epoll_create1(2) and eventfd(2) fail with ENFILE if the
// whole system has too many open files.
func checkDescriptors() error {
	if err := checkFileLimit(minDescriptors); err != nil {
		return err
	}
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("usher cannot make an epoll instance: %w", err)
	}
	defer syscall.Close(poll)
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("usher cannot make an eventfd: %w", err)
	}
	defer syscall.Close(event)
	if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		return fmt.Errorf("usher cannot use its epoll instance: %w", err)
	}
	return nil
}

// checkFileLimit returns an error unless usher can open the given number of descriptors.
func checkFileLimit(needed int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil
	}
	if free := countFree(limit.Cur, needed); free < needed {
		return fmt.Errorf("usher needs %d file descriptors, the limit of %d leaves %d (RLIMIT_NOFILE, ulimit -n)", needed, limit.Cur, free)
	}
	return nil
}

// countFree returns how many descriptors below limit are not in use. It stops counting at
// enough.
func countFree(limit uint64, enough int) (free int) {
	for fd := uint64(0); fd < limit && free < enough; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			free++
		}
	}
	return free
}

// reportTooFew prints the error of checkDescriptors or signals.Open, writes it to the
// termination log at path, and returns the exit status. It uses no timer and no os.File. For
// these the runtime opens an epoll instance, and if that fails, the runtime ends the process
// with a trace.
func reportTooFew(err error, path string) int {
	line := "error: " + err.Error() + "\n"
	writeUnlessFull([]byte("usher: " + line))
	writeIfEmpty(path, line)
	return supervisor.CodeFault
}

// reportLimit logs the error of makeThreads and returns usher's exit status. It starts no
// goroutine, because the runtime may start a thread to run a goroutine, and the limit may
// not allow that thread.
func reportLimit(o *options, err error) int {
	out := &output{fd: 2, wake: make(chan struct{}, 1), notice: textNotice}
	log := newLogger(out, *o)
	log.log(supervisor.Event{Kind: limitTooLow, Err: err})
	for piece, ok := out.take(); ok; piece, ok = out.take() {
		writeUnlessFull(piece.text)
	}
	writeIfEmpty(cmp.Or(log.termination.path, defaultTerminationLog), log.termination.text.String())
	return supervisor.CodeFault
}

// writeUnlessFull writes text to stderr, unless the write would block.
func writeUnlessFull(text []byte) {
	stderr := []unix.PollFd{{Fd: 2, Events: unix.POLLOUT}}
	if n, _ := unix.Poll(stderr, 0); n == 1 {
		_, _ = syscall.Write(2, text)
	}
}

// inheritsFiles reports whether usher has inherited descriptors besides 0, 1 and 2. A
// close-on-exec descriptor does not count: execve(2) closes such descriptors, so this process
// itself has opened it. inheritsFiles checks only the descriptors 3 to 22, because programs
// pass descriptors from 3 on without large gaps.
func inheritsFiles() bool {
	for fd := uintptr(3); fd < 3+2*minDescriptors; fd++ {
		if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			return true
		}
	}
	return false
}

// checkPids returns an error if a limit on processes is too low. The limit must allow the
// given number of threads for usher, and one process for the app. If commands is true, the
// limit must allow one more process, for the command of a probe or hook.
func checkPids(threads int, commands bool) error {
	others, what := 1, "the app's process"
	if commands {
		others, what = 2, "the processes of the app and of one command"
	}
	refuse := func(limit string, n int) error {
		return fmt.Errorf("usher needs %d threads and %s, %s is %d", threads, what, limit, n)
	}
	for _, dir := range pidsCgroups() {
		limit, ok := readNumber(dir + "pids.max") // ok is false for "max", which means no limit
		if !ok {
			continue
		}
		if limit < threads+others {
			return refuse("the container's pids limit", limit)
		}
		if used, ok := readNumber(dir + "pids.current"); ok && limit-used < threads+others-countThreads() {
			return fmt.Errorf("%w, and %d are in use", refuse("the container's pids limit", limit), used)
		}
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NPROC, &limit) != nil || limit.Cur > math.MaxInt32 || os.Geteuid() == 0 {
		return nil // RLIMIT_NPROC does not apply to root (setrlimit(2)); for root of a user namespace it does, but is not checked
	}
	const userLimit = "the limit of the user's processes (RLIMIT_NPROC, ulimit -u)"
	if limit.Cur < uint64(threads+others) {
		return refuse(userLimit, int(limit.Cur))
	}
	if !canFork(limit, threads+others-countThreads()) {
		return fmt.Errorf("%w, and too many are in use", refuse(userLimit, int(limit.Cur)))
	}
	return nil
}

// canFork reports whether RLIMIT_NPROC allows n more processes or threads. The kernel compares
// this limit with the number of all processes of the user, also those in other containers,
// and usher cannot read that number. So canFork lowers the limit by n-1 and forks once: that
// succeeds if n forks would succeed with the real limit. The child runs no program, because
// its execve(2) of / fails.
func canFork(limit unix.Rlimit, n int) bool {
	low := limit
	low.Cur -= uint64(max(0, n-1))
	if unix.Setrlimit(unix.RLIMIT_NPROC, &low) != nil {
		return true
	}
	_, err := syscall.ForkExec("/", []string{"/"}, &syscall.ProcAttr{})
	_ = unix.Setrlimit(unix.RLIMIT_NPROC, &limit)
	return err != syscall.EAGAIN
}

// pidsCgroups returns the directories of the cgroups that may have a pids limit for this
// process. In a container this is the root of the cgroup mount, version 2 or 1. On a host
// the root has no pids.max, so pidsCgroups returns the cgroup of the process and the
// ancestors of this cgroup.
func pidsCgroups() []string {
	const v2, v1 = "/sys/fs/cgroup/", "/sys/fs/cgroup/pids/"
	for _, root := range []string{v2, v1} {
		if unix.Access(root+"pids.max", unix.F_OK) == nil {
			return []string{root}
		}
	}
	var dirs []string
	for line := range strings.Lines(readText("/proc/self/cgroup")) { // cgroups(7)
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		root := v1
		switch {
		case len(fields) < 3:
			continue
		case fields[1] == "":
			root = v2
		case fields[1] != "pids":
			continue
		}
		for path := strings.Trim(fields[2], "/"); path != ""; {
			dirs = append(dirs, root+path+"/")
			i := strings.LastIndexByte(path, '/')
			path = path[:max(i, 0)]
		}
	}
	return dirs
}

// countThreads returns the number of threads of this process, or 1 without /proc.
func countThreads() int {
	var info unix.Stat_t
	if unix.Stat("/proc/self/task", &info) != nil {
		return 1
	}
	return max(1, int(info.Nlink)-2) // the links are one for each thread, one for ".", and one for the entry "task"
}

// readNumber reads a file that holds one number. It returns false if the file holds
// anything else or cannot be read.
func readNumber(path string) (int, bool) {
	number, err := strconv.Atoi(strings.TrimSpace(readText(path)))
	return number, err == nil
}

// readText returns the text of a file, at most 4096 bytes, or "" if it cannot read the
// file. It does not use os.ReadFile, because the runtime would open an epoll(7) instance for
// a file of a cgroup. If that fails, the runtime ends the process with a trace.
func readText(path string) string {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer syscall.Close(fd)
	var b [4096]byte
	n, err := syscall.Read(fd, b[:])
	if err != nil {
		return ""
	}
	return string(b[:n])
}
