package probes

import (
	"context"
	"time"
)

// Use is the purpose of a target. It decides which options are allowed and what the default
// timeout is. It also decides whether the target is a hook: for example, an HTTP hook follows
// no redirects, and its name in logs does not show its path.
type Use int

const (
	ForWait  Use = iota // --wait: probed until it is ready, before the app starts
	ForReady            // --ready: probed while the app runs, until it is ready, and again for /readyz and /servingz
	ForStart            // --pre-start and --post-start hooks: run once, no default timeout
	ForEnd              // --drain and --post-stop hooks: run once, timeout 10 s by default
	ForProbe            // --probe: probed once, timeout 1 s by default
)

// Hook reports whether targets with this use are hooks, and not probes.
func (u Use) Hook() bool { return u == ForStart || u == ForEnd }

// String returns the command-line flags whose targets have this use, for messages.
func (u Use) String() string {
	switch u {
	case ForWait:
		return "--wait"
	case ForReady:
		return "--ready"
	case ForStart:
		return "--pre-start and --post-start"
	case ForEnd:
		return "--drain and --post-stop"
	case ForProbe:
		return "--probe"
	}
	return "an unknown use"
}

// Defaults of a Target.
const (
	ProbeTimeout    = 3 * time.Second  // Timeout for ForWait and ForReady
	EndTimeout      = 10 * time.Second // Timeout for ForEnd
	OnceTimeout     = 1 * time.Second  // Timeout for ForProbe
	DefaultInterval = 1 * time.Second  // Interval for every use
)

// Target is one parsed target with its options.
type Target struct {
	Use   Use
	Kind  string // the name of the kind: "tcp", "http", … or "command"
	Name  string // the name in logs: the value of name=, or else made from parts of the text that cannot be secret
	Probe Probe
	// ReadsFiles reports whether an attempt itself may access a file system: for the file or
	// unix socket of the target, /etc/hosts (to look up a name), certificates, or the file of
	// header=. Such an access may block a thread.
	ReadsFiles bool

	Timeout        time.Duration // limit of one attempt, or of the whole hook; 0 means no limit
	TimeoutWritten bool          // timeout= was given, so Timeout must not be shortened silently
	Interval       time.Duration // longest delay between attempts
	Within         time.Duration // a wait fails if the target is not ready within this time; 0 means no limit
	Optional       time.Duration // a wait skips the target if it is not ready within this time; 0 means not optional
	Successes      int           // the number of successes in a row after which the target is ready; about one Interval passes between them
	Retries        int           // for a hook: the maximum number of retries after a failure
}

// A Probe makes one attempt. Ask returns nil if the target is ready or, for a hook, if the
// hook has succeeded. Otherwise the text of the error is the reason, without secrets. Ask
// returns soon after ctx ends.
type Probe interface {
	Ask(ctx context.Context, a Attempt) error
}

// Attempt holds the parameters of one call of Probe.Ask.
type Attempt struct {
	// Timeout limits the attempt; 0 means no timeout. It starts when an address is known,
	// because the system's resolver has its own limits for a lookup. For a target that needs no
	// address (a file, a unix socket, a command) and for dns:// it starts at once.
	Timeout time.Duration
	// HookVars are passed to a command in its environment (USHER_REASON=signal), and by an
	// HTTP hook to the server in headers (Usher-Reason: signal).
	HookVars []HookVar
	// Run executes a command. With nil, every command target fails.
	Run Runner
	// Resolver should be the same for all targets of a program, so that one lookup of a name
	// serves all of them; nil means DefaultResolver.
	Resolver *Resolver
}

// HookVar is one value for a hook, with the name of its environment variable.
type HookVar struct{ Name, Value string }

// A Runner executes a command and returns nil when the command exits 0. When ctx ends, the
// Runner terminates the process and returns. This package starts no process itself: in an
// init, which reaps all child processes with wait4(-1), the Wait of os/exec would not get the
// exit status.
type Runner func(ctx context.Context, c Command) error

// A Command is a command that a Runner executes.
type Command struct {
	Name     string // the name of the target in logs, to mark the lines of the command's output
	Argv     []string
	HookVars []HookVar
}
