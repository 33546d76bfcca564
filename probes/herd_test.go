//go:build !race

package probes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A herd is a large number of waiters that probe the same dependency; a waiter is a call of
// Wait. The tests in this file check that the attempts are spread over time.
//
// "make test" runs them without the race detector, because with it the simulation takes
// minutes. The race detector also crashes if hundreds of goroutines are in one bubble of
// synctest (a CHECK in tsan_rtl.cpp, go1.26).

// window is the length of the intervals for which attempts are counted.
const window = 100 * time.Millisecond

// herdSize is the number of simulated waiters.
const herdSize = 10000

var err503 = errors.New("status 503")

// A failure is a way in which attempts fail until the dependency becomes ready.
type failure struct {
	name string
	// attempt simulates an attempt. at is the time of its start, and up the later time at
	// which the dependency becomes ready. It returns how long the attempt takes, and its
	// error.
	attempt func(at, up time.Duration) (took time.Duration, err error)
	longest time.Duration // the longest duration of an attempt
}

var (
	refusing = failure{"refused", func(_, _ time.Duration) (time.Duration, error) { return 0, errRefused }, 0}
	says503  = failure{"503", func(_, _ time.Duration) (time.Duration, error) { return 0, err503 }, 0}
	// The dependency accepts connections but does not respond. When it is ready, it responds
	// to the requests that it has received.
	hangs3s = failure{"timed out", func(at, up time.Duration) (time.Duration, error) {
		if at+ProbeTimeout >= up {
			return up - at, nil
		}
		return ProbeTimeout, timeoutError(ProbeTimeout)
	}, ProbeTimeout}
	slow503 = failure{"503 after 200 ms", func(_, _ time.Duration) (time.Duration, error) {
		return 200 * time.Millisecond, err503
	}, 200 * time.Millisecond}
	// The port is closed at first. In the last fifth of the outage it is open, and the
	// server responds with 503.
	refusesThen503 = failure{"refused, then 503", func(at, up time.Duration) (time.Duration, error) {
		if at < up*4/5 {
			return 0, errRefused
		}
		return 0, err503
	}, 0}
)

// herd is one outage of the dependency, and what the waiters do in it.
type herd struct {
	up      time.Duration // when the dependency becomes ready
	spread  time.Duration // the waiters start between 0 and spread
	longest time.Duration // the longest duration of an attempt

	attempts []int           // the number of attempts in each window
	late     []time.Duration // for each waiter that starts before up: how long after up it succeeds
}

func (h *herd) attempt(at time.Duration) {
	i := int(at / window)
	for len(h.attempts) <= i {
		h.attempts = append(h.attempts, 0)
	}
	h.attempts[i]++
}

// simulate simulates herdSize waiters. It can do so one after the other, because they do not
// influence each other. The seed is fixed, so every run gives the same result.
func simulate(f failure, spread, up time.Duration) *herd {
	h := &herd{up: up, spread: spread, longest: f.longest}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range herdSize {
		delays := backoff{interval: DefaultInterval, random: random.Float64}
		begun := spread * time.Duration(i) / herdSize
		now := begun
		for h.attempt(now); now < up; h.attempt(now) {
			took, err := f.attempt(now, up)
			now += took
			if err == nil {
				break
			}
			now += delays.next(err, took, time.Unix(0, 0).Add(now))
		}
		if begun < up {
			h.late = append(h.late, now-up)
		}
	}
	slices.Sort(h.late)
	return h
}

// burst returns the number of attempts in window i, divided by the mean of the windows
// around it. The mean covers one second plus the longest duration of an attempt, because
// that is the longest time between the starts of two successive attempts of a waiter. The
// mean does not include windows after up, because waiters end then.
func (h *herd) burst(i int) float64 {
	around, end := int((time.Second+h.longest)/window), min(int(h.up/window), len(h.attempts))
	from := max(0, min(i-around/2, end-around))
	to := min(from+around, end)
	sum := 0
	for _, n := range h.attempts[from:to] {
		sum += n
	}
	return float64(h.attempts[i]) * float64(to-from) / float64(sum)
}

