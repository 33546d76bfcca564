package supervisor

import (
	"strconv"
	"strings"
	"syscall"
)

// The kernel counts the processes that it has killed for lack of memory, separately for
// each memory cgroup. The count is the line oom_kill of memory.events (cgroup v2) or of
// memory.oom_control (v1, since Linux 4.13). The count includes kills because of the
// limit of a parent cgroup, or because the machine was out of memory.

// memoryCgroup is the memory cgroup of usher and its children.
type memoryCgroup struct {
	events string // the file with the count; empty if none was found
	limit  string // the file with the limit
	before int    // the count when the app was started
}

// outOfMemory reads files, which can block, so the loop calls it in a goroutine.
func (s *linux) outOfMemory() (killed int, limit int64) {
	defer s.reads.take()()
	return s.memory.killed()
}

// findMemoryCgroup finds the cgroup by its path in /proc/self/cgroup (cgroups(7)). In a
// container the file may show the cgroup's path on the host, although the container's own
// cgroup is mounted at /sys/fs/cgroup (v1: /sys/fs/cgroup/memory). So findMemoryCgroup tries
// the path from the file below the mount point first, and then the mount point itself. root
// is put in front of all paths; it is empty except in tests.
func findMemoryCgroup(root string) memoryCgroup {
	const mount = "/sys/fs/cgroup"
	v1, v2 := "/", "/"
	list, _ := readSmallFile(root + "/proc/self/cgroup")
	for line := range strings.Lines(list) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) < 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			switch controller {
			case "memory":
				v1 = fields[2]
			case "":
				v2 = fields[2]
			}
		}
	}
	for _, m := range []struct{ dir, events, limit string }{
		{mount + "/memory" + v1, "memory.oom_control", "memory.limit_in_bytes"},
		{mount + v2, "memory.events", "memory.max"},
		{mount + "/memory", "memory.oom_control", "memory.limit_in_bytes"},
		{mount, "memory.events", "memory.max"},
	} {
		m.dir = root + strings.TrimSuffix(m.dir, "/") + "/"
		if count, ok := readKills(m.dir + m.events); ok {
			return memoryCgroup{m.dir + m.events, m.dir + m.limit, count}
		}
	}
	return memoryCgroup{}
}

// killed returns the number of processes that the kernel has killed for lack of memory
// since the app was started, and the memory limit in bytes (0: there is no limit).
func (m memoryCgroup) killed() (n int, limit int64) {
	count, ok := readKills(m.events)
	if !ok {
		return 0, 0
	}
	text, _ := readSmallFile(m.limit)
	limit, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	// If there is no limit, the file has the word "max" (v2) or a number above noLimit (v1).
	if err != nil || limit >= noLimit {
		limit = 0
	}
	return max(0, count-m.before), limit
}

// noLimit is 1 EiB, more memory than any machine has. If there is no limit, cgroup v1
// reports a higher value, which depends on the page size.
const noLimit = 1 << 60

// readKills returns N from the line "oom_kill N" of a file.
func readKills(path string) (n int, ok bool) {
	text, ok := readSmallFile(path)
	if !ok {
		return 0, false
	}
	for line := range strings.Lines(text) {
		if count, found := strings.CutPrefix(line, "oom_kill "); found {
			n, err := strconv.Atoi(strings.TrimSpace(count))
			return n, err == nil
		}
	}
	return 0, false
}

// readSmallFile reads at most one page. It does not use os.ReadFile, because that makes
// additional system calls: the kernel supports poll on a cgroup's files, so the Go
// runtime registers the file with epoll(7).
func readSmallFile(path string) (string, bool) {
	if path == "" {
		return "", false
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer syscall.Close(fd)
	var b [4096]byte
	n, err := syscall.Read(fd, b[:])
	if err != nil {
		return "", false
	}
	return string(b[:n]), true
}
