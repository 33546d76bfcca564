package supervisor

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/signals"
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

// ---- starting

func (s *linux) start(p process) (child, error) {
	if p.app {
		return s.startApp(p)
	}
	return s.startCommand(p)
}

// startApp hands the app everything that usher was given.
func (s *linux) startApp(p process) (child, error) {
	const closed = ^uintptr(0)
	files := []uintptr{0, 1, 2}
	for fd, was := range signals.ClosedFiles() {
		if was {
			files[fd] = closed
		}
	}
	for _, fd := range s.inherited {
		for len(files) < fd {
			files = append(files, closed)
		}
		files = append(files, uintptr(fd))
	}
	s.terminal = ownTerminal()
	argv, env := s.throughSelf(p)
	pid, err := s.fork(argv, env, files)
	if err != nil {
		return child{}, err
	}
	s.app = pid
	c := child{pid: pid, drained: func() {}}
	if s.terminal >= 0 {
		// From outside, because in the child there is no moment at which SIGTTOU
		// would not stop it; childStopped mends the race that is left.
		setForeground(s.terminal, pid)
		c.terminal = true
	}
	if p.detach {
		s.letGo()
	}
	return c, nil
}

// startCommand runs a hook's or a probe's command: nothing to read, and all
// that it prints goes line by line to p.output.
func (s *linux) startCommand(p process) (child, error) {
	in, err := nothingToRead()
	if err != nil {
		return child{}, &StartError{Name: p.argv[0], Err: err}
	}
	defer syscall.Close(in)
	var out [2]int
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		return child{}, &StartError{Name: p.argv[0], Err: err}
	}
	defer syscall.Close(out[1])

	pid, err := s.fork(p.argv, p.env, []uintptr{uintptr(in), uintptr(out[1]), uintptr(out[1])})
	if err != nil {
		syscall.Close(out[0])
		return child{}, err
	}
	// Only our end: the flag belongs to the open file, and the command's end is
	// another one.
	syscall.SetNonblock(out[0], true)
	c := newCopier(os.NewFile(uintptr(out[0]), "output"), p.output)
	s.copiers = append(slices.DeleteFunc(s.copiers, (*copier).hasEnded), c)
	go c.run()
	return child{pid: pid, drained: c.drain}, nil
}

// nothingToRead is /dev/null or, in an image without /dev, the end of a pipe
// that nobody writes to.
func nothingToRead() (int, error) {
	fd, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err == nil {
		return fd, nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return -1, err
	}
	syscall.Close(p[1])
	return p[0], nil
}

// fork starts argv in a process group of its own.
func (s *linux) fork(argv, env []string, files []uintptr) (pid int, err error) {
	attr := &syscall.ProcAttr{Dir: s.cwd, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}}
	err = s.run(argv, env, func(path string, argv []string) (err error) {
		pid, err = syscall.ForkExec(path, argv, attr)
		return err
	})
	return pid, err
}

// replace leaves the app what usher was given, and nothing of what it has made
// of it since.
func (s *linux) replace(p process) error {
	if !s.pid1 {
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	}
	for _, fd := range s.inherited {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	}
	env := p.env
	if i := slices.Index(env, listenPID+"self"); i >= 0 { // from throughSelf
		env = slices.Clone(env)
		env[i] = listenPID + strconv.Itoa(os.Getpid())
	}
	return s.run(p.argv, env, func(path string, argv []string) error {
		return syscall.Exec(path, argv, env)
	})
}

