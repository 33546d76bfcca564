package probes

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDelaysStayWithinTheirBounds(t *testing.T) {
	tests := []struct {
		kind            failureKind
		since, interval time.Duration
		want            time.Duration
	}{
		{refused, 0, time.Second, 10 * time.Millisecond},
		{refused, 200 * time.Millisecond, time.Second, 50 * time.Millisecond},
		{refused, 5 * time.Second, time.Second, 60 * time.Millisecond},
		{notFound, 80 * time.Second, time.Second, 500 * time.Millisecond},
		{refused, time.Hour, time.Second, time.Second},
		{wrongAnswer, 0, time.Second, 10 * time.Millisecond},
		{wrongAnswer, 80 * time.Millisecond, time.Second, 80 * time.Millisecond},
		{wrongAnswer, 3 * time.Second, time.Second, 165 * time.Millisecond},
		{wrongAnswer, 4 * time.Second, 100 * time.Millisecond, 100 * time.Millisecond},
		{unresolved, 12 * time.Second, time.Second, 500 * time.Millisecond},
		{timedOut, 24 * time.Second, time.Second, time.Second},
		{unreachable, time.Hour, 30 * time.Second, 30 * time.Second},
		{noFailure, 0, 2 * time.Second, 2 * time.Second},
	}
	for _, test := range tests {
		for _, jitter := range []float64{0, 0.25, 0.5, 0.999} {
			d := computeDelay(test.kind, test.since, 0, test.interval, jitter)
			assert.GreaterOrEqual(t, d, test.want*3/4, "%+v", test)
			assert.LessOrEqual(t, d, min(test.want*5/4, test.interval), "%+v", test)
		}
		mean := (test.want*3/4 + min(test.want*5/4, test.interval)) / 2
		assert.Equal(t, mean, computeDelay(test.kind, test.since, 0, test.interval, 0.5), "%+v", test)
	}
}

// The slow attempts of many waiters must not stay in step. So the delay after a slow attempt
// varies by up to half of the attempt's duration.
func TestDelaysVaryByHalfOfTheAttempt(t *testing.T) {
	tests := []struct {
		since, took, interval time.Duration
		shortest, longest     time.Duration
	}{
		{5 * time.Second, 80 * time.Millisecond, time.Second, 156250 * time.Microsecond, 260416666}, // the delay is 5 s / 24 = 208 ms; it varies by a quarter, 52 ms, because half of took is shorter
		{3 * time.Second, 200 * time.Millisecond, time.Second, 65 * time.Millisecond, 265 * time.Millisecond},
		{0, 3 * time.Second, time.Second, minDelay * 3 / 4, time.Second},
		{time.Hour, 3 * time.Second, time.Second, minDelay * 3 / 4, time.Second},
		{time.Hour, time.Second, 10 * time.Second, 7500 * time.Millisecond, 10 * time.Second},
		{0, time.Hour, time.Millisecond, time.Millisecond, time.Millisecond},
	}
	for _, test := range tests {
		delay := func(jitter float64) time.Duration {
			return computeDelay(wrongAnswer, test.since, test.took, test.interval, jitter)
		}
		assert.InDelta(t, test.shortest, delay(0), 1, "%+v", test)
		assert.InDelta(t, test.longest, delay(1), 1, "%+v", test)
	}
}

// The attempts of the simulated waits take no time, because this gives the highest rate of
// attempts.
func TestDelaysKeepTheRateAndTheLatenessLow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fixed := func(failureKind, time.Duration) time.Duration { return time.Second }
	ours := func(k failureKind, since time.Duration) time.Duration {
		return computeDelay(k, since, 0, time.Second, random.Float64())
	}
	// simulate simulates waits for targets that become ready at times between from and to. It
	// returns the attempts per second, and the mean time from readiness until an attempt
	// detects it.
	simulate := func(waits int, delay func(failureKind, time.Duration) time.Duration, k failureKind, from, to time.Duration) (rate float64, late time.Duration) {
		var attempts int
		var waited time.Duration
		for i := range waits {
			wait := from + (to-from)*time.Duration(i)/time.Duration(waits)
			var now time.Duration
			for ; now < wait; attempts++ {
				now += delay(k, now)
			}
			waited, late = waited+wait, late+now-wait
		}
		return float64(attempts) / waited.Seconds(), late / time.Duration(waits)
	}

	_, second := simulate(10000, fixed, refused, time.Second/2, 6*time.Second)
	require.InDelta(t, time.Second/2, second, float64(25*time.Millisecond))
	tests := []struct {
		kinds    []failureKind
		from, to time.Duration // the first and the last time at which a target becomes ready
		rate     float64       // the maximum attempts per second
		late     float64       // the maximum of the mean time from readiness until its detection; 1 is the mean time with a fixed delay of one second
	}{
		{[]failureKind{refused, notFound}, time.Second / 2, 6 * time.Second, 20, 0.08},
		{[]failureKind{refused, notFound}, 10 * time.Second, time.Minute, 15, 0.6},
		{[]failureKind{wrongAnswer, unresolved, timedOut, unreachable}, 0, time.Second / 2, 25, 0.16},
		{[]failureKind{wrongAnswer, unresolved, timedOut, unreachable}, time.Second / 2, 6 * time.Second, 7.5, 0.2},
		{[]failureKind{wrongAnswer, unresolved, timedOut, unreachable}, 11 * time.Second, 11 * time.Second, 5, 0.6},
		{[]failureKind{wrongAnswer, unresolved, timedOut, unreachable}, 20 * time.Second, time.Minute, 3.5, 1.1},
	}
	for _, test := range tests {
		for _, k := range test.kinds {
			rate, late := simulate(10000, ours, k, test.from, test.to)
			relative := float64(late) / float64(second)
			t.Logf("kind %d, waits of %v to %v: %.2f attempts/s, %v late, %.3f of a fixed second's", k, test.from, test.to, rate, late.Round(time.Millisecond), relative)
			assert.LessOrEqual(t, rate, test.rate, "kind %d, from %v", k, test.from)
			assert.LessOrEqual(t, relative, test.late, "kind %d, from %v", k, test.from)
		}
	}
	for k := range noFailure {
		before := 1e9
		for _, wait := range []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, time.Minute, 5 * time.Minute, time.Hour} {
			rate, _ := simulate(100, ours, k, wait, wait+wait/100)
			assert.Less(t, rate, before, "the rate of kind %d must be lower in a longer wait (%v)", k, wait)
			before = rate
		}
	}
}

