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

// wait is the one wait4 of the program.
func (s *linux) wait() (int, syscall.WaitStatus, error) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG|syscall.WUNTRACED, nil)
		if err != syscall.EINTR {
			return pid, ws, err
		}
	}
}

func (s *linux) kill(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

// lookTime is how long the loop may be busy with looking for what must end.
const lookTime = 50 * time.Millisecond

func (s *linux) killOthers(sig syscall.Signal) {
	if s.pid1 {
		syscall.Kill(-1, sig)
		return
	}
	if !procIsOurs() {
		if s.app != 0 {
			syscall.Kill(-s.app, sig) // all that can be reached
		}
		return
	}
	// What forks while it is being looked for leaves a child that nobody has told
	// yet. So it is looked for in the quick way until there is nothing new, and
	// then in the sure one. But not for long: what forks faster than that fills the
	// table with its dead, which only the loop reaps. Its exits bring us back here.
	told := map[int]bool{}
	tell := func(pids []int) (news bool) {
		for _, pid := range pids {
			if !told[pid] {
				told[pid], news = true, true
				syscall.Kill(pid, sig)
			}
		}
		return news
	}
	for began := time.Now(); time.Since(began) < lookTime; {
		if !tell(childrenOfAll()) && !tell(descendants()) {
			return
		}
	}
}

func (s *linux) others() int {
	if !procIsOurs() {
		return -1
	}
	return len(descendants())
}

// procIsOurs reports whether /proc shows our own PID namespace: after unshare(1)
// without a new mount it shows another one's numbers.
func procIsOurs() bool {
	self, err := os.Readlink("/proc/self")
	return err == nil && self == strconv.Itoa(os.Getpid())
}

// descendants are all processes below us that have not ended, from a look at
// every process there is. As a subreaper we are the parent of every orphan among
// them, so none is missed for having lost its parent.
func descendants() []int {
	if !procIsOurs() {
		return nil
	}
	children := map[int][]int{}
	for _, pid := range numbersIn("/proc") {
		if parent, dead, ok := parentOf(pid); ok && !dead {
			children[parent] = append(children[parent], pid)
		}
	}
	return below(os.Getpid(), func(pid int) []int { return children[pid] })
}

// childrenOfAll asks us for our children, and those for theirs (proc(5); a kernel
// with CONFIG_PROC_CHILDREN has that). It is as quick as our own tree is small,
// however crowded the machine; but one that ends meanwhile may hide another.
func childrenOfAll() []int {
	return below(os.Getpid(), func(pid int) (children []int) {
		tasks := "/proc/" + strconv.Itoa(pid) + "/task/"
		for _, tid := range numbersIn(tasks) {
			list, _ := os.ReadFile(tasks + strconv.Itoa(tid) + "/children")
			for word := range strings.FieldsSeq(string(list)) {
				child, err := strconv.Atoi(word)
				if _, dead, ok := parentOf(child); err == nil && ok && !dead {
					children = append(children, child)
				}
			}
		}
		return children
	})
}

// below is the tree under pid, without itself.
func below(pid int, children func(int) []int) []int {
	var all []int
	for next := children(pid); len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		next = append(next, children(next[0])...)
	}
	return all
}

// numbersIn lists the entries of a directory that are numbers, in order; none
// where there is no such directory.
func numbersIn(dir string) []int {
	entries, _ := os.ReadDir(dir)
	var all []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all) // "10" comes before "3" there
	return all
}

// parentOf reads /proc/PID/stat (proc(5)): the name in parentheses may hold any
// character, so the fields are counted from the last closing one.
func parentOf(pid int) (parent int, dead, ok bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false, false
	}
	_, rest, _ := strings.Cut(string(stat[max(0, bytes.LastIndexByte(stat, ')')):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0, false, false
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, fields[0] == "Z" || fields[0] == "X", err == nil
}
