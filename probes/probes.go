package probes

import (
	"context"
	"time"
)

// Use is the purpose of a target. It decides which options are allowed, the default timeout,
// and whether redirects are followed.
type Use int

const (
	ForWait  Use = iota // --wait: probed until it is ready, before the app starts
	ForReady            // --ready: probed until it is ready, while the app runs
	ForStart            // --pre-start and --post-start hooks: run once, no default timeout
	ForEnd              // --drain and --post-stop hooks: run once, timeout 10 s by default
	ForProbe            // --probe: probed once, timeout 1 s by default
)

// Hook reports whether the target is a hook and not a probe.
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
	Name  string // the name in logs: the value of name=, or else a part of the text; never contains a secret
	Probe Probe
	// ReadsFiles reports whether an attempt may read a file or a directory: the target
	// itself, /etc/hosts for a name, certificates or the file of a header. Such a read may
	// block a thread.
	ReadsFiles bool

	Timeout        time.Duration // limit of one attempt, or of the whole hook; 0 means no limit
	TimeoutWritten bool          // timeout= was given, so Timeout must not be shortened silently
	Interval       time.Duration // longest delay between attempts
	Within         time.Duration // a wait fails if the target is not ready within this time; 0 means no limit
	Optional       time.Duration // a wait skips the target if it is not ready within this time; 0 means not optional
	Successes      int           // the number of successes in a row after which the target is ready; about one Interval passes between them
	Retries        int           // for a hook: the maximum number of retries after a failure
}

// Probe makes one attempt. If the target is ready (or a hook has succeeded), the error is
// nil. Otherwise its text is the reason, without secrets. Ask returns soon after ctx ends.
type Probe interface {
	Ask(ctx context.Context, a Attempt) error
}

// Attempt holds the parameters of one call of Probe.Ask.
type Attempt struct {
	// Timeout starts when an address is known, because a lookup has the resolver's own limits.
	// For a dns:// target Timeout covers the lookup too. 0 means no timeout.
	Timeout time.Duration
	// HookVars are passed to hooks: to a command in its environment
	// (USHER_REASON=signal), to a server as HTTP headers (Usher-Reason: signal).
	HookVars []HookVar
	// Run executes a command. With nil, every command target fails.
	Run Runner
	// Resolver is shared by all targets of a program, so that a name is looked up
	// once for all of them; nil means DefaultResolver.
	Resolver *Resolver
}

// HookVar is one value for a hook, with the name of its environment variable.
type HookVar struct{ Name, Value string }

// Runner executes a command and returns nil when the command exits 0. When ctx ends, it
// terminates the process and returns. This package starts no process itself, because an init
// reaps all child processes with wait4(-1), which would take the exit status from the Wait of
// os/exec.
type Runner func(ctx context.Context, c Command) error

// Command is a command that a Runner executes.
type Command struct {
	Name     string // the target's name, to mark lines of its output
	Argv     []string
	HookVars []HookVar
}