// settled returns the time after which burst is at most 2 for every window, and the largest
// burst after that time.
func (h *herd) settled() (at time.Duration, burst float64) {
	for i := len(h.attempts) - 1; i >= 0; i-- {
		b := h.burst(i)
		if b > 2 {
			return time.Duration(i+1) * window, burst
		}
		burst = max(burst, b)
	}
	return 0, burst
}

// assertNoBursts asserts that every waiter succeeds at most one second after up, and that
// burst is at most 2, except during the time allowed after the start of the last waiter.
func (h *herd) assertNoBursts(t *testing.T, allowed time.Duration) {
	t.Helper()
	assert.LessOrEqual(t, slices.Max(h.late), time.Second)
	at, _ := h.settled()
	assert.LessOrEqual(t, at, h.spread+allowed)
}

// An outage describes one run of the simulation.
type outage struct {
	failure
	spread, up time.Duration
}

func (o outage) String() string {
	return fmt.Sprintf("%s, waiters start within %v, outage of %v", o.name, o.spread, o.up)
}

func outages() (list []outage) {
	for _, f := range []failure{refusing, says503, hangs3s} {
		for _, spread := range []time.Duration{0, 10 * time.Second} {
			for _, up := range []time.Duration{time.Second, 10 * time.Second, 10 * time.Minute} {
				list = append(list, outage{f, spread, up})
			}
		}
	}
	list = append(list, outage{slow503, 0, 10 * time.Second})
	for _, up := range []time.Duration{10 * time.Second, time.Minute} {
		list = append(list, outage{refusesThen503, 0, up})
	}
	return list
}

// simulated returns the results of all outages. They are computed once, because two tests
// need them.
var simulated = sync.OnceValue(func() map[string]*herd {
	results := map[string]*herd{}
	for _, o := range outages() {
		results[o.String()] = simulate(o.failure, o.spread, o.up)
	}
	return results
})

// burstsAllowed returns for how long after the start of the last waiter bursts are allowed. If
// each attempt times out after 3 s, the attempts are spread only after seven attempts of each
// waiter, each followed by a delay of up to 1 s: 28 s.
func (o outage) burstsAllowed() time.Duration {
	if o.longest > time.Second {
		return 28 * time.Second
	}
	return o.longest + 200*time.Millisecond
}

func TestHerdOfTenThousandMakesNoBursts(t *testing.T) {
	for _, o := range outages() {
		t.Run(o.String(), func(t *testing.T) {
			simulated()[o.String()].assertNoBursts(t, o.burstsAllowed())
		})
	}
}

// 500 concurrent calls of Wait run in fake time. Like the simulated waiters, they must make
// no bursts.
func TestHerdOfFiveHundredCallsOfWaitMakesNoBursts(t *testing.T) {
	const waiters, up = 500, 6 * time.Second
	for _, failure := range []error{errRefused, err503} {
		for _, spread := range []time.Duration{0, 2 * time.Second} {
			t.Run(failure.Error()+", waiters start within "+spread.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					h := herd{up: up, spread: spread, late: make([]time.Duration, waiters)}
					begun := time.Now()
					probe := failsUntil(up, failure)
					var all sync.WaitGroup
					for i := range waiters {
						all.Go(func() {
							require.NoError(t, sleep(t.Context(), spread*time.Duration(i)/waiters))
							dependency := fakeTarget("dependency", func(ctx context.Context, n int) error {
								mu.Lock()
								defer mu.Unlock()
								h.attempt(time.Since(begun))
								return probe(ctx, n)
							})
							assert.NoError(t, Wait(t.Context(), []Target{dependency}, Attempt{}, nil))
							h.late[i] = time.Since(begun) - up
						})
					}
					all.Wait()
					// If all waiters start at the same instant, their first attempts are a burst.
					// In the simulation it ends after 100 ms (see herd.md). This test allows a
					// second, because it does not use a fixed seed.
					h.assertNoBursts(t, time.Second)
				})
			})
		}
	}
}

// A countingProbe counts the attempts.
type countingProbe struct {
	Probe
	attempts *atomic.Int64
}

func (p countingProbe) Ask(ctx context.Context, a Attempt) error {
	p.attempts.Add(1)
	return p.Probe.Ask(ctx, a)
}

