package supervisor

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// The exit statuses of usher's own failures, with the same numbers as in timeout(1) and
// docker-run(1).
const (
	CodeTimeout    = 124 // Wait or Ready targets were not ready in time
	CodeFault      = 125 // bad configuration, a failed pre-start or post-start hook, an error in usher
	CodeCannotRun  = 126 // the command was found but cannot be run
	CodeNotFound   = 127 // the command was not found
	signalCodeBase = 128 // the signal's number is added, as in the shell
)

// Exit describes how a process ended.
type Exit struct {
	Status int            // its exit status, 0 to 255, if Signal is 0
	Signal syscall.Signal // the signal that killed it; 0: it exited
}

// Code returns the exit status as a shell reports it: 128+n for signal n.
func (e Exit) Code() int {
	if e.Signal != 0 {
		return signalCodeBase + int(e.Signal)
	}
	return e.Status
}

// String returns a phrase for the log: "exited 3", "was killed by SIGKILL".
func (e Exit) String() string {
	if e.Signal != 0 {
		return "was killed by " + signals.Name(e.Signal)
	}
	return fmt.Sprintf("exited %d", e.Status)
}

// exitOf converts the wait status of a process that has exited or was killed.
func exitOf(ws syscall.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Signal: ws.Signal()}
	}
	return Exit{Status: ws.ExitStatus()}
}

// exitError is the error of a command that was killed or exited with a status above 0.
type exitError struct{ Exit }

func (e exitError) Error() string {
	if e.Signal != 0 {
		return "killed by " + signals.Name(e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// StopError is the reason for the shutdown if a stop signal began it.
type StopError struct{ Signal syscall.Signal }

func (e StopError) Error() string { return "stopped by " + signals.Name(e.Signal) }

// PhaseError is the reason for the shutdown if a step of the startup failed.
type PhaseError struct {
	Phase Phase
	Err   error
}

func (e *PhaseError) Error() string { return e.Phase.String() + ": " + e.Err.Error() }
func (e *PhaseError) Unwrap() error { return e.Err }

// StartError is the error for a command that could not be started.
type StartError struct {
	Name     string // the first word of the command; Error may shorten it, because after a typo in the flags this word may be a secret
	Err      error
	NotFound bool // if the command is the app, usher's exit status is 127 (true) or 126 (false)
}

func (e *StartError) Error() string {
	text := fmt.Sprintf("cannot run %s: %v", probes.CommandPath(e.Name), e.Err)
	if hint := probes.CommandHint(e.Name); e.NotFound && hint != "" {
		text += ": " + hint
	}
	return text
}

func (e *StartError) Unwrap() error { return e.Err }

// codeOf returns usher's exit status before SuccessExit is applied (see supervisor.code).
// reason is why the shutdown began; nil: the app exited by itself. started reports whether the
// app was started.
func codeOf(reason error, started bool, app Exit) int {
	var phase *PhaseError
	var start *StartError
	var stop StopError
	switch {
	case errors.As(reason, &start) && phaseOf(reason) == Start && start.NotFound:
		return CodeNotFound
	case errors.As(reason, &start) && phaseOf(reason) == Start:
		return CodeCannotRun
	case errors.As(reason, &phase) && (phase.Phase == Wait || phase.Phase == Ready):
		return CodeTimeout
	case errors.As(reason, &phase):
		return CodeFault
	case errors.As(reason, &stop) && !started:
		return Exit{Signal: stop.Signal}.Code()
	}
	return app.Code()
}

// phaseOf returns the phase that failed; Idle if none did.
func phaseOf(reason error) Phase {
	var phase *PhaseError
	if errors.As(reason, &phase) {
		return phase.Phase
	}
	return Idle
}

// reasonOf returns the value of USHER_REASON for hooks.
func reasonOf(reason error) string {
	var stop StopError
	switch phase := phaseOf(reason); {
	case errors.As(reason, &stop):
		return "signal"
	case phase == Start:
		return "not-found"
	case phase != Idle:
		return phase.String()
	}
	return "exit"
}
