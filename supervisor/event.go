package supervisor

import (
	"syscall"
	"time"

	"github.com/usher-init/usher/probes"
)

// Phase is a part of the timeline. Phases are announced, not branched on: the
// order of life is the order of the statements in Run.
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

// Kind tells what an Event is about, and with it which fields are set.
type Kind int

const (
	Entered          Kind = iota // a phase begins: Phase
	Warned                       // something is configured that will hurt: Text
	Subreaper                    // usher is not PID 1 and adopts its own descendants
	TargetTried                  // one attempt: Target, Attempts, Err (nil is a yes)
	TargetReady                  // a target has said yes: Target, Attempts, Took
	TargetGivenUp                // an optional target is no longer waited for: Target, Attempts, Took, Err
	WaitProgress                 // still waiting: Pending, Took
	HookStarted                  // Target
	HookEnded                    // Target, Took, Err
	HookSkipped                  // the app has gone, or its time: Target
	AppStarted                   // PID
	AppReplaces                  // --exec: the app is about to take usher's place; nothing follows, unless it cannot
	AppEnded                     // PID, Exit, Took (its life)
	OutOfMemory                  // the kernel killed processes for lack of memory: Count, Limit, Exit (the app's)
	ReadinessChanged             // asked again, the Ready targets say something else: Err (nil is a yes)
	StopRequested                // the end begins with a signal: Signal
	Failed                       // the end begins because usher wants it: Err, a *PhaseError
	SignalForwarded              // Signal (as received), Sent (as sent), Err
	SignalDropped                // --rewrite says so: Signal
	SignalKept                   // it waits for the app to exist: Signal
	SignalIgnored                // repeated in the drain, or the app has gone: Signal
	Hurried                      // SIGINT in the drain: its rest is skipped
	DelayStarted                 // Took (how long it may last)
	DelayEnded                   // Took
	QuietStarted                 // Took (how long nobody is to be connected)
	QuietEnded                   // Took, Count (connections that are still open), Err (why before it was quiet)
	AppSignalled                 // the app gets its stop signal: Signal, Err
	DeadlineKill                 // SIGKILL to the app: Took (since its stop signal)
	LeftoversFound               // others live on and get SIGTERM: Count (-1: unknown)
	LeftoversKilled              // the time of the leftovers is over: SIGKILL
	LeftBehind                   // the app ended by itself and left others: Count
	OrphanReaped                 // PID, Exit
	ShellHint                    // a shell as the app does not pass its stop signal on
	StopOnHint                   // the app ended soon after a signal that may have been meant as a stop: Signal
	Ended                        // the last event: Account
)

// Event is one fact of a life, in the order in which they happened.
type Event struct {
	At    time.Duration // since Run began
	Phase Phase         // in which it happened
	Kind  Kind

	Target   *probes.Target
	Pending  []probes.Status
	Attempts int
	Took     time.Duration
	PID      int
	Count    int
	Exit     Exit
	Limit    int64 // bytes; 0: none
	Signal   syscall.Signal
	Sent     syscall.Signal
	Err      error
	Text     string
	Account  *Account
}

// Line is one line of what a hook or a probe's command printed.
type Line struct {
	Phase Phase
	Name  string // of the target
	Text  []byte // without its newline; valid during the call only
}

// Account is the whole life in numbers.
type Account struct {
	Code    int   // usher's exit status
	Why     error // nil: the app ended by itself; else StopError or *PhaseError
	Started bool  // there was an app
	App     Exit
	Killed  bool // by usher, at the deadline

	Life      time.Duration // the app's, from start to end
	Grace     time.Duration
	End       time.Duration // from the beginning of the end to the exit
	Drain     time.Duration
	Stop      time.Duration // from the stop signal to the app's end
	Leftovers time.Duration
	PostStop  time.Duration
}