// run looks argv's command up as execvp(3) does, in PATH unless there is a
// slash, and executes it: going on over files that may not be executed, and
// through the shell for a script without an interpreter. It is run with the
// signal mask that usher was started with; usher's own threads have another.
func (s *linux) run(argv, env []string, execute func(path string, argv []string) error) error {
	last := &StartError{Name: argv[0], Err: errors.New("not found"), NotFound: true}
	for _, path := range s.candidates(argv[0], env) {
		// A look is cheaper than a fork, and PATH is mostly misses.
		var file syscall.Stat_t
		err := syscall.Stat(path, &file)
		exists := err == nil
		if exists {
			signals.AsInherited(func() { err = execute(path, argv) })
		}
		if err == syscall.ENOEXEC {
			signals.AsInherited(func() { err = execute("/bin/sh", append([]string{"sh", path}, argv[1:]...)) })
		}
		switch {
		case err == nil:
			return nil
		case err == syscall.ENOENT && exists:
			// execve(2) says so of a script or program whose interpreter is not there.
			last = &StartError{Name: argv[0], Err: errors.New("its interpreter or loader is missing")}
		case err == syscall.ENOENT || err == syscall.ENOTDIR || err == syscall.ENAMETOOLONG:
		case err == syscall.EACCES && file.Mode&syscall.S_IFMT == syscall.S_IFDIR:
			last = &StartError{Name: argv[0], Err: syscall.EISDIR}
		case err == syscall.EACCES:
			last = &StartError{Name: argv[0], Err: err}
		default:
			return &StartError{Name: argv[0], Err: err}
		}
	}
	return last
}

// listenPID names the process that the descriptors from 3 on are for
// (sd_listen_fds(3)): a program that finds another's pid there leaves them alone.
const listenPID = "LISTEN_PID="

// throughSelf is for an app whose LISTEN_PID is ours: it is to be its own, which
// is known only once it exists. So it is started as another usher, which becomes
// the app and, where we have written "self", says its pid. Without /proc to find
// usher in the variable stays as it is; and a command that is not there is
// reported by this usher, as ever.
func (s *linux) throughSelf(p process) (argv, env []string) {
	i := slices.Index(p.env, listenPID+strconv.Itoa(os.Getpid()))
	if i < 0 || len(p.self) == 0 || !executable(p.self[0]) ||
		!slices.ContainsFunc(s.candidates(p.argv[0], p.env), executable) {
		return p.argv, p.env
	}
	env = slices.Clone(p.env)
	env[i] = listenPID + "self"
	return append(slices.Clone(p.self), p.argv...), env
}

func executable(path string) bool { return unix.Access(path, unix.X_OK) == nil }

// candidates are the paths that name may mean, in order.
func (s *linux) candidates(name string, env []string) []string {
	if name == "" {
		return nil
	}
	if strings.Contains(name, "/") {
		return []string{s.absolute(name)}
	}
	dirs := "/bin:/usr/bin" // what the C libraries take without a PATH
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			dirs = value
			break
		}
	}
	var all []string
	for _, dir := range strings.Split(dirs, ":") {
		if dir != "" { // an empty entry is the working directory
			dir += "/"
		}
		all = append(all, s.absolute(dir+name)) // as it stands: a script finds it in its $0
	}
	return all
}

// absolute is for relative names once usher itself has gone to /.
func (s *linux) absolute(name string) string {
	if filepath.IsAbs(name) || s.cwd == "" {
		return name
	}
	return s.cwd + "/" + name
}

// letGo drops what only the app needs: whoever waits for the end of a pipe, or
// for a file system to become free, must not wait for usher. What stands in for
// stdin and stdout reads as empty and fails to write.
func (s *linux) letGo() {
	if cwd, err := syscall.Getwd(); err == nil && syscall.Chdir("/") == nil {
		s.cwd = cwd
	}
	for _, fd := range s.inherited {
		syscall.Close(fd)
	}
	s.inherited = nil
	null, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		if null, err = nothingToRead(); err != nil {
			return
		}
	}
	unix.Dup3(null, 0, unix.O_CLOEXEC)
	unix.Dup3(null, 1, unix.O_CLOEXEC)
	if null > 2 {
		syscall.Close(null)
	}
}

// ---- the terminal

// ownTerminal is a descriptor of the terminal in whose foreground we are, or -1.
// Only then is the foreground ours to give away.
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

