//go:build !race

package probes

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The test checks the same as TestTenThousandWaitersMakeNoBursts, but with 500 concurrent calls
// of Wait. With so many goroutines in one bubble of synctest the race detector crashes (a CHECK
// in tsan_rtl.cpp, go1.26). So "make test" runs this test separately, without the detector.
func TestFiveHundredWaitersMakeNoBursts(t *testing.T) {
	const waiters, up = 500, 6 * time.Second
	for _, failure := range []error{errRefused, errors.New("status 503")} {
		for _, spread := range []time.Duration{0, 2 * time.Second} {
			t.Run(failure.Error()+", waiters start within "+spread.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					h := herd{begun: make([]time.Duration, waiters), done: make([]time.Duration, waiters)}
					begun := time.Now()
					probe := failsUntil(up, failure)
					var all sync.WaitGroup
					for i := range waiters {
						all.Go(func() {
							h.begun[i] = spread * time.Duration(i) / waiters
							require.NoError(t, sleep(t.Context(), h.begun[i]))
							dependency := fakeTarget("dependency", func(ctx context.Context, n int) error {
								mu.Lock()
								defer mu.Unlock()
								h.attempt(time.Since(begun))
								return probe(ctx, n)
							})
							assert.NoError(t, Wait(t.Context(), []Target{dependency}, Attempt{}, nil))
							h.done[i] = time.Since(begun)
						})
					}
					all.Wait()
					h.assertNoBursts(t, up)
				})
			})
		}
	}
}
