package supervisor

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
)

// hookKillDelay is how long a command whose time is over has between SIGTERM and
// SIGKILL.
const hookKillDelay = time.Second

// killedSoon is how long a process may take to be gone after SIGKILL before it
// counts as one that cannot be killed, because the kernel holds it (a dead disk).
const killedSoon = 100 * time.Millisecond

// command is a command of a hook or a probe. Its fields belong to the loop; the
// goroutine that runs it reads only result.
type command struct {
	ctx    context.Context // its end terminates the command
	phase  Phase
	name   string
	target *string // the first word of its target, by address: one target's commands
	child  child   // pid 0: its start has not returned yet

	interrupted syscall.Signal // it was sent this to end it, and has time for that
	terminated  bool           // its group was sent SIGTERM, SIGKILL follows
	givenUp     bool           // it has survived SIGKILL, or cannot be signalled
	groupOnly   bool           // it has exited; its group is still waited for

	result chan error // 1: the loop never waits for the goroutine
}

// runCommand runs a command for the goroutine of a probe or a hook: os/exec must
// not wait in a process whose loop reaps every child. It returns when the
// command's own process has exited. When ctx ends the command is terminated, and
// runCommand returns when it has exited, or when it cannot be killed.
func (l *loop) runCommand(ctx context.Context, phase Phase, env []string, c probes.Command, output func([]byte)) error {
	p := process{argv: c.Argv, env: withVars(env, c.HookVars), output: output}
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
	case <-cmd.result: //nolint:errcheck // the cause is that its time was over
	case <-limit.C: // it stays a child; the end of the container is its end
	case <-l.done:
	}
	return context.Cause(ctx)
}

// startCommand starts cmd, unless an earlier command of the same target is still
// there: one that cannot be killed must not become many.
func (l *loop) startCommand(cmd *command, p process) {
	for other := range l.commands {
		if other.target == cmd.target {
			cmd.result <- fmt.Errorf("the command of an earlier attempt is still running%s", pidOf(other))
			return
		}
	}
	if cmd.ctx.Err() != nil { // while it waited for its turn
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
		case cmd.ctx.Err() != nil:
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

// commandExited is called when the command's own process has. If an interrupt has
// killed it, because it had no handler, the rest of its group does not know of the
// interrupt yet, gets it now, and counts as the command.
func (l *loop) commandExited(cmd *command, e Exit) {
	pgid := cmd.child.pid
	if _, pending := l.pending[pgid]; pending {
		l.pending[pgid] = true
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

// finishCommand hands the result over, after all that the command has printed.
func (l *loop) finishCommand(cmd *command, err error) {
	delete(l.commands, cmd)
	flush := cmd.child.flush
	if flush == nil {
		cmd.result <- err
		return
	}
	go func() {
		flush()
		cmd.result <- err
	}()
}

// interrupt tells the commands of a phase to finish: a stop signal has come, and
// they have time to clean up. It reports whether there is any.
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

// signalCommand sends a signal to the command's own process, whatever group it is
// in. SIGCONT, because a stopped process acts on no signal but SIGKILL.
func (l *loop) signalCommand(cmd *command, sig syscall.Signal) {
	if cmd.child.pid == 0 { // again once it has started
		return
	}
	if err := l.sys.kill(cmd.child.pid, sig); err != nil {
		l.onFailed(cmd.child.pid, cmd.name, sig, err)
		return
	}
	l.sys.kill(cmd.child.pid, syscall.SIGCONT)
}

// terminateEnded terminates every command whose context has ended, now and in the
// loop; the goroutines that wait for them do the same a little later.
func (l *loop) terminateEnded() {
	for cmd := range l.commands {
		if cmd.ctx.Err() != nil {
			l.terminate(cmd)
		}
	}
}

// terminate ends a command whose time is over: SIGTERM to its process group, and
// to itself if it has left the group, and a second later SIGKILL, also for what a
// shell has left behind. One that was interrupted before has had its time.
func (l *loop) terminate(cmd *command) {
	_, running := l.commands[cmd]
	if !running || cmd.terminated || cmd.child.pid == 0 {
		return
	}
	cmd.terminated = true
	pid := cmd.child.pid
	l.pending[pid] = cmd.groupOnly
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

// killGroup sends SIGKILL to the group of a command that was terminated, and to
// its process if it has left that group.
func (l *loop) killGroup(cmd *command) {
	pid := cmd.child.pid
	l.after(killedSoon, func() { cmd.givenUp = true })
	if _, running := l.commands[cmd]; running && !cmd.groupOnly && l.sys.group(pid) != pid {
		l.sys.kill(pid, syscall.SIGKILL)
	}
	l.killPendingGroup(pid)
}

func (l *loop) killPendingGroup(pgid int) {
	if _, pending := l.pending[pgid]; pending {
		l.sys.kill(-pgid, syscall.SIGKILL)
	}
	delete(l.pending, pgid)
}

// finishRunning ends the wait for a command that cannot be signalled. It stays in
// commands, so that no second one is started for its target.
func (l *loop) finishRunning(cmd *command) {
	cmd.givenUp = true
	select {
	case cmd.result <- errCannotSignal:
	default:
	}
}

var errCannotSignal = errors.New("it cannot be signalled")

// forgetEmptyGroups forgets a group once its leader has been reaped and it has no
// process left: the kernel may give its number to another group from then on, and
// SIGKILL must not reach that one.
func (l *loop) forgetEmptyGroups() {
	for pgid, leaderReaped := range l.pending {
		if leaderReaped && l.sys.kill(-pgid, 0) == syscall.ESRCH {
			delete(l.pending, pgid)
		}
	}
	for cmd := range l.commands {
		if cmd.groupOnly && l.sys.kill(-cmd.child.pid, 0) == syscall.ESRCH {
			l.finishCommand(cmd, exitError{Exit{Signal: cmd.interrupted}})
		}
	}
}

// commandsLeft reports whether a command is still running that may yet exit.
func (l *loop) commandsLeft() bool {
	for cmd := range l.commands {
		if !cmd.givenUp {
			return true
		}
	}
	return false
}