// setForeground gives the terminal to a process group. For a caller in the
// background the kernel sends SIGTTOU unless the calling thread blocks it.
func setForeground(tty, pgrp int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var set, old unix.Sigset_t
	set.Val[0] = 1 << (syscall.SIGTTOU - 1)
	unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old)
	unix.IoctlSetPointerInt(tty, unix.TIOCSPGRP, pgrp)
	unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
}

func (s *linux) appGone() {
	if s.terminal < 0 {
		return
	}
	setForeground(s.terminal, syscall.Getpgrp())
	syscall.Close(s.terminal)
	s.terminal = -1
}

// ---- waiting and killing

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

// ---- output

// maxLine is where a line is cut that does not end.
const maxLine = 16 << 10

// drain is for what hooks have left running: what they printed before they
// ended is to be seen too.
func (s *linux) drain() {
	for _, c := range s.copiers {
		c.drain()
	}
}

// copier reads what a command prints, for as long as anything holds the other
// end: what a hook leaves running must not die of SIGPIPE.
type copier struct {
	r      *os.File
	output func([]byte)
	line   []byte
	asked  chan chan struct{} // drain's questions; 2: the hook's own and one at the end
	ended  chan struct{}      // closed at the end of the pipe
}

func newCopier(r *os.File, output func([]byte)) *copier {
	return &copier{r: r, output: output, asked: make(chan chan struct{}, 2), ended: make(chan struct{})}
}

func (c *copier) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// drain returns once everything that was in the pipe has been passed on. The
// question is asked before the reader is woken, and the reader rearms itself
// before it looks for questions: so each is answered.
func (c *copier) drain() {
	answer := make(chan struct{})
	select {
	case c.asked <- answer:
	case <-c.ended:
		return
	}
	c.r.SetReadDeadline(time.Unix(1, 0))
	select {
	case <-answer:
	case <-c.ended:
	}
}

func (c *copier) run() {
	defer c.r.Close()
	defer close(c.ended)
	defer c.flush()
	buf := make([]byte, 32<<10)
	for {
		n, err := c.r.Read(buf)
		c.add(buf[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !c.rest(buf) {
				return
			}
		case err != nil:
			return
		}
	}
}

// rest empties the pipe without waiting and answers those who have asked for it.
// It takes one pipe's full at the most: what is more has been written since. It
// reports false at the end of the pipe.
func (c *copier) rest(buf []byte) bool {
	const pipeSize = 64 << 10
	c.r.SetReadDeadline(time.Time{})
	var answers []chan struct{}
	for range len(c.asked) {
		answers = append(answers, <-c.asked)
	}
	open := true
	for total := 0; open && total < pipeSize; {
		n, err := c.readNow(buf)
		if err == syscall.EAGAIN {
			break
		}
		open = n > 0
		c.add(buf[:max(n, 0)])
		total += n
	}
	c.flush()
	for _, answer := range answers {
		close(answer)
	}
	return open
}

func (c *copier) readNow(buf []byte) (n int, err error) {
	raw, err := c.r.SyscallConn()
	if err != nil {
		return 0, err
	}
	raw.Read(func(fd uintptr) bool {
		for n, err = syscall.Read(int(fd), buf); err == syscall.EINTR; {
			n, err = syscall.Read(int(fd), buf)
		}
		return true
	})
	return n, err
}

func (c *copier) add(b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			c.line = append(c.line, b...)
			break
		}
		c.line = append(c.line, b[:i]...)
		c.output(c.line)
		c.line = c.line[:0]
		b = b[i+1:]
	}
	for len(c.line) >= maxLine {
		c.output(c.line[:maxLine])
		c.line = append(c.line[:0], c.line[maxLine:]...)
	}
}

func (c *copier) flush() {
	if len(c.line) > 0 {
		c.output(c.line)
		c.line = c.line[:0]
	}
}
