package supervisor

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/signals"
)

func (s *linux) start(p process) func() (child, error) {
	if p.app {
		return s.startApp(p)
	}
	return s.startCommand(p)
}

func (s *linux) started(p process, c child) {
	if !p.app {
		return
	}
	s.app = c.pid
	s.cwd = c.left
	if p.detach {
		s.releaseFiles()
	}
}

// startApp returns the function that starts the app (see kernel.start). The app gets the
// descriptors that usher inherited. A standard descriptor that was closed when usher was
// started is closed in the app too.
func (s *linux) startApp(p process) func() (child, error) {
	const closed = ^uintptr(0)
	files := []uintptr{0, 1, 2}
	for fd, was := range signals.InheritedClosedFDs() {
		if was {
			files[fd] = closed
		}
	}
	var above []int
	for _, fd := range s.inherited {
		if fd > maxFile() {
			above = append(above, fd)
			continue
		}
		for len(files) < fd {
			files = append(files, closed)
		}
		files = append(files, uintptr(fd))
	}
	s.terminal = ownTerminal()
	s.memory = findMemoryCgroup("")
	terminal, place := s.terminal, s.place()
	return func() (child, error) {
		argv, env := place.viaSelfExec(p)
		for _, fd := range above {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
			defer syscall.CloseOnExec(fd)
		}
		pid, err := place.fork(p, argv, env, files)
		if err != nil {
			return child{}, err
		}
		c := child{pid: pid, flush: func() {}}
		if terminal >= 0 {
			// The parent makes the app's group the foreground group, because the kernel
			// would stop a child that tries to do that itself (SIGTTOU). The kernel also
			// stops an app that uses the terminal before this call; childStopped then
			// continues the app.
			setForeground(terminal, pid)
			c.terminal = true
		}
		if p.detach {
			c.left = leaveDirectory()
		}
		return c, nil
	}
}

// maxFile returns the highest descriptor that ForkExec can pass on. In the child, ForkExec
// moves its own pipe to the second descriptor above the highest one that it passes on, and
// RLIMIT_NOFILE must allow that too. An inherited descriptor may be above the limit, because
// the limit may have been lowered after the descriptor was opened.
func maxFile() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur) - 3
}

// startCommand returns the function that starts a command of a hook or a probe (see
// kernel.start). The command's stdin is empty, and each line that it prints is passed to
// p.output.
func (s *linux) startCommand(p process) func() (child, error) {
	place := s.place()
	r, w, err := outputPipe()
	if err != nil {
		return func() (child, error) { return child{}, &StartError{Name: p.argv[0], Err: err} }
	}
	out := newCopier(r, p.output)
	s.copiers = append(slices.DeleteFunc(s.copiers, (*copier).hasEnded), out)
	go out.run()
	return func() (child, error) {
		defer syscall.Close(w)
		defer s.commands.take()()
		if p.ctx.Err() != nil { // ctx ended while this start waited for the start of another command
			return child{}, context.Cause(p.ctx)
		}
		in, err := emptyInput()
		if err != nil {
			return child{}, &StartError{Name: p.argv[0], Err: err}
		}
		defer syscall.Close(in)
		pid, err := place.fork(p, p.argv, p.env, []uintptr{uintptr(in), uintptr(w), uintptr(w)})
		if err != nil {
			return child{}, err
		}
		return child{pid: pid, flush: out.flush}, nil
	}
}

// outputPipe returns the two ends of a pipe. The reading end has O_NONBLOCK, because the
// Go runtime polls it. The writing end is another open file description without that
// flag, so the command's writes block as usual.
func outputPipe() (r *os.File, w int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, err
	}
	syscall.SetNonblock(p[0], true)
	r = os.NewFile(uintptr(p[0]), "output")
	// If epoll_ctl(2) fails, NewFile returns a file that the runtime does not poll. A Read of
	// an empty pipe would then fail with EAGAIN instead of waiting. SetReadDeadline fails for
	// such a file.
	if err := r.SetReadDeadline(time.Time{}); err != nil {
		r.Close()
		syscall.Close(p[1])
		return nil, -1, errNoPoll
	}
	return r, p[1], nil
}

