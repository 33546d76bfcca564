package supervisor

import (
	"math"
	"time"

	"github.com/usher-init/usher/probes"
)

// DefaultReserve is the longest that half of the grace period keeps for the app.
const DefaultReserve = 10 * time.Second

// Budget divides one grace period. All of it is counted from the moment the end
// begins; each limit is an upper bound, a step ends when its work is done.
//
//	0            Drain                  Kill               Grace
//	├── drain ───┼── the app's own time ─┼── post-stop ──────┤
//	             └ at least Reserve ─────┘
type Budget struct {
	Drain   time.Duration // the drain must have ended
	Kill    time.Duration // whatever still lives gets SIGKILL
	Grace   time.Duration // usher has exited; 0: nothing above holds
	Reserve time.Duration // what the app has between its stop signal and Kill, at the least
}

// Budget is the arithmetic of --grace, --stop-reserve and the post-stop hooks.
func (c *Config) Budget() Budget {
	if c.Grace <= 0 {
		return Budget{}
	}
	kill := c.Grace - c.postStopShare()
	reserve := min(c.reserve(), kill)
	return Budget{Drain: kill - reserve, Kill: kill, Grace: c.Grace, Reserve: reserve}
}

// settleTime is what processes get to be gone after SIGKILL where the budget has
// nothing left for it: to die is not instant, but a moment's work of the kernel.
const settleTime = 20 * time.Millisecond

// settled is when killed processes are no longer waited for. What cannot even be
// killed, because a disk does not answer, must not take post-stop's time.
func (b Budget) settled() time.Duration {
	return b.Kill + max(settleTime, min(100*time.Millisecond, (b.Grace-b.Kill)/2))
}

// reserve is what was written, else half of the grace period, at most 10s.
func (c *Config) reserve() time.Duration {
	if c.StopReserve > 0 {
		return c.StopReserve
	}
	return min(c.Grace/2, DefaultReserve)
}

// postStopShare is what the post-stop hooks may take by their timeouts, but at
// most a fifth of the grace period: the app's time is worth more. Timeouts that
// were not written yield to all numbers that were.
func (c *Config) postStopShare() time.Duration {
	var written, unwritten time.Duration
	for _, t := range c.PostStop {
		switch {
		case t.Timeout == 0: // no limit
			unwritten = c.Grace
		case t.TimeoutWritten:
			written = add(written, t.Timeout)
		default:
			unwritten = add(unwritten, t.Timeout)
		}
	}
	unwritten = min(unwritten, max(0, c.Grace-c.written()))
	return min(add(written, unwritten), c.Grace/5)
}

// written is the sum of all that was given as a number and happens within the
// grace period; a default is not in it, because defaults shrink to fit.
func (c *Config) written() time.Duration {
	return add(add(c.drainNeeds(), c.StopReserve), writtenOf(c.PostStop))
}

// drainNeeds is the part of written that the drain may take.
func (c *Config) drainNeeds() time.Duration {
	return add(add(c.DrainDelay, c.DrainQuiet), writtenOf(c.Drain))
}

// writtenOf is the sum of the hooks' written timeouts.
func writtenOf(hooks []probes.Target) (sum time.Duration) {
	for _, t := range hooks {
		if t.TimeoutWritten {
			sum = add(sum, t.Timeout)
		}
	}
	return sum
}

// add does not overflow: a sum that is too long is as long as there is.
func add(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
