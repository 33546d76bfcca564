package probes

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

// minPause is the first pause, and the shortest but for its jitter.
const minPause = 10 * time.Millisecond

// longestInterval is the most that interval= may be. Who wants to be asked less
// often than that wants something else.
const longestInterval = time.Hour

// noKind says what sort of no an error is. Two of the same kind mean that
// nothing has changed; another kind means that something has.
type noKind int

const (
	answered    noKind = iota // a status, an exit code, a body that does not match
	refused                   // nobody listens
	absent                    // no such file or socket
	unresolved                // the name lookup failed
	unanswered                // a timeout
	unreachable               // any other error of the kernel
	yes                       // not a no at all, but not enough of them in a row
)

// cheap reports whether such a no costs the other side nothing: a kernel says
// it, without waking anybody. Behind all others somebody has worked, or is too
// busy to.
func (k noKind) cheap() bool { return k == refused || k == absent }

func kindOf(err error) noKind {
	var errno syscall.Errno
	var lookup lookupError
	switch {
	case err == nil:
		return yes
	case errors.As(err, &lookup):
		return unresolved
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.ENOENT):
		return absent
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return unanswered
	case errors.As(err, &errno):
		return unreachable
	}
	return answered
}

// pause is how long to wait before the next attempt when this kind of no has
// been heard for since. It grows with since, so that what lasts is asked ever
// more seldom; interval is the longest. jitter in [0,1) spreads it by a quarter
// to either side: a thousand pods that start together shall not ask together.
//
// The measure is an interval of a fixed second, which over waits of half a second
// to six finds a yes 480 ms late on average. A refusing kernel is to be found open
// after 0.08 of that, with at most 20 attempts a second; one who works for the
// answer is to be found ready after 0.2 of it, with at most 5. What comes of it,
// when answers take no time:
//
//	                     waits of 0.5 to 6 s            10 s   20 s   60 s
//	refused, absent      19.3/s, 31 ms late (0.06)      17.5   14.3   7.7/s
//	every other no        7.4/s, 92 ms late (0.19)       5.1    3.4   1.8/s
//
// The second goal cannot be had whole. Pauses of 190 ms from the first on would be
// 97 ms late at 5.4 a second, and no others that only grow are better at both; but
// what is there almost at once should be found at once, so pauses start at 10 ms,
// and what lasts should be left in peace, so they grow without end. Of the two the
// delay is kept, and the 5 a second over every wait of eleven seconds and more.
// The pause doubles until it is 165 ms, a third of a second after the beginning.
// With since/2 the quickest would be found 15 ms of 70 sooner, and every wait
// would cost two to four attempts more; with since/8 and no flat part, the mean
// would be 200 ms late at 12 a second.
func pause(k noKind, since, interval time.Duration, jitter float64) time.Duration {
	var d time.Duration
	switch {
	case k == yes:
		d = interval // it is steadiness that is asked for
	case k.cheap():
		d = max(min(since/4, 60*time.Millisecond), since/160)
	default:
		d = max(min(since, 165*time.Millisecond), since/24)
	}
	d = min(max(d, minPause), interval)
	return min(time.Duration(float64(d)*(0.75+jitter/2)), interval)
}

// pauses remembers since when each kind of answer has been heard.
type pauses struct {
	interval    time.Duration
	first, last [yes + 1]time.Time // by kind; zero means never
}

// headStart is how long another kind of answer counts as heard when it comes. It
// comes to all who wait at the same moment, and if all began at minPause then,
// who has only just come up would be asked nearly three times as often as before.
const headStart = 40 * time.Millisecond

// after is the pause that follows an answer heard now. A kind not heard of late
// starts anew, because readiness is near. "Of late" and not "the last time",
// because two backends behind one name answer in turns, and would be asked a
// hundred times a second for ever.
func (p *pauses) after(err error, now time.Time) time.Duration {
	if p.interval <= 0 {
		p.interval = MaxInterval // of a Target that Parse has not made
	}
	k := kindOf(err)
	if now.Sub(p.last[k])/10 > p.interval { // never is long ago, too
		p.first[k] = now
		if p.last != [len(p.last)]time.Time{} { // not the first answer of all
			p.first[k] = now.Add(-headStart)
		}
	}
	p.last[k] = now
	return pause(k, now.Sub(p.first[k]), p.interval, rand.Float64())
}

// sleep waits for d, or until ctx ends, which it reports.
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
