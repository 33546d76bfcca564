package supervisor

import (
	"math"
	"time"

	"github.com/usher-init/usher/probes"
)

// DefaultReserve limits Budget.Reserve if Config.StopReserve is not set: Reserve is then
// half of Grace, but at most DefaultReserve.
const DefaultReserve = 10 * time.Second

// Budget divides one grace period between the steps of the shutdown. Drain, Kill and Grace
// are times since the start of the shutdown. They are upper limits: each step ends as soon
// as its work is done.
//
//	0            Drain                  Kill               Grace
//	├── drain ───┼── the app's own time ─┼── post-stop ──────┤
//	             └ at least Reserve ─────┘
type Budget struct {
	Drain   time.Duration // when the drain must end
	Kill    time.Duration // when all processes that are still alive get SIGKILL
	Grace   time.Duration // when usher must exit; 0: there is no limit
	Reserve time.Duration // the minimum time between the app's stop signal and Kill
}

// Budget computes the parts of the grace period from Grace, StopReserve, the timeouts of the
// post-stop hooks, and the durations that the user wrote for the drain (see drainNeeds).
func (c *Config) Budget() Budget {
	if c.Grace <= 0 {
		return Budget{}
	}
	kill := c.Grace - c.postStopShare()
	reserve := min(c.reserve(), kill)
	return Budget{Drain: kill - reserve, Kill: kill, Grace: c.Grace, Reserve: reserve}
}

// settleTime is the minimum time that usher waits, after SIGKILL, for processes to exit.
// It waits that long even if nothing of the grace period is left.
const settleTime = 20 * time.Millisecond

// settled returns the time, since the start of the shutdown, at which usher stops waiting
// for processes that got SIGKILL. SIGKILL does not end a process in an uninterruptible
// sleep, for example on a disk that does not respond. The wait for such a process must
// not use up the time of the post-stop hooks.
func (b Budget) settled() time.Duration {
	return b.Kill + max(settleTime, min(100*time.Millisecond, (b.Grace-b.Kill)/2))
}

// reserve returns StopReserve if it is set, else its default.
func (c *Config) reserve() time.Duration {
	if c.StopReserve > 0 {
		return c.StopReserve
	}
	return min(c.Grace/2, DefaultReserve)
}

// postStopShare returns the sum of the post-stop hooks' timeouts, but at most a fifth of
// the grace period, because the app needs most of that period. If the hooks' default
// timeouts and the durations that the user wrote (see written) together exceed the grace
// period, the default timeouts are reduced.
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

// written returns the sum of all durations that the user wrote and that are part of the
// grace period. Defaults are not included, because Budget reduces them if they do not
// fit.
func (c *Config) written() time.Duration {
	return add(add(c.drainNeeds(), c.StopReserve), writtenOf(c.PostStop))
}

// drainNeeds returns the sum of the durations that the user wrote for the drain.
func (c *Config) drainNeeds() time.Duration {
	return add(add(c.DrainDelay, c.DrainIdle), writtenOf(c.Drain))
}

// writtenOf returns the sum of the hooks' timeouts that the user wrote.
func writtenOf(hooks []probes.Target) (sum time.Duration) {
	for _, t := range hooks {
		if t.TimeoutWritten {
			sum = add(sum, t.Timeout)
		}
	}
	return sum
}

// add returns a+b, or the largest duration if that sum overflows.
func add(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
