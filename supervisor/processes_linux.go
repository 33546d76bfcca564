package supervisor

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// wait is the one wait4 of the program. WCONTINUED, because a stopped app needs a
// SIGCONT with its stop signal, and one that somebody has continued does not.
func (s *linux) wait() (int, syscall.WaitStatus, error) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG|syscall.WUNTRACED|syscall.WCONTINUED, nil)
		if err != syscall.EINTR {
			return pid, ws, err
		}
	}
}

func (s *linux) kill(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

func (s *linux) group(pid int) int {
	pgid, err := syscall.Getpgid(pid)
	if err != nil {
		return pid
	}
	return pgid
}

func (s *linux) signalAll(sig syscall.Signal) {
	switch {
	case s.pid1:
		syscall.Kill(-1, sig)
	case s.app != 0:
		syscall.Kill(-s.app, sig)
	}
}

// look reads /proc. As PID 1 everything there but usher itself counts, also what
// entered the container by exec and is nobody's descendant here.
func (s *linux) look() func() ([]proc, bool) {
	pid1 := s.pid1
	return func() ([]proc, bool) {
		if !procIsOurs() {
			return nil, false
		}
		if pid1 {
			return markFilters(slices.DeleteFunc(livingProcesses(), func(p proc) bool { return p.pid == 1 })), true
		}
		return markFilters(descendants()), true
	}
}

// killOthers needs one system call as PID 1: kill(-1) and fork(2) exclude each
// other in the kernel (tasklist_lock), so nothing that forks escapes.
func (s *linux) killOthers(thorough bool) func() {
	switch {
	case s.pid1 || !procIsOurs():
		s.signalAll(syscall.SIGKILL)
		return func() {}
	case thorough:
		return killDescendants
	}
	return killChildren
}

// killTime bounds the pursuit of children that fork and exit faster than they are
// found. Their exits bring the loop back.
const killTime = 50 * time.Millisecond

// killChildren kills this process's children as soon as it has their pids, again as
// long as there are new ones. When a child is gone its own children become this
// process's, its exit brings the loop back here, and so on down the tree. This needs
// one small file however many other processes there are.
func killChildren() {
	killed := map[int]bool{}
	for began, found := time.Now(), true; found && time.Since(began) < killTime; {
		found = false
		for _, pid := range listedChildren() {
			if !killed[pid] {
				killed[pid], found = true, true
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// killDescendants is for what killChildren cannot reach: the kernel may have no list
// of children (CONFIG_PROC_CHILDREN), the list may miss one while another exits
// (proc(5)), and below a process that cannot be killed nothing moves up.
func killDescendants() {
	for _, p := range descendants() {
		syscall.Kill(p.pid, syscall.SIGKILL)
	}
}

// listedChildren are this process's children, as the kernel lists them.
func listedChildren() (children []int) {
	for _, tid := range numericEntries("/proc/self/task") {
		list, _ := os.ReadFile("/proc/self/task/" + strconv.Itoa(tid) + "/children")
		for word := range strings.FieldsSeq(string(list)) {
			if child, err := strconv.Atoi(word); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// procIsOurs reports whether /proc shows our own PID namespace: after unshare(1)
// without a new mount it shows another one's numbers.
func procIsOurs() bool {
	self, err := os.Readlink("/proc/self")
	return err == nil && self == strconv.Itoa(os.Getpid())
}

// livingProcesses are all processes in /proc that have not exited.
func livingProcesses() []proc {
	var all []proc
	for _, pid := range numericEntries("/proc") {
		if p, ok := readStat(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

// descendants are the living processes below this one. As a subreaper it is the
// parent of every orphan among them, so none is missed for having lost its parent.
func descendants() []proc {
	children := map[int][]proc{}
	for _, p := range livingProcesses() {
		children[p.parent] = append(children[p.parent], p)
	}
	var all []proc
	for next := children[os.Getpid()]; len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		next = append(next, children[next[0].pid]...)
	}
	return all
}

// numericEntries lists the entries of a directory that are numbers, in order;
// none where there is no such directory.
func numericEntries(dir string) []int {
	entries, _ := os.ReadDir(dir)
	var all []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all) // ReadDir sorts "10" before "3"
	return all
}

// readStat reads /proc/PID/stat (proc(5)); it is false for a process that is
// gone or has exited. The name in parentheses may hold any character, so the
// fields are counted from the last closing one: state, ppid and pgrp come first, the
// start time is the 20th, the caught signals are the 32nd (of those up to 32 only).
func readStat(pid int) (proc, bool) {
	var buf [1024]byte // 52 fields: less than 900 bytes
	stat := readOnce("/proc/"+strconv.Itoa(pid)+"/stat", buf[:])
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return proc{}, false
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 32 || fields[0] == "Z" || fields[0] == "X" {
		return proc{}, false
	}
	parent, err1 := strconv.Atoi(fields[1])
	group, err2 := strconv.Atoi(fields[2])
	start, err3 := strconv.ParseUint(fields[19], 10, 64)
	name := string(stat[open+1 : end])
	caught, err4 := strconv.ParseUint(fields[31], 10, 64)
	p := proc{procID: procID{pid, start}, parent: parent, group: group, name: name, own: parent == os.Getpid(), caught: caught}
	return p, err1 == nil && err2 == nil && err3 == nil && err4 == nil
}

// readOnce reads what fits into buf by one read(2), as proc(5) asks for. It is
// several times faster than os.ReadFile, and thousands of files may be read.
func readOnce(path string, buf []byte) []byte {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	n, err := syscall.Read(fd, buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// markFilters marks those of usher's children that read what another process prints,
// such as tee or a log formatter: their stdin is the pipe that is the other one's
// stdout or stderr. Of processes whose descriptors cannot be read none is marked.
func markFilters(all []proc) []proc {
	readers := map[string]int{} // of a pipe, as its link is called: index in all
	for i, p := range all {
		if in := descriptor(p.pid, "0"); p.own && strings.HasPrefix(in, "pipe:") {
			readers[in] = i
		}
	}
	if len(readers) == 0 {
		return all
	}
	for i, p := range all {
		for _, fd := range []string{"1", "2"} {
			if reader, piped := readers[descriptor(p.pid, fd)]; piped && reader != i {
				all[reader].filter = true
			}
		}
	}
	return all
}

// descriptor is what a descriptor of a process is open on, such as "pipe:[4711]".
func descriptor(pid int, fd string) string {
	target, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/fd/" + fd)
	return target
}