// errNoPoll names the likely cause, because package os does not return the error of
// epoll_ctl(2).
var errNoPoll = errors.New("cannot poll its output: epoll_ctl(2) fails (the limit of /proc/sys/fs/epoll/max_user_watches may be used up)")

// emptyInput returns a descriptor that is at end of file: /dev/null or, in an image
// without /dev, the reading end of a pipe whose writing end is closed.
func emptyInput() (int, error) {
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

// place holds cwd, the directory in which commands start and relative names are looked
// up; "": the working directory of this process. Goroutines get a copy, because the loop
// may change linux.cwd meanwhile.
type place struct{ cwd string }

func (s *linux) place() place { return place{s.cwd} }

// errLoopEnded is the error if Run returned before the process was forked: p.forking then
// returns without calling its argument, the function that forks (see loop.duringFork).
var errLoopEnded = errors.New("usher is about to exit")

// fork starts argv in a new process group. argv is p's command, or a command that executes
// p's command (see viaSelfExec).
func (s place) fork(p process, argv, env []string, files []uintptr) (pid int, err error) {
	forking := p.forking
	if forking == nil {
		forking = func(fork func()) { fork() }
	}
	attr := &syscall.ProcAttr{Dir: s.cwd, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}}
	err = s.lookupAndExec(argv, env, func(path string, argv []string) error {
		err := errLoopEnded
		forking(func() {
			signals.WithInheritedSignals(func() { pid, err = syscall.ForkExec(path, argv, attr) })
		})
		return err
	})
	return pid, err
}

// replace executes the app in this process. The app gets the descriptors, the signal mask and
// the ignored signals that usher inherited, and is not a subreaper.
func (s *linux) replace(p process) error {
	if !s.pid1 {
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	}
	for _, fd := range s.inherited {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	}
	env := p.env
	if i := slices.Index(env, listenPID+"self"); i >= 0 { // viaSelfExec made the command that started this process
		env = slices.Clone(env)
		env[i] = listenPID + strconv.Itoa(os.Getpid())
	}
	return s.place().lookupAndExec(p.argv, env, func(path string, argv []string) (err error) {
		signals.WithInheritedSignals(func() { err = syscall.Exec(path, argv, env) })
		return err
	})
}

