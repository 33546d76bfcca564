package probes

import (
	"context"
	"time"
)

// Use says what a target is parsed for: it decides the options that are
// allowed, the default timeout, and whether redirects are followed.
type Use int

const (
	ForWait  Use = iota // --wait: asked until it says yes, before the app starts
	ForReady            // --ready: asked until it says yes, while the app runs
	ForStart            // --pre-start and --post-start hooks: done once, no default timeout
	ForEnd              // --drain and --post-stop hooks: done once, 10 s by default
	ForProbe            // --probe: asked a single time, 1 s by default
)

// Hook reports whether the target is done once rather than asked until yes.
func (u Use) Hook() bool { return u == ForStart || u == ForEnd }

// String is the word for it in messages.
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

// Default limits of the contract; a zero Timeout means none.
const (
	ProbeTimeout = 3 * time.Second
	EndTimeout   = 10 * time.Second
	OnceTimeout  = 1 * time.Second
	MaxInterval  = 1 * time.Second
)

// Target is one parsed target: whom to ask, and how.
type Target struct {
	Use   Use
	Kind  string // row of the table of kinds: "tcp", "http", … or "command"
	Name  string // what logs call it: name=, else derived; never holds a secret
	Probe Probe

	Timeout        time.Duration // one attempt, or the whole hook; 0 means none
	TimeoutWritten bool          // timeout= was given: it may not be shrunk silently
	Interval       time.Duration // longest pause between attempts
	Within         time.Duration // its passing is fatal; 0 means none
	Optional       time.Duration // as Within, but its passing is only a warning
	Successes      int           // that many in a row, about an Interval apart
	Retries        int           // hooks: how often a failed one is tried again
}

// Probe asks once. A nil error is a yes; any error is a no and says why, in
// words that hold no secret. Ask returns soon after ctx ends.
type Probe interface {
	Ask(ctx context.Context, a Attempt) error
}

// Attempt is what one call of Ask is given.
type Attempt struct {
	// Timeout begins once an address is known (name lookup has the resolver's
	// own limits) and covers everything after; 0 means none.
	Timeout time.Duration
	// Facts are told to hooks: a command gets them in its environment
	// (USHER_REASON=signal), an HTTP hook as headers (Usher-Reason: signal).
	Facts []Fact
	// Run executes a command; nil makes every command target say no.
	Run Runner
	// Resolver is shared by all targets of a program, so that a name is looked
	// up once; nil means DefaultResolver.
	Resolver *Resolver
}

// Fact is one thing a hook is told, under the name of its environment variable.
type Fact struct{ Name, Value string }

// Runner executes argv and returns nil when it exits 0. The package never
// starts processes itself: in an init, one loop owns every wait4.
// When ctx ends the Runner ends the process and returns.
type Runner func(ctx context.Context, c Command) error

// Command is what a Runner executes.
type Command struct {
	Name  string // the target's name, which marks its output
	Argv  []string
	Facts []Fact
}