// 500 waiters probe a real port for one second of real time. On a busy machine they make fewer
// attempts, and notice later that the server is ready, so the test has no tight limits.
func TestHerdOfFiveHundredOnARealPort(t *testing.T) {
	const waiters, outage = 500, time.Second
	for _, test := range []struct {
		scheme string
		most   int // limit for the mean number of attempts per waiter; the simulation gives 26 (tcp) and 12 (http)
	}{{"tcp://", 30}, {"http://", 15}} {
		t.Run(test.scheme, func(t *testing.T) {
			var ready atomic.Bool
			var attempts atomic.Int64
			address := net.JoinHostPort("127.0.0.1", unusedPort(t))
			serve := func() {
				l, err := net.Listen("tcp", address)
				require.NoError(t, err)
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if !ready.Load() {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
				})}
				t.Cleanup(func() { server.Close() })
				go server.Serve(l)
			}
			if test.scheme == "http://" {
				serve()
			}
			target := parse(t, test.scheme+address, ForWait)
			target.Probe = countingProbe{target.Probe, &attempts}
			begun := time.Now()
			var up time.Duration
			late := make(chan time.Duration, waiters)
			for range waiters {
				go func() {
					assert.NoError(t, Wait(t.Context(), []Target{target}, Attempt{}, nil))
					assert.True(t, ready.Load(), "a waiter has ended before the dependency was ready")
					late <- time.Since(begun)
				}()
			}
			var rates []int64
			for range outage / window {
				before := attempts.Load()
				<-time.After(window)
				rates = append(rates, attempts.Load()-before)
			}
			total := attempts.Load()
			up = time.Since(begun)
			ready.Store(true)
			if test.scheme == "tcp://" {
				serve()
			}
			var last time.Duration
			for range waiters {
				last = max(last, <-late)
			}
			t.Logf("attempts in each window of %v: %v; the last of %d waiters ended %v after the dependency was ready",
				window, rates, waiters, (last - up).Round(time.Millisecond))
			assert.LessOrEqual(t, total, waiters*int64(test.most)*int64(up)/int64(outage))
			assert.Less(t, last-up, longTimeout)
		})
	}
}

// lookups simulates processes that start at the same instant. Each process has its own
// resolver and two targets with the same host name. lookups returns the number of lookups in
// each window. The lookups fail with lookupErr. If lookupErr is nil, they succeed and the
// targets refuse connections.
func lookups(t *testing.T, processes int, outage time.Duration, lookupErr error) (counts []int) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		counts = make([]int, outage/window)
		begun := time.Now()
		var all sync.WaitGroup
		for i := range processes {
			random := rand.New(rand.NewPCG(uint64(i), 3))
			var last time.Time
			r := &Resolver{random: random.Float64, LookupNetIP: func(context.Context, string) ([]netip.Addr, error) {
				if now := time.Now(); !last.IsZero() && now.Sub(last) < time.Second {
					t.Errorf("two lookups within %v", now.Sub(last))
				}
				last = time.Now()
				mu.Lock()
				defer mu.Unlock()
				counts[time.Since(begun)/window]++
				return parseAddrs("10.0.0.1"), lookupErr
			}}
			for n := range 2 {
				random := rand.New(rand.NewPCG(uint64(i), uint64(n)))
				all.Go(func() {
					delays := backoff{interval: DefaultInterval, random: random.Float64}
					for {
						_, err := r.Lookup(t.Context(), "db")
						if err == nil {
							err = errRefused
						}
						d := delays.next(err, 0, time.Now())
						if time.Since(begun)+d >= outage {
							return
						}
						time.Sleep(d)
					}
				})
			}
		}
		all.Wait()
	})
	return counts
}

// A process looks up a name at most once a second, however many targets use it. Processes
// that start at the same instant do not stay in step.
func TestHerdOfProcessesSpreadsItsLookups(t *testing.T) {
	const processes, outage = 1000, 20 * time.Second
	for _, test := range []struct {
		name  string
		err   error
		start time.Duration
	}{
		{"name resolves", nil, time.Second},
		{"name does not resolve", errNoSuchHost, 12 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := herd{up: outage, longest: 2 * time.Second, attempts: lookups(t, processes, outage, test.err)}
			at, burst := h.settled()
			t.Logf("lookups in each window of %v: %v; settled after %v, largest burst then %.1f", window, h.attempts, at, burst)
			assert.LessOrEqual(t, at, test.start)
		})
	}
}
