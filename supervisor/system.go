package supervisor

import (
	"context"
	"syscall"
)

// kernel contains the operations that Run needs from the operating system. The type linux
// implements them with system calls. The type fake implements them for tests in fake time.
//
// No method may block the loop. So start, listProcesses and killOthers return a function for
// the part that may block on a file system or take long with many processes, and the loop
// runs that function in a goroutine. network, socketInodes and outOfMemory are called in a
// goroutine as a whole.
type kernel interface {
	// start returns a function that forks and executes p. If that fails, the function
	// returns a *StartError, or the cause of p.ctx if p.ctx has ended.
	start(p process) func() (child, error)
	// started is called when p has been started as the child c. If p is the app, started
	// records its pid, and with Config.Detach it also records c.left and closes inherited
	// descriptors that only the app needs. For a command it does nothing.
	started(p process, c child)
	// replace executes p in this process by execve(2). It returns only if execve fails,
	// and the error is a *StartError.
	replace(p process) error
	// wait is wait4(2): it returns a child that has exited, was stopped or was continued.
	// It returns pid 0 if no child has changed its state, and ECHILD if there are no
	// children.
	wait() (pid int, ws syscall.WaitStatus, err error)
	// kill is kill(2): a negative pid is a process group.
	kill(pid int, sig syscall.Signal) error
	// group returns the process group of a child that has not been reaped (getpgid(2)).
	group(pid int) int
	// listProcesses returns a function that lists the processes that may have to be
	// stopped: if usher is PID 1, all other processes of the PID namespace, else all
	// descendants; zombies are left out. That function returns false if /proc does not show
	// these processes, or if ctx ends first.
	listProcesses(ctx context.Context) func() ([]proc, bool)
	// signalAll sends sig without reading /proc: to all other processes if usher is PID 1,
	// else to the app's process group.
	signalAll(sig syscall.Signal)
	// killOthers returns a function that sends SIGKILL to usher's children or, if thorough
	// is set, to all descendants. If usher is PID 1 or /proc does not show the descendants,
	// killOthers itself calls signalAll with SIGKILL, and the function does nothing.
	killOthers(thorough bool) func()
	// becomeSubreaper makes usher the parent of orphans among its descendants (prctl(2)).
	// It does nothing if usher is PID 1, because orphans become children of PID 1 anyway.
	// If prctl fails, for example because of a seccomp filter, orphans become children of
	// another process. seesAll reports whether usher can reach every process that it may have
	// to stop: as PID 1 it can, by kill(-1); otherwise /proc must show its PID namespace.
	becomeSubreaper() (pid1, seesAll bool, err error)
	// network lists the TCP sockets of the network namespace that listen, are connected or
	// are being closed, and then reads how many connections clients have opened. Listing many
	// sockets is slow, so the loop calls it in a goroutine.
	network() (network, error)
	// socketInodes returns the inodes of the sockets of usher and of the processes that
	// listProcesses returns. If it cannot read the descriptors of all of them, or if ctx
	// ends first, it also returns an error. It reads files, so the loop calls it in a
	// goroutine.
	socketInodes(ctx context.Context) (map[uint32]bool, error)
	// outOfMemory returns how many processes of the container the kernel has killed for
	// lack of memory since the app was started, and the container's limit in bytes; 0:
	// no limit. It reads files, so the loop calls it in a goroutine.
	outOfMemory() (killed int, limit int64)
	// flushOutput returns when everything that commands have printed so far has been
	// passed to Config.Output. That includes the output of processes that a command left
	// running.
	flushOutput()
	// appExited is called when the app has exited. If the app's process group got the
	// terminal, it makes usher's process group the foreground group again.
	appExited()
}

// process describes a process to start: the app, or a command of a hook or a probe.
type process struct {
	ctx    context.Context // for a command only: the command is not started if ctx has ended
	argv   []string
	env    []string
	app    bool              // the process is the app: it gets the terminal and usher's stdin, stdout, stderr and inherited descriptors
	detach bool              // for the app only: Config.Detach
	self   []string          // for the app only: Config.Self
	output func(line []byte) // for a command only: called with each line that it prints
	// forking prepares the Go runtime for a thread that is blocked in vfork, and calls
	// fork; nil: fork is called without preparation.
	forking func(fork func())
}

// child is a started process.
type child struct {
	pid      int
	since    int    // loop.reaped when its start began
	terminal bool   // its process group became the terminal's foreground group
	left     string // for the app only: the directory that usher left when it changed to / (Config.Detach); later commands start in this directory; "": usher did not change to /
	// flush returns when everything that a command printed before the call has been passed
	// to process.output. For the app it does nothing.
	flush func()
}

// proc is a process in /proc.
type proc struct {
	procID
	parent int
	group  int
	name   string // the name of its command, at most 15 bytes (comm in proc(5))
	own    bool   // it is usher's child
	caught uint64 // the signals from 1 to 31 that it has handlers for; signal n is bit n-1
	filter bool   // its stdin is a pipe, and another living process has that pipe as stdout or stderr
}

// procID identifies a process even if the kernel reuses its pid, because the later process
// has a later start time.
type procID struct {
	pid   int
	start uint64 // clock ticks since boot
}

func (p proc) catches(sig syscall.Signal) bool { return sig > 0 && p.caught>>(sig-1)&1 == 1 }
