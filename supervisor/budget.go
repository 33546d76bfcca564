package supervisor

import (
	"math"
	"time"

	"github.com/usher-init/usher/probes"
)

// DefaultReserve is the upper limit of the default of Config.StopReserve.
const DefaultReserve = 10 * time.Second

// Budget divides one grace period. All times count from the start of the shutdown and
// are upper limits: each step ends as soon as its work is done.
//
//	0            Drain                  Kill               Grace
//	├── drain ───┼── the app's own time ─┼── post-stop ──────┤
//	             └ at least Reserve ─────┘
type Budget struct {
	Drain   time.Duration // when the drain ends
	Kill    time.Duration // when everything that is still alive gets SIGKILL
	Grace   time.Duration // when usher exits; 0: no budget
	Reserve time.Duration // the minimum between the app's stop signal and Kill
}

// Budget computes the division from Grace, StopReserve and the post-stop hooks.
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

// settled is when usher stops waiting for processes that got SIGKILL. SIGKILL does not
// end a process in an uninterruptible sleep (a disk that does not respond), and waiting
// for it must not use up the time of post-stop.
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

// postStopShare is the sum of the post-stop hooks' timeouts, at most a fifth of the
// grace period, because the app needs its time more. Default timeouts shrink so that
// all numbers that the user wrote fit.
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

// written is the sum of all durations that the user wrote and that are part of the
// grace period. Defaults do not count, because they shrink to fit.
func (c *Config) written() time.Duration {
	return add(add(c.drainNeeds(), c.StopReserve), writtenOf(c.PostStop))
}

// drainNeeds is the drain's part of written.
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
