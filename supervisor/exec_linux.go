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
	s.memory = findMemoryCgroup("")
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
			if cause := badFormat(path); cause != nil {
				return &StartError{Name: argv[0], Err: cause}
			}
			signals.AsInherited(func() { err = execute("/bin/sh", append([]string{"sh", path}, argv[1:]...)) })
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
