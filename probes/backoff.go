package probes

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

// minDelay is the first delay, and the shortest one apart from jitter.
const minDelay = 10 * time.Millisecond

// maxInterval is the largest value of interval=.
const maxInterval = time.Hour

// failureKind classifies the errors of attempts. An error of another kind than before
// means that the state of the target has changed.
type failureKind int

const (
	wrongAnswer failureKind = iota // a status, an exit code, a body that does not match
	refused                        // connection refused
	notFound                       // no such file or socket
	unresolved                     // the name lookup failed
	timedOut                       // a timeout
	unreachable                    // any other error of the kernel, such as no route
	noFailure                      // a success, but successes= asks for more of them
)

// isCheap reports whether a failure costs the target nothing, because a kernel detects it
// and no process runs. All other failures cost a server work, or mean that it is too busy
// to respond.
func (k failureKind) isCheap() bool { return k == refused || k == notFound }

func classify(err error) failureKind {
	var errno syscall.Errno
	var lookup lookupError
	switch {
	case err == nil:
		return noFailure
	case errors.As(err, &lookup):
		return unresolved
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.ENOENT):
		return notFound
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return timedOut
	case errors.As(err, &errno):
		return unreachable
	}
	return wrongAnswer
}

// computeDelay returns the delay before the next attempt. since is for how long failures
// of kind k have been seen; the delay grows with it, up to interval. jitter in [0,1) makes
// the delay up to a quarter shorter or longer, so that pods that start together do not
// probe together.
//
// Short delays detect readiness early, long ones cost the target less. The table shows what
// the constants below give if attempts take no time: attempts a second, and how late
// readiness is detected on average. A fixed interval of one second would be 480 ms late.
//
//	                     waits of 0.5 to 6 s    10 s   20 s   60 s
//	refused, notFound    19.3/s, 31 ms late     17.5   14.3   7.7/s
//	every other kind      7.4/s, 92 ms late      5.1    3.4   1.8/s
//
// Constant delays of 190 ms would be 97 ms late at 5.4/s. But delays start at 10 ms, because
// a server that is ready soon should be detected soon, and they keep growing, because a long
// wait should cost little.
//
// For the second row the delay doubles until it is 165 ms, a third of a second after the
// first failure. Two alternatives: since/2 detects servers that are ready within 0.1 s
// after 55 instead of 70 ms, but costs two to four attempts more in every wait; since/8
// without the constant is 200 ms late at 12/s.
func computeDelay(k failureKind, since, interval time.Duration, jitter float64) time.Duration {
	var d time.Duration
	switch {
	case k == noFailure:
		d = interval // successes= checks that the target stays ready
	case k.isCheap():
		d = max(min(since/4, 60*time.Millisecond), since/160)
	default:
		d = max(min(since, 165*time.Millisecond), since/24)
	}
	d = min(max(d, minDelay), interval)
	return min(time.Duration(float64(d)*(0.75+jitter/2)), interval)
}

// backoff computes the delays between the attempts of one target.
type backoff struct {
	interval    time.Duration
	first, last [noFailure + 1]time.Time // when each kind of failure was seen; zero: never
}

// restartAge: when a new kind of failure is seen, delays restart as if it had been seen for
// this long. All waiting clients see it at the same time. If all restarted with minDelay, a
// server that has just started would get nearly three times as many attempts as before.
const restartAge = 40 * time.Millisecond

// next returns the delay after an attempt that ended now with err. A kind of failure that
// has not been seen for ten intervals restarts the delays, because the target will probably
// be ready soon. It is not enough to compare with the previous attempt: two backends behind
// one name may fail in different ways in turn, and would be probed a hundred times a second.
func (b *backoff) next(err error, now time.Time) time.Duration {
	if b.interval <= 0 {
		b.interval = DefaultInterval // the Target was not made by Parse
	}
	k := classify(err)
	if now.Sub(b.last[k])/10 > b.interval { // true for the zero time, too
		b.first[k] = now
		if b.last != [len(b.last)]time.Time{} { // not the first attempt
			b.first[k] = now.Add(-restartAge)
		}
	}
	b.last[k] = now
	return computeDelay(k, now.Sub(b.first[k]), b.interval, rand.Float64())
}

// sleep waits for d. If ctx ends first, it returns the cause.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
