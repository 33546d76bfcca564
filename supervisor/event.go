package supervisor

import (
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
)

// Phase is a part of the timeline in doc.go. The constants are in the order of the
// timeline.
type Phase int

const (
	Idle Phase = iota
	Wait
	PreStart
	Start
	Ready
	PostStart
	Running
	Drain
	Stop
	Leftovers
	PostStop
	Done
)

var phaseNames = [...]string{"idle", "wait", "pre-start", "start", "ready", "post-start", "run",
	"drain", "stop", "leftovers", "post-stop", "exit"}

func (p Phase) String() string { return phaseNames[p] }

// Kind is the kind of an Event. The comment on each kind lists the fields that have a meaning
// for that kind, besides At and Phase.
type Kind int

const (
	Entered            Kind = iota // a phase begins
	Warned                         // a warning about the configuration or the environment: Text
	Subreaper                      // usher is not PID 1, and has become a subreaper (PR_SET_CHILD_SUBREAPER in prctl(2))
	TargetTried                    // one attempt of a probe has ended: Target, Attempts, Err (nil: it succeeded)
	TargetReady                    // Target, Attempts, Took
	TargetSkipped                  // an optional target was not ready in time: Target, Attempts, Took, Err
	WaitProgress                   // targets are still not ready: Pending, Took
	HookStarted                    // Target
	HookFinished                   // Target, Took, Err (*InterruptedError: a stop signal was received while the hook ran)
	HookInterrupted                // a stop signal was received, and the hook got Signal: Target, Took (how long it may still run; 0: no limit)
	HookSkipped                    // Target, Err (the reason)
	AppStarted                     // PID
	AppExec                        // usher is about to replace itself by the app (Config.Exec): PID
	AppExited                      // PID, Exit, Took (since its start)
	OutOfMemory                    // the kernel killed processes for lack of memory: Count, Limit, Exit (the app's)
	ReadinessChanged               // the result of probing the Ready targets has changed: Err (nil: ready)
	StopRequested                  // a stop signal began the shutdown: Signal
	StartupFailed                  // the shutdown begins because the startup failed: Err (*PhaseError)
	SignalForwarded                // Signal (as received), Sent (as sent)
	SignalDropped                  // a signal was not forwarded because of Config.Rewrite: Signal
	SignalPending                  // a signal will be forwarded once the app has started: Signal
	SignalIgnored                  // a signal was not forwarded: Signal, Err (the reason; nil: the shutdown has begun already)
	SignalsLost                    // too many signals were received before the app started: Signal (the first lost one), Count (how many signals are kept)
	SignalFailed                   // kill(2) failed: PID, Name ("": the app), Signal, Err
	DrainSkipped                   // a SIGINT ended the drain: Signal
	DelayStarted                   // Took (Config.DrainDelay)
	DelayFinished                  // Took
	IdleStarted                    // Took (Config.DrainIdle)
	IdlePortsUnknown               // DrainIdle counts the clients of all ports, because it is unknown on which ports the container listens: Err (the reason)
	IdleBytesUnknown               // DrainIdle waits until no client is connected, because the kernel does not count the bytes of connections
	IdleOpensUnknown               // DrainIdle does not notice connections that are opened and closed between two polls, because the number of opened connections is unknown: Err (the reason)
	IdleFinished                   // Took, Count (connections whose clients may still wait for an answer), Active (other connections that were opened or transferred data in the time DrainIdle before this event), Err (why the wait ended before the clients were idle; nil: they are idle)
	StopSignalSent                 // the app got its stop signal: Signal; NoSignal: Config.StopSignal is NoSignal, so usher sends none, and only waits for the app's exit
	AppKilled                      // the app got SIGKILL: Took (since its stop signal)
	LeftoversSignalled             // leftovers got a signal to stop them: Signal, Count (-1: unknown), Names
	LastCall                       // processes that usher had not signalled yet got SIGTERM: Signal, Count, Names
	LeftoversKilled                // the leftovers got SIGKILL
	LeftoversFound                 // other processes are still running, and either the app exited by itself or Grace is 0: Count (-1: unknown), Names
	OrphanReaped                   // PID, Exit
	ShellHint                      // the log should suggest "exec", because the app is a shell and is still running: Took (since its stop signal)
	StopOnHint                     // the log should suggest --stop-on, because the app got a signal that was perhaps meant to stop it: Signal
	Exited                         // the last event: Summary
)

// Event is one thing that has happened. Events are reported in the order in which they
// happened.
type Event struct {
	At    time.Duration // since the start of Run
	Phase Phase         // the current phase
	Kind  Kind

	Target   *probes.Target
	Pending  []probes.Status
	Attempts int
	Took     time.Duration
	PID      int
	Count    int
	Active   int
	Exit     Exit
	Limit    int64 // bytes; 0: none
	Signal   syscall.Signal
	Sent     syscall.Signal
	Name     string   // the name of a process
	Names    []string // the names of processes
	Err      error
	Text     string
	Summary  *Summary
}

// Line is one line that the command of a hook or a probe has printed.
type Line struct {
	Phase Phase
	Name  string // the target's name
	Text  []byte // without its newline; valid only during the call of Config.Output
}

// Summary is the result of a Run, with the durations of its parts.
type Summary struct {
	Code    int   // usher's exit status
	Reason  error // why the shutdown began: StopError or *PhaseError; nil: the app exited by itself, or NoApp is true and nothing failed
	Started bool  // the app was started
	NoApp   bool  // Config.Command is empty, so there was no app to start
	App     Exit
	Killed  bool // the app got SIGKILL at the deadline

	AppLifetime time.Duration // from the app's start to its exit
	Grace       time.Duration
	Shutdown    time.Duration // from the start of the shutdown to usher's exit
	Drain       time.Duration
	Stop        time.Duration // from the start of the phase stop, just before the app's stop signal, to the app's exit
	Leftovers   time.Duration
	PostStop    time.Duration
}
