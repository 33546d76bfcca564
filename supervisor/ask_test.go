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

func TestAskProbesAllTargetsAtOnceAndReturnsEveryError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ready := func(name string, takes time.Duration) probes.Target {
			return probes.Target{Name: name, Probe: slowProbe{takes: takes}}
		}
		failing := func(name, text string) probes.Target {
			return probes.Target{Name: name, Probe: slowProbe{time.Second, errors.New(text)}}
		}
		c := Config{Signals: &signals.Inbox{}, Env: []string{}}
		assert.NoError(t, Ask(t.Context(), c, []probes.Target{ready("a", time.Second), ready("b", 2*time.Second)}))
		assert.Equal(t, 2*time.Second, time.Since(began))
		err := Ask(t.Context(), c, []probes.Target{failing("a", "refused"), ready("b", time.Second), failing("c", "503")})
		assert.EqualError(t, err, "a: refused\nc: 503")
		assert.Equal(t, 3*time.Second, time.Since(began))

		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("cancelled by the caller")) })
		assert.ErrorContains(t, Ask(ctx, c, []probes.Target{ready("a", time.Hour)}), "cancelled by the caller")
	})
}

// Ask uses only three fields of Config. A question to Readiness, which belongs to Run, gets no
// answer from it.
func TestAskIgnoresReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		readiness := NewReadiness()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		asked := make(chan error, 1)
		go func() { asked <- readiness.Ask(ctx) }()
		c := Config{Signals: &signals.Inbox{}, Env: []string{}, Readiness: readiness}
		assert.NoError(t, Ask(t.Context(), c, []probes.Target{{Name: "a", Probe: slowProbe{takes: 2 * time.Second}}}))
		assert.Error(t, <-asked)
	})
}
