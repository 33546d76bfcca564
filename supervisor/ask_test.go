package supervisor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
)

// Each is asked once, all at the same time, and each no is told.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		no := func(name, why string) probes.Target {
			return probeTarget(name, answering{time.Second, errors.New(why)})
		}
		c := Config{Signals: &signals.Inbox{}, Env: []string{}}
		assert.NoError(t, Ask(t.Context(), c, []probes.Target{probeTarget("a", readyAfter(time.Second)), probeTarget("b", readyAfter(2*time.Second))}))
		assert.Equal(t, 2*time.Second, time.Since(began))
		err := Ask(t.Context(), c, []probes.Target{no("a", "refused"), probeTarget("b", readyAfter(time.Second)), no("c", "503")})
		assert.EqualError(t, err, "a: refused\nc: 503")
		assert.Equal(t, 3*time.Second, time.Since(began))

		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("enough")) })
		assert.ErrorContains(t, Ask(ctx, c, []probes.Target{probeTarget("never", readyAfter(-1))}), "enough")
	})
}

func probeTarget(name string, p probes.Probe) probes.Target {
	return probes.Target{Name: name, Probe: p}
}

// answering is a probe whose answer takes some time.
type answering struct {
	after time.Duration
	err   error
}

func (a answering) Ask(ctx context.Context, _ probes.Attempt) error {
	select {
	case <-time.After(a.after):
		return a.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
