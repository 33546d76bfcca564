package supervisor

import (
	"math"
	"time"

	"github.com/usher-init/usher/probes"
)

// DefaultReserve is the upper limit of the default of Config.StopReserve.
const DefaultReserve = 10 * time.Second

// Budget divides one grace period. All moments count from the start of the shutdown,
// and are upper limits: a step ends when its work is done.
//
//	0            Drain                  Kill               Grace
//	├── drain ───┼── the app's own time ─┼── post-stop ──────┤
//	             └ at least Reserve ─────┘
type Budget struct {
	Drain   time.Duration // the drain must have ended
	Kill    time.Duration // what is still alive gets SIGKILL
	Grace   time.Duration // usher has exited; 0: there is no budget
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

// settleTime is the minimum wait for processes to disappear after SIGKILL when the
// budget is used up.
const settleTime = 20 * time.Millisecond

// settled is when killed processes are no longer waited for. One that cannot be
// killed, because it waits for a dead disk, must not use up the time of post-stop.
func (b Budget) settled() time.Duration {
	return b.Kill + max(settleTime, min(100*time.Millisecond, (b.Grace-b.Kill)/2))
}

// reserve is the given StopReserve, else half of the grace period, at most 10s.
func (c *Config) reserve() time.Duration {
	if c.StopReserve > 0 {
		return c.StopReserve
	}
	return min(c.Grace/2, DefaultReserve)
}

// postStopShare is the sum of the post-stop hooks' timeouts, but at most a fifth of
// the grace period, because the app needs its time more. Default timeouts shrink until
// all numbers that were given fit.
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

// written is the sum of all durations that were given and lie within the grace period.
// Defaults are not in it, because they shrink to fit.
func (c *Config) written() time.Duration {
	return add(add(c.drainNeeds(), c.StopReserve), writtenOf(c.PostStop))
}

// drainNeeds is the part of written that the drain may take.
func (c *Config) drainNeeds() time.Duration {
	return add(add(c.DrainDelay, c.DrainIdle), writtenOf(c.Drain))
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

// add returns the largest duration instead of an overflow.
func add(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
