package supervisor

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
)

// hookKillDelay is the time between SIGTERM and SIGKILL for a command whose context has
// ended, for example because the command timed out.
const hookKillDelay = time.Second

// killedSoon is the time that a command gets to exit after SIGKILL. After that usher no
// longer waits for the command, because it may be in an uninterruptible sleep, for example on
// a disk that does not respond.
const killedSoon = 100 * time.Millisecond

// command is a command of a hook or a probe. Only the loop uses its fields, except result:
// the goroutine that called runCommand receives from it, and finishCommand may send to it
// from a goroutine of its own.
type command struct {
	ctx    context.Context // when ctx ends the command is terminated
	phase  Phase
	name   string
	target *string // identifies the target: the address of Argv[0], because all attempts of a target share one Argv
	child  child   // pid 0: not started yet

	interrupted syscall.Signal // the signal that the method interrupt has sent, or that the command gets once it has started; 0: none
	terminated  bool           // the method terminate has sent its group SIGTERM, with SIGKILL to follow after hookKillDelay (1 s), or SIGKILL at once if interrupted was set
	givenUp     bool           // usher no longer waits for it: it has survived SIGKILL, or usher may not signal it
	groupOnly   bool           // its own process has exited, but other processes of its group have not

	result chan error // capacity 1, so that the loop never blocks on sending
}

// pendingGroup is a process group that got SIGTERM and will get SIGKILL.
type pendingGroup struct {
	cmd          *command // its leader
	leaderReaped bool
}

// runCommand runs a command for the goroutine of a probe or a hook. That goroutine cannot
// use os/exec, because the loop reaps every child and would take the command's exit status.
//
// runCommand returns when the command's own process has exited. If a signal from interrupt
// has killed that process, runCommand returns when the whole process group has exited.
//
// If ctx ends first, runCommand terminates the command, and returns ctx's cause after the
// command has exited, but at the latest after hookKillDelay and killedSoon (together 1.1 s).
func (l *loop) runCommand(ctx context.Context, phase Phase, env []string, c probes.Command, output func([]byte)) error {
	p := process{ctx: ctx, argv: c.Argv, env: withVars(env, c.HookVars), output: output}
	cmd := &command{ctx: ctx, phase: phase, name: c.Name, target: &c.Argv[0], result: make(chan error, 1)}
	if !l.post(func() { l.startCommand(cmd, p) }) {
		return context.Canceled
	}
	select {
	case err := <-cmd.result:
		return err
	case <-ctx.Done():
	}
	if !l.post(func() { l.terminate(cmd) }) {
		return context.Cause(ctx)
	}
	limit := time.NewTimer(hookKillDelay + killedSoon)
	defer limit.Stop()
	select {
	case <-cmd.result: //nolint:errcheck // the caller gets the reason why ctx ended
	case <-limit.C: // SIGKILL did not end the command
	case <-l.done:
	}
	return context.Cause(ctx)
}

// startCommand starts cmd, unless an earlier command of the same target is still running.
// Without this exception each attempt could leave one more process in an uninterruptible
// sleep, which even SIGKILL does not end.
func (l *loop) startCommand(cmd *command, p process) {
	for other := range l.commands {
		if other.target == cmd.target {
			cmd.result <- fmt.Errorf("the command of an earlier attempt is still running%s", pidOf(other))
			return
		}
	}
	if cmd.ctx.Err() != nil { // ctx ended before the loop received this call
		cmd.result <- context.Cause(cmd.ctx)
		return
	}
	l.commands[cmd] = struct{}{}
	l.start(p, func(c child, err error) {
		if err != nil {
			l.finishCommand(cmd, err)
			return
		}
		cmd.child = c
		switch {
		case l.hasExited(c): // no signal, because the command has exited and another process may have its pid now
		case cmd.ctx.Err() != nil:
			cmd.interrupted = 0 // the command has not got this signal, so terminate must send it SIGTERM before SIGKILL
			l.terminate(cmd)
		case cmd.interrupted != 0:
			l.signalCommand(cmd, cmd.interrupted)
		}
	}, func(e Exit) { l.commandExited(cmd, e) })
}

