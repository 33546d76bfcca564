package supervisor

import "syscall"

// kernel is everything that Run needs from the operating system. There is one
// real implementation and one for the stories in fake time.
//
// Its methods belong to the loop and return at once. What can block, because a
// file system or a crowded process table is slow, is returned as a function that
// the loop runs in a goroutine: the start of a process, look, killOthers.
type kernel interface {
	// start returns a function that forks and executes p; a *StartError says why
	// it could not.
	start(p process) func() (child, error)
	// started records that p runs as c.
	started(p process, c child)
	// replace turns this process into p by execve(2). It returns only if it
	// cannot, with a *StartError.
	replace(p process) error
	// wait reaps one child without blocking: pid 0 when none has changed its
	// state, ECHILD when there is none at all.
	wait() (pid int, ws syscall.WaitStatus, err error)
	// kill is kill(2): a negative pid is a process group.
	kill(pid int, sig syscall.Signal) error
	// group is getpgid(2) of a child that has not been reaped.
	group(pid int) int
	// look returns a function that lists the processes that may have to be stopped:
	// as PID 1 all others of the PID namespace, else all descendants. It is false
	// where /proc does not show them.
	look() func() ([]proc, bool)
	// signalAll sends sig to whatever can be reached without a look: as PID 1 to
	// all others, else to the app's process group.
	signalAll(sig syscall.Signal)
	// killOthers returns a function that sends SIGKILL to this process's children, or
	// if it is to be thorough to all descendants. As PID 1 everything else has had it
	// when killOthers returns.
	killOthers(thorough bool) func()
	// becomeSubreaper makes orphans usher's children, as they are PID 1's anyway.
	// seesAll reports whether look works or is not needed to reach everything.
	becomeSubreaper() (pid1, seesAll bool)
	// sockets lists the TCP sockets of the network namespace that listen or are
	// connected.
	sockets() ([]socket, error)
	// outOfMemory counts the processes of the container that the kernel has killed for
	// lack of memory since the app was started; limit is the container's in bytes, 0
	// if it has none. It reads files and is not for the loop.
	outOfMemory() (killed int, limit int64)
	// flushOutput passes on what commands and their leftovers have printed so far.
	flushOutput()
	// appExited takes the terminal's foreground back from the app.
	appExited()
}

// process is what to start: the app, or a command of a hook or a probe.
type process struct {
	argv   []string
	env    []string
	app    bool     // gets the terminal, stdin, stdout, stderr and the inherited descriptors
	detach bool     // with app: release what only the app needs once it runs
	self   []string // with app: a command that becomes argv; see Config.Self
	output func(line []byte)
}

// child is a started process.
type child struct {
	pid      int
	terminal bool   // it was given the terminal's foreground
	left     string // with detach: the directory that usher has left; "": none
	// flush returns once everything that the child had printed before the call has
	// been passed to output.
	flush func()
}

// proc is one process of a look.
type proc struct {
	procID
	parent int
	group  int
	name   string // its command name, at most 15 bytes (comm of proc(5))
	own    bool   // it is usher's child: parent is usher
	caught uint64 // the signals that it has handlers for; signal n is bit n-1
	filter bool   // its stdin is a pipe into which another living process prints
}

// procID names a process for good: a pid may be given to another process, which
// then has another start time.
type procID struct {
	pid   int
	start uint64 // clock ticks since boot
}

func (p proc) catches(sig syscall.Signal) bool { return sig > 0 && p.caught>>(sig-1)&1 == 1 }
