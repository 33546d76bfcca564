package supervisor

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// wait makes the only call of wait4 in the program. With WUNTRACED and WCONTINUED it also
// reports that a child was stopped or continued, because an app that is stopped needs a
// SIGCONT after its stop signal.
func (s *linux) wait() (int, syscall.WaitStatus, error) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG|syscall.WUNTRACED|syscall.WCONTINUED, nil) //nolint:forbidigo // the only call of wait4
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

// listProcesses reads /proc. If usher is PID 1, the list has every process except usher and
// zombies. So it includes processes started by "docker exec", which are not descendants of
// usher.
func (s *linux) listProcesses(ctx context.Context) func() ([]proc, bool) {
	pid1 := s.pid1
	return func() ([]proc, bool) {
		defer s.reads.take()()
		if !procIsOurs() {
			return nil, false
		}
		var procs []proc
		if pid1 {
			procs = slices.DeleteFunc(livingProcesses(ctx), func(p proc) bool { return p.pid == 1 })
		} else {
			procs = descendants(ctx)
		}
		return markFilters(ctx, procs), ctx.Err() == nil
	}
}

// killOthers needs only one system call if usher is PID 1. No process can escape from
// kill(-1) by forking, because the kernel holds tasklist_lock during kill(-1), and
// fork(2) needs the same lock.
func (s *linux) killOthers(thorough bool) func() {
	switch {
	case s.pid1 || !procIsOurs():
		s.signalAll(syscall.SIGKILL)
		return func() {}
	case thorough:
		return func() {
			defer s.reads.take()()
			killDescendants()
		}
	}
	return func() {
		defer s.reads.take()()
		killChildren()
	}
}

// killTime limits one call of killChildren, which could otherwise run for ever: children may
// fork and exit faster than it finds them. The next round of killLeftovers calls it again.
const killTime = 50 * time.Millisecond

// killChildren kills this process's children, and repeats that as long as it finds new
// children. When a child has exited, its own children become children of this process, so
// killLeftovers calls killChildren in rounds until no children are left. killChildren
// reads only the kernel's list of children, so it stays fast if the machine has many
// other processes.
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

// killDescendants kills all descendants of this process. It searches all of /proc, because
// killChildren can miss processes:
//   - A kernel without CONFIG_PROC_CHILDREN has no list of children.
//   - The list may lack a child while another child exits (proc(5)).
//   - If a child survives SIGKILL, its own children do not become children of this
//     process, so they are not in the list.
func killDescendants() {
	for _, p := range descendants(context.Background()) {
		syscall.Kill(p.pid, syscall.SIGKILL)
	}
}

// listedChildren returns this process's children as the kernel lists them.
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

// procIsOurs reports whether /proc shows the PIDs of our own PID namespace. After
// "unshare --pid" without a new mount of /proc it shows the PIDs of the parent namespace.
func procIsOurs() bool {
	self, err := os.Readlink("/proc/self")
	return err == nil && self == strconv.Itoa(os.Getpid())
}

// livingProcesses returns all processes in /proc that are not zombies. It stops when ctx
// ends, because only one goroutine at a time may scan /proc (linux.reads), and killOthers
// must not wait long for its turn.
func livingProcesses(ctx context.Context) []proc {
	var all []proc
	for _, pid := range numericEntries("/proc") {
		if ctx.Err() != nil {
			break
		}
		if p, ok := readStat(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

// descendants returns the living descendants of this process. It also finds orphans
// if this process is a subreaper, because orphans are its children then.
func descendants(ctx context.Context) []proc {
	children := map[int][]proc{}
	for _, p := range livingProcesses(ctx) {
		children[p.parent] = append(children[p.parent], p)
	}
	var all []proc
	for next := children[os.Getpid()]; len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		next = append(next, children[next[0].pid]...)
	}
	return all
}

// numericEntries returns the names in a directory that are numbers, in ascending order.
// It returns nil if the directory cannot be read.
func numericEntries(dir string) []int {
	entries, _ := os.ReadDir(dir)
	var all []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all) // ReadDir sorts names as text, with "10" before "3"
	return all
}

// readStat reads /proc/PID/stat (proc(5)). It returns false if the process does not exist
// or is a zombie. The process's name is in parentheses and may itself contain spaces and
// parentheses, so fields holds the fields after the last closing parenthesis: 0 is the
// state, 1 ppid, 2 pgrp, 19 the start time, 31 the caught signals (only signals 1 to 31).
func readStat(pid int) (proc, bool) {
	var buf [1024]byte // the 52 fields need less than 900 bytes
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

// readOnce reads at most len(buf) bytes of a file by one read(2), so that all of them are
// from the same moment. os.ReadFile would also be several times slower, and a scan may read
// thousands of files.
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

// markFilters sets filter on each child of usher whose stdin is a pipe, if that pipe is
// the stdout or stderr of another living process. Examples are tee and log formatters. A
// process whose descriptors cannot be read is not marked.
func markFilters(ctx context.Context, all []proc) []proc {
	readers := map[string][]int{} // key: a link such as "pipe:[4711]"; value: each i for which all[i] reads this pipe
	for i, p := range all {
		if ctx.Err() != nil {
			break
		}
		if in := descriptor(p.pid, "0"); p.own && strings.HasPrefix(in, "pipe:") {
			readers[in] = append(readers[in], i)
		}
	}
	if len(readers) == 0 {
		return all
	}
	for i, p := range all {
		if ctx.Err() != nil {
			break
		}
		for _, fd := range []string{"1", "2"} {
			for _, reader := range readers[descriptor(p.pid, fd)] {
				if reader != i {
					all[reader].filter = true
				}
			}
		}
	}
	return all
}

// descriptor returns the text of the symbolic link /proc/PID/fd/FD, such as
// "pipe:[4711]", or "" if the link cannot be read.
func descriptor(pid int, fd string) string {
	target, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/fd/" + fd)
	return target
}