func pidOf(cmd *command) string {
	if cmd.child.pid == 0 {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", cmd.child.pid)
}

// commandExited is called when the command's own process has exited. If a signal from
// interrupt killed that process, the process cannot have passed the signal on to its
// children, and interrupt has not signalled the children either. So commandExited sends the
// signal to the rest of the group. Such a command has finished when its group is empty.
func (l *loop) commandExited(cmd *command, e Exit) {
	pgid := cmd.child.pid
	if l.pending[pgid].cmd == cmd {
		l.pending[pgid] = pendingGroup{cmd, true}
	}
	if cmd.interrupted != 0 && e.Signal == cmd.interrupted && !cmd.terminated && l.sys.kill(-pgid, cmd.interrupted) == nil {
		l.sys.kill(-pgid, syscall.SIGCONT)
		cmd.groupOnly = true
		return
	}
	var err error
	if e != (Exit{}) {
		err = exitError{e}
	}
	l.finishCommand(cmd, err)
}

// finishCommand sends the result to runCommand, after all output of the command has been
// passed to Config.Output.
func (l *loop) finishCommand(cmd *command, err error) {
	delete(l.commands, cmd)
	flush := cmd.child.flush
	if flush == nil {
		cmd.result <- err
		return
	}
	go func() {
		flush()
		select {
		case cmd.result <- err:
		default: // the channel is full: finishRunning has sent a result, and runCommand does not read it, because Run or Ask has returned
		}
	}()
}

// interrupt sends sig once to each command of a phase, because a stop signal was
// received. Unlike terminate it starts no timer for SIGKILL, so that the commands can
// clean up. It returns false if the phase has no running command, or if terminate has
// already been called for all its running commands.
func (l *loop) interrupt(phase Phase, sig syscall.Signal) (found bool) {
	for cmd := range l.commands {
		if cmd.phase != phase || cmd.terminated {
			continue
		}
		found = true
		if cmd.interrupted == 0 {
			cmd.interrupted = sig
			l.signalCommand(cmd, sig)
		}
	}
	return found
}

// signalCommand sends a signal to the command's own process, not to its process group.
// Then it sends SIGCONT, because a stopped process handles only SIGKILL until it is
// continued.
func (l *loop) signalCommand(cmd *command, sig syscall.Signal) {
	if cmd.child.pid == 0 { // startCommand calls signalCommand again when the command has started
		return
	}
	if err := l.sys.kill(cmd.child.pid, sig); err != nil {
		l.onFailed(cmd.child.pid, cmd.name, sig, err)
		return
	}
	l.sys.kill(cmd.child.pid, syscall.SIGCONT)
}

// terminateEnded terminates every command whose context has ended. The goroutines in
// runCommand post the same calls to the loop, but the loop runs those only in the next
// call of until, and usher may exit without another call of until.
func (l *loop) terminateEnded() {
	for cmd := range l.commands {
		if cmd.ctx.Err() != nil {
			l.terminate(cmd)
		}
	}
}

// terminate sends SIGTERM to a command's process group, and to the command itself if it
// has left the group. SIGKILL follows after hookKillDelay (1 s), even if the command has
// exited by then, because a shell may have left other processes in the group. A command that was
// interrupted before gets SIGKILL at once, because it has had time to clean up.
func (l *loop) terminate(cmd *command) {
	_, running := l.commands[cmd]
	if !running || cmd.terminated || cmd.child.pid == 0 {
		return
	}
	cmd.terminated = true
	pid := cmd.child.pid
	l.pending[pid] = pendingGroup{cmd, cmd.groupOnly}
	if cmd.interrupted != 0 {
		l.killGroup(cmd)
		return
	}
	err := l.sys.kill(-pid, syscall.SIGTERM)
	if !cmd.groupOnly && l.sys.group(pid) != pid {
		err = l.sys.kill(pid, syscall.SIGTERM)
	}
	if errors.Is(err, syscall.EPERM) {
		l.onFailed(pid, cmd.name, syscall.SIGTERM, err)
		l.finishRunning(cmd)
	}
	l.after(hookKillDelay, func() { l.killGroup(cmd) })
}

// killGroup sends SIGKILL to the group of a terminated command, and to the command
// itself if it has left the group.
func (l *loop) killGroup(cmd *command) {
	pid := cmd.child.pid
	l.after(killedSoon, func() { cmd.givenUp = true })
	if _, running := l.commands[cmd]; running && !cmd.groupOnly && l.sys.group(pid) != pid {
		l.sys.kill(pid, syscall.SIGKILL)
	}
	if l.pending[pid].cmd == cmd { // false if the group was empty at some time: then a new group may have its number
		l.killPendingGroup(pid)
	}
}

func (l *loop) killPendingGroup(pgid int) {
	if _, pending := l.pending[pgid]; pending {
		l.sys.kill(-pgid, syscall.SIGKILL)
		l.killed[pgid] = true
	}
	delete(l.pending, pgid)
}

// finishRunning makes runCommand return although the command is still running. It is
// called if usher may not signal the command. The command stays in l.commands, so that
// startCommand starts no second command for the same target.
func (l *loop) finishRunning(cmd *command) {
	cmd.givenUp = true
	select {
	case cmd.result <- errCannotSignal:
	default:
	}
}

var errCannotSignal = errors.New("it cannot be signalled")

// forgetEmptyGroups removes empty process groups from pending and killed. When a group is
// empty and its leader has been reaped, the kernel may reuse the group's number. A new
// group with that number must not get SIGKILL. A command with groupOnly has finished when
// its group is empty, so forgetEmptyGroups calls finishCommand for it.
func (l *loop) forgetEmptyGroups() {
	for pgid, group := range l.pending {
		if group.leaderReaped && l.sys.kill(-pgid, 0) == syscall.ESRCH {
			delete(l.pending, pgid)
		}
	}
	for pgid := range l.killed {
		if l.sys.kill(-pgid, 0) == syscall.ESRCH {
			delete(l.killed, pgid)
		}
	}
	for cmd := range l.commands {
		if cmd.groupOnly && l.sys.kill(-cmd.child.pid, 0) == syscall.ESRCH {
			l.finishCommand(cmd, exitError{Exit{Signal: cmd.interrupted}})
		}
	}
}

// isEnding reports whether a process group belongs to a command that usher has terminated.
// Its processes have got SIGTERM or SIGKILL and may still need some time to exit.
func (l *loop) isEnding(pgid int) bool {
	_, pending := l.pending[pgid]
	return pending || l.killed[pgid]
}

// commandsLeft reports whether a command is running that usher has not given up. usher gives
// up a command that has survived SIGKILL, or that it may not signal.
func (l *loop) commandsLeft() bool {
	for cmd := range l.commands {
		if !cmd.givenUp {
			return true
		}
	}
	return false
}
