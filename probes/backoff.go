package probes

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

// minDelay is, before jitter is applied, the delay after the first failure of a wait and the
// minimum of all delays.
const minDelay = 10 * time.Millisecond

// maxInterval is the largest value of interval=.
const maxInterval = time.Hour

// failureKind classifies the errors of attempts. If an attempt fails with a kind of error that
// has not been seen for ten intervals, the state of the target has probably changed, so the
// delays start again (see backoff.next).
type failureKind int

const (
	wrongAnswer failureKind = iota // any failure not listed below, such as a wrong status, exit code or body
	refused                        // ECONNREFUSED: connection refused
	notFound                       // ENOENT: no such file or socket
	unresolved                     // the name does not exist, or its lookup failed
	timedOut                       // the timeout of the attempt, or ETIMEDOUT
	unreachable                    // any other errno, such as EHOSTUNREACH
	noFailure                      // the attempt succeeded, but successes= requires more successes
)

// isCheap reports whether attempts that fail in this way cost the target nothing, because
// the kernel rejects them. Attempts that fail in any other way may cause work for a server,
// or mean that the server is too busy to respond.
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

// computeDelay returns the delay before the next attempt. since is the time since the current
// delays for failures of kind k started (see backoff.next). The delay grows with since, up to
// interval. jitter, in [0,1), makes the delay shorter or longer, so that pods that start
// together do not probe at the same moments.
//
// jitter changes the delay by up to a quarter, or by up to half of took if that is more, but
// never beyond interval. took is the duration of the last attempt. If attempts time out after
// 3 s and interval is 1 s, a pod starts one every three to four seconds. If jitter changed the
// delay only by a quarter, ten thousand pods that start together would need eight minutes until
// their attempts are spread evenly. With half of took they need 25 s (see herd.md).
//
// Short delays detect readiness early; long delays cost the target less. The table shows
// the average number of attempts per second in waits of different durations and, for the
// short waits, how late readiness is detected on average. The figures are from a simulation
// with an interval of 1 s, in which attempts take no time. In the short waits a fixed delay of
// one second would detect readiness 480 ms late.
//
//	                     waits of 0.5 to 6 s    10 s   20 s   60 s
//	refused, notFound    19.3/s, 31 ms late     17.5   14.3   7.7/s
//	every other kind      7.4/s, 92 ms late      5.1    3.4   1.9/s
//
// In waits of 0.5 to 6 s a constant delay of 190 ms would be about as good as the second
// row: 97 ms late, at 5.4 attempts per second. But a server that is ready soon should be
// detected soon, so the delays start at 10 ms. And a long wait should cost little, so the
// delays keep growing.
//
// Other formulas for the second row are worse. With since/2 in place of since, a server that
// becomes ready in the first 0.1 s of a wait would be detected 62 instead of 73 ms after the
// start of the wait, on average. But each wait of 0.2 s or more would have two to three more
// attempts. With since/8 as the whole formula, readiness would be detected 200 ms late in waits
// of 0.5 to 6 s, at 12 attempts per second.
func computeDelay(k failureKind, since, took, interval time.Duration, jitter float64) time.Duration {
	var d time.Duration
	switch {
	case k == noFailure:
		d = interval // the attempt succeeded; with successes= the next attempts check that the target stays ready
	case k.isCheap():
		d = max(min(since/4, 60*time.Millisecond), since/160)
	default:
		d = max(min(since, 165*time.Millisecond), since/24)
	}
	d = min(max(d, minDelay), interval)
	deviation := max(d/4, took/2)
	longest := min(d+deviation, interval)
	shortest := min(max(d-deviation, minDelay*3/4), longest)
	return shortest + time.Duration(jitter*float64(longest-shortest))
}

// backoff computes the delays between the attempts of one target.
type backoff struct {
	interval    time.Duration
	random      func() float64           // returns a number in [0,1); nil: rand.Float64
	first, last [noFailure + 1]time.Time // for each failureKind: when the current delays for it started, and when it was last seen; zero: never
}

// When a new kind of failure restarts the delays, next computes them as if the failure had
// already been seen for restartAge. All waiting clients see a new failure at about the same
// time, for example when a server opens its port and responds with 503. If all restarted with
// minDelay, that server would at first get nearly three times as many attempts per second as
// before it opened its port.
const restartAge = 40 * time.Millisecond

// next returns the delay after an attempt that ended at now with err. took is the duration
// of the attempt. A kind of failure that has not been seen for ten intervals restarts the
// delays, because the state of the target has probably changed, and it may be ready soon. The
// ten intervals must have passed before the attempt started: with a long timeout=, the attempt
// alone may take longer than ten intervals.
//
// It is not enough to compare err with the error of the previous attempt. If a name has two
// backends that fail in different ways, the errors may alternate. Then every attempt would
// restart the delays, and the backends would be probed up to 40 times a second.
func (b *backoff) next(err error, took time.Duration, now time.Time) time.Duration {
	if b.interval <= 0 {
		b.interval = DefaultInterval // a Target that was not made by Parse may have an Interval of 0
	}
	k := classify(err)
	if now.Add(-took).Sub(b.last[k])/10 > b.interval { // also true for the zero time, which means that k was never seen
		b.first[k] = now
		if b.last != [len(b.last)]time.Time{} { // not the first attempt of the wait
			b.first[k] = now.Add(-restartAge)
		}
	}
	b.last[k] = now
	random := b.random
	if random == nil {
		random = rand.Float64
	}
	return computeDelay(k, now.Sub(b.first[k]), took, b.interval, random())
}

// sleep waits for d. If ctx ends first, sleep returns the cause of ctx.
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
