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

func TestDelayBounds(t *testing.T) {
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

// TestDelaysMeetTheirGoals simulates waits without real time. Attempts take no time,
// which is the worst case for their number.
func TestDelaysMeetTheirGoals(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fixed := func(failureKind, time.Duration) time.Duration { return time.Second }
	ours := func(k failureKind, since time.Duration) time.Duration {
		return computeDelay(k, since, time.Second, random.Float64())
	}
	// simulate simulates waits of lengths between from and to. It returns the attempts
	// a second in all of them, and how late readiness is detected on average.
	simulate := func(waits int, pause func(failureKind, time.Duration) time.Duration, k failureKind, from, to time.Duration) (rate float64, late time.Duration) {
		var attempts int
		var waited time.Duration
		for i := range waits {
			wait := from + (to-from)*time.Duration(i)/time.Duration(waits)
			var now time.Duration
			for ; now < wait; attempts++ {
				now += pause(k, now)
			}
			waited, late = waited+wait, late+now-wait
		}
		return float64(attempts) / waited.Seconds(), late / time.Duration(waits)
	}

	_, second := simulate(10000, fixed, refused, time.Second/2, 6*time.Second)
	require.InDelta(t, time.Second/2, second, float64(25*time.Millisecond))
	tests := []struct {
		kinds    []failureKind
		from, to time.Duration // the waits
		rate     float64       // attempts a second
		late     float64       // relative to a fixed interval of one second
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
			part := float64(late) / float64(second)
			t.Logf("kind %d, waits of %v to %v: %.2f attempts/s, %v late, %.3f of a fixed second's", k, test.from, test.to, rate, late.Round(time.Millisecond), part)
			assert.LessOrEqual(t, rate, test.rate, "kind %d, from %v", k, test.from)
			assert.LessOrEqual(t, part, test.late, "kind %d, from %v", k, test.from)
		}
	}
	for k := range noFailure {
		before := 1e9
		for _, wait := range []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, time.Minute, 5 * time.Minute, time.Hour} {
			rate, _ := simulate(100, ours, k, wait, wait+wait/100)
			assert.Less(t, rate, before, "kind %d is asked ever less, %v", k, wait)
			before = rate
		}
	}
}

// herd is a histogram of attempts, with the start and end of each waiter.
type herd struct {
	attempts    []int // in each window
	begun, done []time.Duration
}

const window = 100 * time.Millisecond

func (h *herd) attempt(at time.Duration) {
	i := int(at / window)
	for len(h.attempts) <= i {
		h.attempts = append(h.attempts, 0)
	}
	h.attempts[i]++
}

// assertGentle asserts that all waiters ended within a second after up, and that there was
// no burst later than a second after the last start: no window has more than twice as many
// attempts as the average of the second around it, or as the last window before up.
func (h *herd) assertGentle(t *testing.T, up time.Duration) {
	t.Helper()
	assert.LessOrEqual(t, slices.Max(h.done)-up, time.Second)
	quiet, end := int((slices.Max(h.begun)+time.Second)/window), int(up/window)
	for i := quiet; i < len(h.attempts); i++ {
		from := max(quiet, min(i-5, end-10))
		to := min(from+10, end)
		sum := 0
		for _, n := range h.attempts[from:to] {
			sum += n
		}
		mean := float64(sum) / float64(to-from)
		require.LessOrEqual(t, float64(h.attempts[i]), 2*mean, "attempts from %v on", time.Duration(i)*window)
	}
}

// Ten thousand pods wait for the same server. They share only the time of their start and
// the server's states, so they are simulated one after the other.
func TestTenThousandWaitersMakeNoBursts(t *testing.T) {
	const pods = 10000
	no := errors.New("status 503")
	tests := []struct {
		name   string
		second time.Duration // from here on the server returns an error; before, it refuses connections
		up     time.Duration
	}{
		{"refused", time.Hour, 5 * time.Second},
		{"answered", 0, 5 * time.Second},
		{"answered for long", 0, 20 * time.Second},
		{"refused, then answered", 4 * time.Second, 6 * time.Second},
		{"refused for long, then answered", 12 * time.Second, 14 * time.Second},
	}
	for _, test := range tests {
		for _, spread := range []time.Duration{0, 2 * time.Second} {
			t.Run(test.name+", begun within "+spread.String(), func(t *testing.T) {
				h := herd{begun: make([]time.Duration, pods), done: make([]time.Duration, pods)}
				for i := range pods {
					delays := backoff{interval: DefaultInterval}
					now := spread * time.Duration(i) / pods
					h.begun[i] = now
					for h.attempt(now); now < test.up; h.attempt(now) {
						heard := error(errRefused)
						if now >= test.second {
							heard = no
						}
						now += delays.next(heard, time.Unix(0, 0).Add(now))
					}
					h.done[i] = now
				}
				h.assertGentle(t, test.up)
			})
		}
	}
}

func TestAnotherKindOfFailureRestartsTheDelays(t *testing.T) {
	p := backoff{interval: time.Second}
	now := time.Unix(0, 0)
	no := errors.New("status 503")
	for range 60 {
		p.next(errRefused, now)
		now = now.Add(time.Second)
	}
	assert.Greater(t, p.next(errRefused, now), 200*time.Millisecond)
	assert.Less(t, p.next(no, now), 51*time.Millisecond)
	assert.Less(t, p.next(no, now.Add(20*time.Millisecond)), 76*time.Millisecond)
}

// Two backends behind one name fail in different ways in turn. That does not restart the
// delays each time.
func TestAlternatingFailuresDoNotRestartTheDelays(t *testing.T) {
	p := backoff{interval: time.Second}
	var now time.Duration
	answers := []error{errRefused, errors.New("status 503")}
	n := 0
	for ; now < time.Minute; n++ {
		now += p.next(answers[n%2], time.Unix(0, 0).Add(now))
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