func TestAnotherKindOfFailureRestartsTheDelays(t *testing.T) {
	delays := backoff{interval: time.Second}
	now := time.Unix(0, 0)
	err503 := errors.New("status 503")
	for range 60 {
		delays.next(errRefused, 0, now)
		now = now.Add(time.Second)
	}
	assert.Greater(t, delays.next(errRefused, 0, now), 200*time.Millisecond)
	assert.Less(t, delays.next(err503, 0, now), 51*time.Millisecond)
	assert.Less(t, delays.next(err503, 0, now.Add(20*time.Millisecond)), 76*time.Millisecond)
}

// Wait and RunHook pass the duration of an attempt to backoff.next. So if 50 first attempts end
// together after three seconds, the second attempts are spread over the interval of one second.
func TestSlowAttemptsSpreadTheNextOnes(t *testing.T) {
	for name, call := range map[string]func(context.Context, Target) error{
		"Wait":    func(ctx context.Context, target Target) error { return Wait(ctx, []Target{target}, Attempt{}, nil) },
		"RunHook": func(ctx context.Context, target Target) error { return RunHook(ctx, target, Attempt{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers, took = 50, 3 * time.Second
				begun, seconds := time.Now(), make(chan time.Duration, callers)
				for range callers {
					target := fakeTarget("slow", func(ctx context.Context, n int) error {
						if n > 1 {
							seconds <- time.Since(begun) - took
							return nil
						}
						time.Sleep(took)
						return timeoutError(took)
					})
					target.Timeout, target.Retries = time.Minute, 1
					go func() { assert.NoError(t, call(t.Context(), target)) }()
				}
				first, last := time.Hour, time.Duration(0)
				for range callers {
					at := <-seconds
					first, last = min(first, at), max(last, at)
				}
				assert.Less(t, first, time.Second/2)
				assert.Greater(t, last, time.Second/2)
				assert.LessOrEqual(t, last, time.Second)
			})
		})
	}
}

// A kind of failure that backoff.next has not seen for ten intervals restarts the delays. With
// a long timeout=, a single attempt may last longer than ten intervals. Then its failure must
// not restart the delays, although the previous failure was more than ten intervals before.
func TestLongAttemptsDoNotRestartTheDelays(t *testing.T) {
	const took = time.Minute
	delays := backoff{interval: time.Second}
	now := time.Unix(0, 0).Add(took)
	now = now.Add(delays.next(timeoutError(took), took, now) + took)
	first := delays.first
	delays.next(timeoutError(took), took, now)
	assert.Equal(t, first, delays.first)
}

// If a name has two backends, the attempts may fail alternately in two different ways. The
// delays must grow nevertheless.
func TestAlternatingFailuresDoNotRestartTheDelays(t *testing.T) {
	delays := backoff{interval: time.Second}
	var now time.Duration
	errs := []error{errRefused, errors.New("status 503")}
	n := 0
	for ; now < time.Minute; n++ {
		now += delays.next(errs[n%2], 0, time.Unix(0, 0).Add(now))
	}
	assert.Less(t, n, 300)
}

func TestClassify(t *testing.T) {
	assert.Equal(t, noFailure, classify(nil))
	assert.Equal(t, refused, classify(errRefused))
	assert.Equal(t, notFound, classify(sanitizeFileErr(syscall.ENOTDIR)))
	assert.Equal(t, unresolved, classify(lookupError{"x"}))
	assert.Equal(t, timedOut, classify(timeoutError(time.Second)))
	assert.Equal(t, unreachable, classify(sanitizeErr(syscall.EHOSTUNREACH)))
	assert.Equal(t, wrongAnswer, classify(errors.New("status 503")))
}
