package supervisor

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// counted is a target that is ready, and counts how often it has been probed.
type counted struct{ *atomic.Int32 }

func (c counted) Ask(context.Context, probes.Attempt) error {
	c.Add(1)
	return nil
}

// However many ask, the targets are probed once a second.
func TestReadinessProbesOnceASecond(t *testing.T) {
	c := counted{new(atomic.Int32)}
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
	assert.EqualValues(t, 10, c.Load(), "the first time in ready, then at 1s, 2s, … 9s")
}

// Nobody waits for ever for a Run that does not begin, or has returned.
func TestReadinessWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, NewReadiness().Ask(ctx), context.DeadlineExceeded)
	})
}

// A stop signal that comes in the moment in which the targets become ready:
// whichever is seen first, every later question is answered with a no.
func TestReadinessInTheMomentOfTheStop(t *testing.T) {
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
		assert.Contains(t, text, fmt.Sprintf("ready? %v: stopping", 1100*time.Millisecond), "%s", text)
	}
	assert.NotZero(t, ready)
}
