package supervisor

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/usher-init/usher/probes"
)

// counted says yes, and how often it has been asked.
type counted struct{ *atomic.Int32 }

func (c counted) Ask(context.Context, probes.Attempt) error {
	c.Add(1)
	return nil
}

// Whoever asks, and how often, the targets are asked once a second.
func TestReadinessIsAskedOnceASecond(t *testing.T) {
	c := counted{new(atomic.Int32)}
	s := story{
		config: Config{Command: theApp, Ready: []probes.Target{ready("self", 0, func(t *probes.Target) { t.Probe = c })}},
		acts:   map[string]behaviour{"app": {lives: 11 * time.Second}},
	}
	for at := time.Duration(0); at < 10*time.Second; at += 25 * time.Millisecond {
		s.asks = append(s.asks, at.String(), at.String(), at.String())
	}
	synctest.Test(t, func(t *testing.T) { s.tell(t) })
	assert.EqualValues(t, 10, c.Load(), "the first time in ready, then at 1s, 2s, … 9s")
}

// Nobody waits for ever for a life that does not begin, or has ended.
func TestReadinessOfNoLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, NewReadiness().Ask(ctx), context.DeadlineExceeded)
	})
}

// A stop that comes in the moment in which the targets say yes: whichever is heard
// first, nobody who asks after that is told yes.
func TestReadinessInTheMomentOfTheStop(t *testing.T) {
	s := story{
		config: Config{Command: theApp, Ready: []probes.Target{ready("self", time.Second)}, PostStart: hooks(probes.ForStart, "register")},
		acts:   map[string]behaviour{"app": {obeys: time.Second}, "register": {obeys: time.Second}},
		then:   map[string]syscall.Signal{"1s": term}, asks: []string{"1.1s"},
	}
	up := 0
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			text := s.tell(t)
			if strings.Contains(text, "self yes") {
				up++
			}
			assert.Contains(t, text, "ready? 1.1s: stopping", "%s", text)
		})
	}
	assert.NotZero(t, up)
}
