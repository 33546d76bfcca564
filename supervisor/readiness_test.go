package supervisor

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// countingProbe always succeeds after 20 ms, and counts its calls.
type countingProbe struct{ *atomic.Int32 }

func (c countingProbe) Ask(context.Context, probes.Attempt) error {
	c.Add(1)
	time.Sleep(20 * time.Millisecond)
	return nil
}

func TestReadinessProbesAtMostOnceASecond(t *testing.T) {
	c := countingProbe{new(atomic.Int32)}
	synctest.Test(t, func(t *testing.T) {
		k := newFake(map[string]behaviour{"app": {exitsAfter: 11 * time.Second}}, func(string, ...any) {})
		r := NewReadiness()
		for at := time.Duration(0); at < 10*time.Second; at += 25 * time.Millisecond {
			for range 3 {
				time.AfterFunc(at, func() { _ = r.Ask(t.Context()) })
			}
		}
		_, _ = run(t.Context(), Config{Command: []string{"app"}, Readiness: r, Env: []string{}, Signals: &signals.Inbox{Child: k.child},
			Ready: []probes.Target{{Name: "self", Probe: c, Successes: 1}}}, k)
	})
	assert.EqualValues(t, 10, c.Load(), "once in the ready phase, then about once a second")
}

func TestReadinessWithoutARunReturnsWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, NewReadiness().Ask(ctx), context.DeadlineExceeded)
	})
}

// The loop may receive the stop signal before or after the result of the probe. In both
// cases Ask must return ErrStopping after the signal.
func TestReadinessIsStoppingAfterAStopSignalThatCoincidesWithReady(t *testing.T) {
	s := readStory(`
-- usher --
usher --ready tcp://self:1 --post-start register -- app
-- processes --
app: on a stop signal exits 0 after 1s
register: on a stop signal exits 0 after 1s
-- targets --
tcp://self:1: ready after 1s
-- events --
1s TERM
1.1s ready?
`)
	ready := 0
	for range 300 {
		text := s.run(t)
		if strings.Contains(text, "tcp://self:1 is ready") {
			ready++
		}
		assert.Contains(t, text, "1.1s ready? answered at 1.1s: stopping", "%s", text)
	}
	assert.NotZero(t, ready)
}
