package supervisor

import "syscall"

// kernel is all that Run asks of the operating system. There is one real
// implementation and one for the stories in fake time.
type kernel interface {
	// start forks and executes; a *StartError says why it could not.
	start(p process) (child, error)
	// replace turns this process into p, by execve; it returns only if it
	// cannot, with a *StartError.
	replace(p process) error
	// wait reaps one child without blocking: pid 0 when none has ended,
	// ECHILD when there is none at all.
	wait() (pid int, ws syscall.WaitStatus, err error)
	// kill is kill(2): a negative pid is a process group.
	kill(pid int, sig syscall.Signal) error
	// killOthers signals everything else that lives in the container or, when
	// usher is not PID 1, all of its descendants.
	killOthers(sig syscall.Signal)
	// others counts what killOthers would reach; -1 when it cannot be known.
	others() int
	// adopt makes orphans usher's children, as they are PID 1's anyway; seesAll
	// reports whether killOthers will find them all.
	adopt() (pid1, seesAll bool)
	// sockets lists the TCP sockets of the network namespace that listen or are
	// connected.
	sockets() ([]socket, error)
	// outOfMemory counts the processes of the container that the kernel has killed
	// for lack of memory since the app was started; limit is the container's in
	// bytes, 0 if it has none. It may block and is not for the loop.
	outOfMemory() (killed int, limit int64)
	// drain passes on what commands and their leftovers have printed so far.
	drain()
	// appGone takes back what the app had: the terminal's foreground.
	appGone()
}

// process is what to start: the app, or a command of a hook or a probe.
type process struct {
	argv   []string
	env    []string
	app    bool     // has the terminal, stdin, stdout and the inherited descriptors
	detach bool     // with app: let go of all that once it runs
	self   []string // with app: a command that becomes argv; see Config.Self
	output func(line []byte)
}

// child is a started process.
type child struct {
	pid      int
	terminal bool // it was given the terminal's foreground
	// drained returns once all that the child had printed before the call has
	// been passed to output.
	drained func()
}
