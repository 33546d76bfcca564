package supervisor

import (
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

// reserve is what was written, else half of the grace period, at most 10s.
func (c *Config) reserve() time.Duration {
	if c.StopReserve > 0 {
		return c.StopReserve
	}
	return min(c.Grace/2, DefaultReserve)
}

// postStopShare is what the post-stop hooks may take by their timeouts, but at
// most a fifth of the grace period: the app's time is worth more.
func (c *Config) postStopShare() time.Duration {
	most := c.Grace / 5
	var sum time.Duration
	for _, t := range c.PostStop {
		if t.Timeout == 0 {
			return most
		}
		sum += t.Timeout
	}
	return min(sum, most)
}

// written is the sum of all that was given as a number and happens within the
// grace period; a default is not in it, because defaults shrink to fit.
func (c *Config) written() time.Duration {
	sum := c.DrainDelay + c.StopReserve
	for _, hooks := range [][]probes.Target{c.Drain, c.PostStop} {
		for _, t := range hooks {
			if t.TimeoutWritten {
				sum += t.Timeout
			}
		}
	}
	return sum
}
