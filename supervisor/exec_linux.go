package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

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

// startApp passes everything that usher was given on to the app.
func (s *linux) startApp(p process) func() (child, error) {
	const closed = ^uintptr(0)
	files := []uintptr{0, 1, 2}
	for fd, was := range signals.InheritedClosedFDs() {
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
	s.memory = findMemoryCgroup("")
	terminal, place := s.terminal, s.place()
	return func() (child, error) {
		argv, env := place.viaSelfExec(p)
		pid, err := place.fork(argv, env, files)
		if err != nil {
			return child{}, err
		}
		c := child{pid: pid, flush: func() {}}
		if terminal >= 0 {
			// By the parent: a child that does this itself is stopped by SIGTTOU.
			// childStopped continues an app that was stopped before this call.
			setForeground(terminal, pid)
			c.terminal = true
		}
		if p.detach {
			c.left = leaveDirectory()
		}
		return c, nil
	}
}

// startCommand runs a hook's or a probe's command: its stdin is empty, and each
// line that it prints goes to p.output.
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
		in, err := emptyInput()
		if err != nil {
			return child{}, &StartError{Name: p.argv[0], Err: err}
		}
		defer syscall.Close(in)
		pid, err := place.fork(p.argv, p.env, []uintptr{uintptr(in), uintptr(w), uintptr(w)})
		if err != nil {
			return child{}, err
		}
		return child{pid: pid, flush: out.flush}, nil
	}
}

// outputPipe returns the reading end, for the poller, and the descriptor of the
// writing end. O_NONBLOCK belongs to the open file description of the reading
// end alone, so the command's writes block as usual.
func outputPipe() (r *os.File, w int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, err
	}
	syscall.SetNonblock(p[0], true)
	return os.NewFile(uintptr(p[0]), "output"), p[1], nil
}

// emptyInput is /dev/null or, in an image without /dev, the reading end of a pipe
// whose writing end is closed.
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

// place is the directory in which commands start and relative names are looked
// up; "" is the process's own. It is a copy for goroutines beside the loop.
type place struct{ cwd string }

func (s *linux) place() place { return place{s.cwd} }

// fork starts argv in a process group of its own.
func (s place) fork(argv, env []string, files []uintptr) (pid int, err error) {
	attr := &syscall.ProcAttr{Dir: s.cwd, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}}
	err = s.lookupAndExec(argv, env, func(path string, argv []string) (err error) {
		pid, err = syscall.ForkExec(path, argv, attr)
		return err
	})
	return pid, err
}

// replace gives the app what usher was given, and undoes what usher has changed
// of that since.
func (s *linux) replace(p process) error {
	if !s.pid1 {
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	}
	for _, fd := range s.inherited {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	}
	env := p.env
	if i := slices.Index(env, listenPID+"self"); i >= 0 { // from viaSelfExec
		env = slices.Clone(env)
		env[i] = listenPID + strconv.Itoa(os.Getpid())
	}
	return s.place().lookupAndExec(p.argv, env, func(path string, argv []string) error {
		return syscall.Exec(path, argv, env)
	})
}

// lookupAndExec looks argv's command up as execvp(3) does, in PATH unless there is
// a slash, and executes it: it goes on after a file that may not be executed, and
// runs a script without "#!" by the shell. The command gets the signal mask that
// usher was started with; usher's own threads have another.
func (s place) lookupAndExec(argv, env []string, execute func(path string, argv []string) error) error {
	last := &StartError{Name: argv[0], Err: errors.New("not found"), NotFound: true}
	for _, path := range s.candidates(argv[0], env) {
		// A look is cheaper than a fork, and PATH is mostly misses.
		var file syscall.Stat_t
		err := syscall.Stat(path, &file)
		exists := err == nil
		if exists {
			signals.WithInheritedSignals(func() { err = execute(path, argv) })
		}
		if err == syscall.ENOEXEC {
			if cause := badFormat(path); cause != nil {
				return &StartError{Name: argv[0], Err: cause}
			}
			signals.WithInheritedSignals(func() { err = execute("/bin/sh", append([]string{"sh", path}, argv[1:]...)) })
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

// listenPID names the process that the descriptors from 3 on are for
// (sd_listen_fds(3)): a program that finds another's pid there leaves them alone.
const listenPID = "LISTEN_PID="

// viaSelfExec is for an app that is socket-activated: LISTEN_PID must be the app's
// pid, which is unknown before the fork. So usher forks itself as "usher --exec",
// which sets the variable to its own pid and then executes the app. Where usher's
// own file cannot be found (no /proc) the variable stays as it is, and a command
// that does not exist is reported by this process as usual.
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

// candidates are the paths at which execvp(3) would look for name, in order.
func (s place) candidates(name string, env []string) []string {
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

// absolute makes a relative name independent of usher's own directory, which is /
// once the app runs.
func (s place) absolute(name string) string {
	if filepath.IsAbs(name) || s.cwd == "" {
		return name
	}
	return s.cwd + "/" + name
}

// leaveDirectory goes to /, so that usher does not keep the file system of its
// directory from being unmounted, and returns where it was. Commands are started
// there by chdir(2). In a directory of FUSE or of a network usher stays, and
// commands inherit it: on a server that has stopped answering chdir(2) never
// returns, SIGKILL does not end it (fs/fuse/dev.c, request_wait_answer), and the
// container could not exit.
func leaveDirectory() string {
	cwd, err := syscall.Getwd()
	if err != nil || !slices.Contains(localFileSystems, fileSystemOf(cwd)) || syscall.Chdir("/") != nil {
		return ""
	}
	return cwd
}

// localFileSystems are the types of which the kernel itself answers.
var localFileSystems = []string{"overlay", "ext4", "xfs", "btrfs", "tmpfs", "zfs", "ext2", "ext3", "f2fs", "squashfs", "erofs", "ramfs", "rootfs", "aufs"}

// fileSystemOf is the type of the file system at an absolute path, from mountinfo
// (proc(5)), because statfs(2) would ask the file system; "" where it is unknown.
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
		if inside && len(point) >= longest { // of two at one point the later one counts
			longest, fsType = len(point), kind[0]
		}
	}
	return fsType
}

// unescapeMount undoes the octal escapes of space, tab, newline and backslash.
func unescapeMount(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// releaseFiles closes what only the app needs: whoever waits for the end of a pipe
// must not have to wait for usher. As PID 1 usher keeps 0, 1 and 2, because others
// find the container's own under /proc/1/fd: a hook's "echo >/proc/1/fd/1", a log
// file that is a link to it. Elsewhere stdin and stdout become empty input. close(2)
// can block on a file system that does not answer, so a goroutine does it.
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

// emptyStdio replaces stdin and stdout. They must stay open: the next descriptors
// that are opened would get their numbers.
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