// lookupAndExec finds the file of argv[0] as execvp(3) does, and calls execute for it. It
// searches PATH unless the name has a slash, and tries the next directory if the file does
// not exist or may not be executed. It runs a script without "#!" with the shell.
func (s place) lookupAndExec(argv, env []string, execute func(path string, argv []string) error) error {
	last := &StartError{Name: argv[0], Err: errors.New("not found"), NotFound: true}
	for _, path := range s.candidates(argv[0], env) {
		// Most directories of PATH do not have the file, and stat(2) finds that out more
		// cheaply than a fork.
		var file syscall.Stat_t
		err := syscall.Stat(path, &file)
		exists := err == nil
		if exists {
			err = execute(path, argv)
		}
		if err == syscall.ENOEXEC {
			if cause := badFormat(path); cause != nil {
				return &StartError{Name: argv[0], Err: cause}
			}
			err = execute("/bin/sh", append([]string{"sh", path}, argv[1:]...))
		}
		switch {
		case err == nil:
			return nil
		case err == syscall.ENOENT && exists:
			last = &StartError{Name: argv[0], Err: missingInterpreter(path, s.absolute)}
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

// listenPID is the beginning of the variable LISTEN_PID in an environment
// (sd_listen_fds(3)). Its value is the pid of the process that may use the inherited
// descriptors from 3 on. A program with another pid ignores those descriptors.
const listenPID = "LISTEN_PID="

// viaSelfExec returns the command and the environment with which the app is started. If the
// app is socket-activated, LISTEN_PID must be the app's pid, which is unknown before the
// fork. In that case usher starts itself as "usher --exec", which sets the variable to its
// own pid and executes the app.
//
// viaSelfExec returns the app's own command if usher's executable cannot be found (no
// /proc). It also does so if the app's executable cannot be found, so that this process, and
// not the second usher, reports the error.
func (s place) viaSelfExec(p process) (argv, env []string) {
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

// candidates returns the paths that execvp(3) would try for name, in order.
func (s place) candidates(name string, env []string) []string {
	if name == "" {
		return nil
	}
	if strings.Contains(name, "/") {
		return []string{s.absolute(name)}
	}
	dirs := "/bin:/usr/bin" // glibc's default if PATH is not set
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
		all = append(all, s.absolute(dir+name)) // filepath.Clean is not used, because a script gets this path as $0
	}
	return all
}

// absolute makes a relative name absolute if usher has left its working directory (see
// leaveDirectory).
func (s place) absolute(name string) string {
	if filepath.IsAbs(name) || s.cwd == "" {
		return name
	}
	return s.cwd + "/" + name
}

// leaveDirectory changes to /, so that the file system of usher's working directory can
// be unmounted. It returns the old directory; each command is started there, by chdir(2)
// in the child. If the directory's file system is not in localFileSystems, for example FUSE
// or NFS, usher stays in the directory and leaveDirectory returns "", so that commands
// inherit the directory without chdir(2). chdir(2) never returns if the file server does not
// respond, and SIGKILL does not end that call (fs/fuse/dev.c, request_wait_answer), so the
// container could not exit.
func leaveDirectory() string {
	cwd, err := syscall.Getwd()
	if err != nil || !slices.Contains(localFileSystems, fileSystemOf(cwd)) || syscall.Chdir("/") != nil {
		return ""
	}
	return cwd
}

// localFileSystems lists common types of file systems that need no server in user space or on
// a network.
var localFileSystems = []string{"overlay", "ext4", "xfs", "btrfs", "tmpfs", "zfs", "ext2", "ext3", "f2fs", "squashfs", "erofs", "ramfs", "rootfs", "aufs"}

// fileSystemOf returns the type of the file system at an absolute path; "" if it is
// unknown. It reads mountinfo (proc(5)), because statfs(2) can block on the file system.
func fileSystemOf(path string) (fsType string) {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	longest := 0
	for line := range strings.Lines(string(mounts)) {
		mount, source, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(mount), strings.Fields(source)
		if len(fields) < 5 || len(kind) == 0 {
			continue
		}
		point := unescapeMount(fields[4])
		inside := point == "/" || path == point || strings.HasPrefix(path, point+"/")
		if inside && len(point) >= longest { // >=: a later mount at the same point hides the earlier one
			longest, fsType = len(point), kind[0]
		}
	}
	return fsType
}

// unescapeMount decodes the octal escapes of a path in mountinfo: space, tab, newline and
// backslash.
func unescapeMount(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// releaseFiles closes the descriptors that usher inherited and only the app needs.
// Otherwise a process that reads a pipe from the app would not get end of file until
// usher exits, because usher has the writing end open too. If usher is PID 1 it keeps 0,
// 1 and 2, because other processes use them through /proc/1/fd: for example a preStop
// hook runs "echo >/proc/1/fd/1", or a log file is a symbolic link to /proc/1/fd/1. If
// usher is not PID 1, stdin and stdout are replaced by /dev/null. The descriptors are
// closed in a goroutine, because close(2) can block on a file system that does not
// respond.
func (s *linux) releaseFiles() {
	inherited, pid1 := s.inherited, s.pid1
	s.inherited = nil
	if len(inherited) == 0 && pid1 {
		return
	}
	go func() {
		if !pid1 {
			emptyStdio()
		}
		for _, fd := range inherited {
			syscall.Close(fd)
		}
	}()
}

// emptyStdio replaces stdin and stdout by /dev/null. It does not just close them, because
// files that are opened later would get the descriptors 0 and 1.
func emptyStdio() {
	null, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		if null, err = emptyInput(); err != nil {
			return
		}
	}
	unix.Dup3(null, 0, unix.O_CLOEXEC)
	unix.Dup3(null, 1, unix.O_CLOEXEC)
	if null > 2 {
		syscall.Close(null)
	}
}
