package probes

import (
	"errors"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
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
		assert.Equal(t, test.want, computeDelay(test.kind, test.since, test.interval, 0.5), "%+v", test)
		for _, jitter := range []float64{0, 0.25, 0.999} {
			d := computeDelay(test.kind, test.since, test.interval, jitter)
			assert.GreaterOrEqual(t, d, test.want*3/4)
			assert.LessOrEqual(t, d, min(test.want*5/4, test.interval))
			assert.GreaterOrEqual(t, d, 7500*time.Microsecond)
		}
	}
}

// The attempts of the simulated waits take no time, because this gives the highest rate of
// attempts.
func TestDelaysKeepTheRateAndTheLatenessLow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fixed := func(failureKind, time.Duration) time.Duration { return time.Second }
	ours := func(k failureKind, since time.Duration) time.Duration {
		return computeDelay(k, since, time.Second, random.Float64())
	}
	// simulate simulates waits for targets that become ready at times between from and to. It
	// returns the attempts per second, and the mean time until an attempt detects readiness.
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
		late     float64       // the maximum of the mean time until readiness is detected, as a fraction of that with a fixed interval of one second
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

// A herd is a group of waiters for the same server. It records when they probe the server.
type herd struct {
	attempts    []int           // the number of attempts in each window
	begun, done []time.Duration // when each waiter started and ended
}

// window is the length of the intervals for which attempts are counted.
const window = 100 * time.Millisecond

func (h *herd) attempt(at time.Duration) {
	i := int(at / window)
	for len(h.attempts) <= i {
		h.attempts = append(h.attempts, 0)
	}
	h.attempts[i]++
}

// assertNoBursts asserts that every waiter has ended at most one second after up, the time
// at which the server became ready. It also asserts that no window has more than twice the
// mean number of attempts of the ten windows around it. Only windows before up count for the
// mean, because after up the waiters end. The check begins one second after the start of the
// last waiter.
func (h *herd) assertNoBursts(t *testing.T, up time.Duration) {
	t.Helper()
	assert.LessOrEqual(t, slices.Max(h.done)-up, time.Second)
	first, end := int((slices.Max(h.begun)+time.Second)/window), int(up/window)
	for i := first; i < len(h.attempts); i++ {
		from := max(first, min(i-5, end-10))
		to := min(from+10, end)
		sum := 0
		for _, n := range h.attempts[from:to] {
			sum += n
		}
		mean := float64(sum) / float64(to-from)
		require.LessOrEqual(t, float64(h.attempts[i]), 2*mean, "too many attempts in the window at %v", time.Duration(i)*window)
	}
}

// The waiters do not influence each other, so the test simulates one after the other.
func TestTenThousandWaitersMakeNoBursts(t *testing.T) {
	const pods = 10000
	err503 := errors.New("status 503")
	tests := []struct {
		name   string
		listen time.Duration // when the server begins to accept connections; until up it responds with an error
		up     time.Duration // when the server becomes ready
	}{
		{"connections are refused", time.Hour, 5 * time.Second},
		{"the server returns errors", 0, 5 * time.Second},
		{"the server returns errors for long", 0, 20 * time.Second},
		{"connections are refused, then errors", 4 * time.Second, 6 * time.Second},
		{"connections are refused for long, then errors", 12 * time.Second, 14 * time.Second},
	}
	for _, test := range tests {
		for _, spread := range []time.Duration{0, 2 * time.Second} {
			t.Run(test.name+", waiters start within "+spread.String(), func(t *testing.T) {
				h := herd{begun: make([]time.Duration, pods), done: make([]time.Duration, pods)}
				for i := range pods {
					delays := backoff{interval: DefaultInterval}
					now := spread * time.Duration(i) / pods
					h.begun[i] = now
					for h.attempt(now); now < test.up; h.attempt(now) {
						err := error(errRefused)
						if now >= test.listen {
							err = err503
						}
						now += delays.next(err, time.Unix(0, 0).Add(now))
					}
					h.done[i] = now
				}
				h.assertNoBursts(t, test.up)
			})
		}
	}
}

func TestAnotherKindOfFailureRestartsTheDelays(t *testing.T) {
	delays := backoff{interval: time.Second}
	now := time.Unix(0, 0)
	err503 := errors.New("status 503")
	for range 60 {
		delays.next(errRefused, now)
		now = now.Add(time.Second)
	}
	assert.Greater(t, delays.next(errRefused, now), 200*time.Millisecond)
	assert.Less(t, delays.next(err503, now), 51*time.Millisecond)
	assert.Less(t, delays.next(err503, now.Add(20*time.Millisecond)), 76*time.Millisecond)
}

// If a name has two backends, the attempts may fail alternately in two different ways.
func TestAlternatingFailuresDoNotRestartTheDelays(t *testing.T) {
	delays := backoff{interval: time.Second}
	var now time.Duration
	errs := []error{errRefused, errors.New("status 503")}
	n := 0
	for ; now < time.Minute; n++ {
		now += delays.next(errs[n%2], time.Unix(0, 0).Add(now))
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
