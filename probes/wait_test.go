package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fakeProbe is a Probe. At each attempt it calls the function in its field result, and returns
// the error of that call. n is the number of the attempt, from 1.
type fakeProbe struct {
	attempts int
	result   func(ctx context.Context, n int) error
}

func (f *fakeProbe) Ask(ctx context.Context, a Attempt) error {
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	f.attempts++
	return f.result(ctx, f.attempts)
}

// fakeTarget returns a target with a fakeProbe and the defaults of Parse for ForWait.
func fakeTarget(name string, result func(ctx context.Context, n int) error) Target {
	return Target{Name: name, Probe: &fakeProbe{result: result}, Timeout: ProbeTimeout, Interval: DefaultInterval, Successes: 1}
}

// always returns a function for fakeProbe.result that always returns err.
func always(err error) func(context.Context, int) error {
	return func(context.Context, int) error { return err }
}

// failsUntil returns a function for fakeProbe.result. The function returns err until d has passed
// since the call of failsUntil, and then nil.
func failsUntil(d time.Duration, err error) func(context.Context, int) error {
	begun := time.Now()
	return func(context.Context, int) error {
		if time.Since(begun) >= d {
			return nil
		}
		return err
	}
}

// hangs is a function for fakeProbe.result that returns only when the context ends.
func hangs(ctx context.Context, _ int) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

var errRefused = probeError{"connection refused", syscall.ECONNREFUSED}

// recordUpdates returns a function that appends one line to *lines for each update except
// TargetTried.
func recordUpdates(lines *[]string) func(Update) {
	return func(u Update) {
		at := u.Elapsed.Truncate(time.Second)
		switch u.Kind {
		case TargetReady:
			*lines = append(*lines, fmt.Sprintf("%v ready %s", at, u.Status.Target.Name))
		case TargetSkipped:
			*lines = append(*lines, fmt.Sprintf("%v skipped %s", at, u.Status.Target.Name))
		case WaitProgress:
			var names []string
			for _, s := range u.Pending {
				names = append(names, s.Target.Name)
			}
			*lines = append(*lines, fmt.Sprintf("%v pending %s", at, strings.Join(names, ",")))
		}
	}
}

func TestWaitReportsUpdatesAndPendingTargets(t *testing.T) {
	err503 := errors.New("status 503")
	tests := []struct {
		name    string
		limit   time.Duration
		targets func() []Target
		want    string
		pending string // the names in the PendingError
		cause   string
	}{
		{"nothing to wait for", 0, func() []Target { return nil }, "", "", ""},
		{"all targets are probed at the same time", 0, func() []Target {
			return []Target{fakeTarget("a", failsUntil(20*time.Second, err503)), fakeTarget("b", failsUntil(30*time.Second, err503)), fakeTarget("c", always(nil))}
		}, "0s ready c; 5s pending a,b; 20s ready a; 30s ready b", "", ""},
		{"progress is reported at 5, 35 and 65 s", 0, func() []Target {
			return []Target{fakeTarget("a", failsUntil(70*time.Second, err503))}
		}, "5s pending a; 35s pending a; 1m5s pending a; 1m10s ready a", "", ""},
		{"at the deadline the error names the pending targets", 3 * time.Second, func() []Target {
			return []Target{fakeTarget("a", always(err503)), fakeTarget("b", always(nil)), fakeTarget("c", hangs)}
		}, "0s ready b", "a,c", "context deadline exceeded"},
		{"within= ends the wait with an error", 0, func() []Target {
			a, b := fakeTarget("a", always(err503)), fakeTarget("b", always(err503))
			b.Within = 4 * time.Second
			return []Target{a, b}
		}, "", "a,b", "b was not ready within 4s"},
		{"optional= skips a target", 0, func() []Target {
			a, b := fakeTarget("a", always(err503)), fakeTarget("b", failsUntil(7*time.Second, err503))
			a.Optional = 2 * time.Second
			return []Target{a, b}
		}, "2s skipped a; 5s pending b; 7s ready b", "", ""},
		{"an optional target is skipped at the deadline", 4 * time.Second, func() []Target {
			a := fakeTarget("a", always(err503))
			a.Optional = time.Minute
			return []Target{a, fakeTarget("b", always(nil))}
		}, "0s ready b; 4s skipped a", "", ""},
		{"at the deadline only the optional target is skipped", 4 * time.Second, func() []Target {
			a := fakeTarget("a", always(err503))
			a.Optional = time.Minute
			return []Target{a, fakeTarget("b", always(err503))}
		}, "4s skipped a", "b", "context deadline exceeded"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				if test.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.limit)
					defer cancel()
				}
				var lines []string
				err := Wait(ctx, test.targets(), Attempt{}, recordUpdates(&lines))
				assert.Equal(t, test.want, strings.Join(lines, "; "))
				if test.pending == "" {
					require.NoError(t, err)
					return
				}
				var pending *PendingError
				require.ErrorAs(t, err, &pending)
				assert.EqualError(t, pending.Cause, test.cause)
				var names []string
				for _, s := range pending.Pending {
					names = append(names, s.Target.Name)
					assert.Positive(t, s.Attempts)
					assert.Error(t, s.Last)
				}
				assert.Equal(t, test.pending, strings.Join(names, ","))
			})
		})
	}
}

func TestWaitReturnsTheCauseOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("SIGTERM")
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(2*time.Second, func() { cancel(cause) })
		begun := time.Now()
		optional := fakeTarget("b", always(errRefused))
		optional.Optional = time.Minute
		third := fakeTarget("c", func(ctx context.Context, n int) error {
			if n == 1 {
				return errRefused
			}
			return hangs(ctx, n)
		})
		tried := 0
		err := Wait(ctx, []Target{fakeTarget("a", hangs), optional, third}, Attempt{}, func(u Update) {
			if u.Kind == TargetTried && u.Status.Target.Name == "c" {
				tried++
			}
		})
		assert.Equal(t, 1, tried, "an interrupted attempt is not reported")
		assert.ErrorIs(t, err, cause)
		assert.Equal(t, 2*time.Second, time.Since(begun))
		var pending *PendingError
		require.ErrorAs(t, err, &pending)
		require.Len(t, pending.Pending, 3, "a signal does not skip an optional target")
		assert.Equal(t, 1, pending.Pending[0].Attempts)
		assert.EqualError(t, pending.Pending[0].Last, "no answer yet")
		assert.EqualError(t, pending.Pending[1].Last, "connection refused", "the error of an interrupted attempt is not recorded")
	})
}

func TestWaitUsesTheTimeoutOfTheTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := fakeTarget("a", func(ctx context.Context, n int) error {
			if n == 3 {
				return nil
			}
			return hangs(ctx, n)
		})
		a.Timeout = 2 * time.Second
		var last []string
		begun := time.Now()
		require.NoError(t, Wait(t.Context(), []Target{a}, Attempt{Timeout: time.Hour}, func(u Update) {
			if u.Kind == TargetTried && u.Status.Last != nil {
				last = append(last, u.Status.Last.Error())
			}
		}))
		assert.Equal(t, []string{"timed out after 2s", "timed out after 2s"}, last)
		assert.Less(t, time.Since(begun), 6*time.Second)
	})
}

func TestWaitNeedsSuccessesInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := []error{nil, nil, errRefused, nil, nil, nil, errRefused}
		a := fakeTarget("a", func(_ context.Context, n int) error { return results[n-1] })
		a.Successes = 3
		var tried int
		require.NoError(t, Wait(t.Context(), []Target{a}, Attempt{}, func(u Update) {
			if u.Kind == TargetTried {
				tried++
				assert.Equal(t, tried, u.Status.Attempts)
			}
		}))
		assert.Equal(t, 6, tried)
	})
}

func TestRunHookRetriesWithinOneTimeout(t *testing.T) {
	failed := errors.New("exit status 1")
	tests := []struct {
		name    string
		retries int
		timeout time.Duration
		result  func(context.Context, int) error
		want    string
		tries   int
	}{
		{"a hook that succeeds", 0, 0, always(nil), "", 1},
		{"without retries= a hook is tried once", 0, 0, always(failed), "exit status 1", 1},
		{"a failed hook is retried", 2, 0, always(failed), "exit status 1", 3},
		{"retries end with a success", 5, 0, func(_ context.Context, n int) error {
			if n == 3 {
				return nil
			}
			return failed
		}, "", 3},
		{"a hook that hangs", 3, 10 * time.Second, hangs, "timed out after 10s", 1},
		{"one timeout covers all tries", 5, 10 * time.Second, func(ctx context.Context, n int) error {
			if n == 2 {
				return hangs(ctx, n)
			}
			return failed
		}, "timed out after 10s, the try before failed: exit status 1", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				probe := &fakeProbe{result: test.result}
				hook := Target{Probe: probe, Retries: test.retries, Timeout: test.timeout, Interval: DefaultInterval}
				begun := time.Now()
				err := RunHook(t.Context(), hook, Attempt{Timeout: time.Millisecond})
				if test.want == "" {
					assert.NoError(t, err)
				} else {
					assert.EqualError(t, err, test.want)
				}
				assert.Equal(t, test.tries, probe.attempts)
				if test.timeout > 0 {
					assert.Equal(t, test.timeout, time.Since(begun))
				}
			})
		})
	}
}

func TestRunHookReturnsTheCauseOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("SIGINT")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		assert.Equal(t, cause, RunHook(ctx, fakeTarget("a", hangs), Attempt{}))
	})
}

// BenchmarkWaitForTwoHundredTargets waits for 200 listening ports. The kernel completes the
// connections, and nothing calls accept, so the benchmark measures only the client. Each
// port can hold somaxconn connections (listen(2): 4096 by default), so -benchtime must be below
// 4000x.
func BenchmarkWaitForTwoHundredTargets(b *testing.B) {
	var targets []Target
	for range 200 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		defer l.Close()
		target, err := Parse("tcp://"+l.Addr().String(), ForWait)
		require.NoError(b, err)
		targets = append(targets, target)
	}
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, Wait(b.Context(), targets, Attempt{}, nil))
	}
}
