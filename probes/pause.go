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
// been heard for since. It grows with since, so that what is found late is found
// late in proportion, and what lasts is asked ever more seldom; interval is the
// longest.
//
// The figures: a refusing kernel is asked less than 20 times a second and found
// open after 30 ms on average, over waits of half a second to six. One who works
// for the answer is found ready after a sixteenth of the time that it has said
// no, and asked less than 5 times a second if it goes on for ten seconds.
//
// jitter in [0,1) spreads the pause by a quarter to either side: a thousand pods
// that start together shall not ask together.
func pause(k noKind, since, interval time.Duration, jitter float64) time.Duration {
	var d time.Duration
	switch {
	case k == yes:
		d = interval // it is steadiness that is asked for
	case k.cheap():
		d = min(max(since/4, minPause), max(60*time.Millisecond, since/160))
	default:
		d = max(since/8, minPause)
	}
	d = min(d, interval)
	return min(time.Duration(float64(d)*(0.75+jitter/2)), interval)
}

// pauses remembers since when each kind of answer has been heard.
type pauses struct {
	interval    time.Duration
	first, last map[noKind]time.Time
}

// after is the pause that follows an answer heard now. A kind not heard of late
// starts anew, from minPause. "Of late" and not "the last time", because two
// backends behind one name answer in turns, and would be asked a hundred times
// a second for ever.
func (p *pauses) after(err error, now time.Time) time.Duration {
	if p.interval <= 0 {
		p.interval = MaxInterval // of a Target that Parse has not made
	}
	if p.first == nil {
		p.first, p.last = map[noKind]time.Time{}, map[noKind]time.Time{}
	}
	k := kindOf(err)
	if last, heard := p.last[k]; !heard || now.Sub(last) > 10*p.interval {
		p.first[k] = now
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
