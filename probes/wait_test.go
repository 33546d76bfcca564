package probes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fakeProbe is a Probe that returns what its function returns for the attempt's number, from 1.
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

func fakeTarget(name string, answer func(ctx context.Context, n int) error) Target {
	return Target{Name: name, Probe: &fakeProbe{result: answer}, Timeout: ProbeTimeout, Interval: DefaultInterval, Successes: 1}
}

func always(err error) func(context.Context, int) error {
	return func(context.Context, int) error { return err }
}

// failsUntil is a probe that succeeds from that moment on, in the bubble's time.
func failsUntil(moment time.Duration, before error) func(context.Context, int) error {
	begun := time.Now()
	return func(context.Context, int) error {
		if time.Since(begun) >= moment {
			return nil
		}
		return before
	}
}

// hangs is a probe that returns only when its context ends.
func hangs(ctx context.Context, _ int) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

var errRefused = probeError{"connection refused", syscall.ECONNREFUSED}

// A recordUpdates is the list of updates, one word each, without the attempts.
func recordUpdates(lines *[]string) func(Update) {
	return func(u Update) {
		at := u.Elapsed.Truncate(time.Second)
		switch u.Kind {
		case TargetReady:
			*lines = append(*lines, fmt.Sprintf("%v yes %s", at, u.Status.Target.Name))
		case TargetSkipped:
			*lines = append(*lines, fmt.Sprintf("%v gave up %s", at, u.Status.Target.Name))
		case WaitProgress:
			var names []string
			for _, s := range u.Pending {
				names = append(names, s.Target.Name)
			}
			*lines = append(*lines, fmt.Sprintf("%v pending %s", at, strings.Join(names, ",")))
		}
	}
}

func TestWaitStories(t *testing.T) {
	no := errors.New("status 503")
	tests := []struct {
		name    string
		limit   time.Duration
		targets func() []Target
		want    string
		pending string // names in the PendingError
		cause   string
	}{
		{"nothing to wait for", 0, func() []Target { return nil }, "", "", ""},
		{"all at once, not in turn", 0, func() []Target {
			return []Target{fakeTarget("a", failsUntil(20*time.Second, no)), fakeTarget("b", failsUntil(30*time.Second, no)), fakeTarget("c", always(nil))}
		}, "0s yes c; 5s pending a,b; 20s yes a; 30s yes b", "", ""},
		{"progress at 5, 35, 65 s", 0, func() []Target {
			return []Target{fakeTarget("a", failsUntil(70*time.Second, no))}
		}, "5s pending a; 35s pending a; 1m5s pending a; 1m10s yes a", "", ""},
		{"the deadline names exactly the pending", 3 * time.Second, func() []Target {
			return []Target{fakeTarget("a", always(no)), fakeTarget("b", always(nil)), fakeTarget("c", hangs)}
		}, "0s yes b", "a,c", "context deadline exceeded"},
		{"within is fatal", 0, func() []Target {
			a, b := fakeTarget("a", always(no)), fakeTarget("b", always(no))
			b.Within = 4 * time.Second
			return []Target{a, b}
		}, "", "a,b", "b was not ready within 4s"},
		{"optional is a warning", 0, func() []Target {
			a, b := fakeTarget("a", always(no)), fakeTarget("b", failsUntil(7*time.Second, no))
			a.Optional = 2 * time.Second
			return []Target{a, b}
		}, "2s gave up a; 5s pending b; 7s yes b", "", ""},
		{"optional is given up at the deadline", 4 * time.Second, func() []Target {
			a := fakeTarget("a", always(no))
			a.Optional = time.Minute
			return []Target{a, fakeTarget("b", always(nil))}
		}, "0s yes b; 4s gave up a", "", ""},
		{"an optional one does not save a required one", 4 * time.Second, func() []Target {
			a := fakeTarget("a", always(no))
			a.Optional = time.Minute
			return []Target{a, fakeTarget("b", always(no))}
		}, "4s gave up a", "b", "context deadline exceeded"},
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
		signal := errors.New("SIGTERM")
		ctx, stop := context.WithCancelCause(context.Background())
		time.AfterFunc(2*time.Second, func() { stop(signal) })
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
		assert.Equal(t, 1, tried, "being cut short is not told as an answer")
		assert.ErrorIs(t, err, signal)
		assert.Equal(t, 2*time.Second, time.Since(begun))
		var pending *PendingError
		require.ErrorAs(t, err, &pending)
		require.Len(t, pending.Pending, 3, "a signal gives nothing up")
		assert.Equal(t, 1, pending.Pending[0].Attempts)
		assert.EqualError(t, pending.Pending[0].Last, "no answer yet")
		assert.EqualError(t, pending.Pending[1].Last, "connection refused", "being cut short is no answer")
	})
}

func TestWaitUsesTheTargetsTimeout(t *testing.T) {
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
		answers := []error{nil, nil, errRefused, nil, nil, nil, errRefused}
		a := fakeTarget("a", func(_ context.Context, n int) error { return answers[n-1] })
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

func TestRunHook(t *testing.T) {
	failed := errors.New("exit status 1")
	tests := []struct {
		name    string
		retries int
		timeout time.Duration
		answer  func(context.Context, int) error
		want    string
		asked   int
	}{
		{"yes", 0, 0, always(nil), "", 1},
		{"done once", 0, 0, always(failed), "exit status 1", 1},
		{"tried again", 2, 0, always(failed), "exit status 1", 3},
		{"until it is done", 5, 0, func(_ context.Context, n int) error {
			if n == 3 {
				return nil
			}
			return failed
		}, "", 3},
		{"hangs", 3, 10 * time.Second, hangs, "timed out after 10s", 1},
		{"one timeout for all tries", 5, 10 * time.Second, func(ctx context.Context, n int) error {
			if n == 2 {
				return hangs(ctx, n)
			}
			return failed
		}, "timed out after 10s, the try before failed: exit status 1", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				probe := &fakeProbe{result: test.answer}
				hook := Target{Probe: probe, Retries: test.retries, Timeout: test.timeout, Interval: DefaultInterval}
				begun := time.Now()
				err := RunHook(t.Context(), hook, Attempt{Timeout: time.Millisecond})
				if test.want == "" {
					assert.NoError(t, err)
				} else {
					assert.EqualError(t, err, test.want)
				}
				assert.Equal(t, test.asked, probe.attempts)
				if test.timeout > 0 {
					assert.Equal(t, test.timeout, time.Since(begun))
				}
			})
		})
	}
}

func TestRunHookReturnsTheCauseOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hurry := errors.New("SIGINT")
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(hurry) })
		assert.Equal(t, hurry, RunHook(ctx, fakeTarget("a", hangs), Attempt{}))
	})
}
