package supervisor

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The stories in testdata test orders of events that were written by hand. TestLives tests
// random stories, called lives: their configuration, processes and events are random. They
// run on the same fake kernel. The checks know only the system calls and the events, as an
// observer outside usher would.
//
//	LIVES=N  the number of lives, instead of a few thousand
//	SEED=S   the seed; without it, lives of a fixed seed and of a new one are run. With CI=true
//	         only the fixed seed is used, so that the result depends on the code alone
//	LIFE=N   the number of the first life
func TestLives(t *testing.T) {
	if os.Getenv("LIVES") != "" || os.Getenv("SEED") != "" {
		runLives(t, envNumber(t, "SEED", uint64(time.Now().UnixNano())), envNumber(t, "LIFE", 0), envNumber(t, "LIVES", 1000))
		return
	}
	runLives(t, 1, 0, 2000)
	if os.Getenv("CI") == "" {
		runLives(t, uint64(time.Now().UnixNano()), 0, 1000)
	}
}

func envNumber(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, name)
	return n
}

// brokenLife is a life (a random story) in which usher broke a promise.
type brokenLife struct {
	*life
	number  uint64
	problem string
}

// runLives runs lives (random stories) on all processors until usher breaks a promise in
// one.
func runLives(t *testing.T, seed, first, count uint64) {
	t.Helper()
	began := time.Now()
	next := atomic.Uint64{}
	next.Store(first)
	var mu sync.Mutex
	var broken *brokenLife
	t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("worker", func(t *testing.T) {
				t.Parallel()
				for n := next.Add(1) - 1; n < first+count; n = next.Add(1) - 1 {
					if problem := newLife(seed, n).run(t, ""); problem != "" {
						mu.Lock()
						broken = &brokenLife{newLife(seed, n), n, problem}
						mu.Unlock()
						next.Store(first + count)
					}
				}
			})
		}
	})
	if broken != nil {
		broken.report(t, seed)
		return
	}
	t.Logf("%d lives of seed %d, %.0f a second", count, seed, float64(count)/time.Since(began).Seconds())
}

// run runs a life in fake time and returns the first promise that was broken. It returns ""
// if there is none, or if the configuration is not valid. If kind is not "", run considers
// only problems of that kind.
func (l *life) run(t *testing.T, kind string) (problem string) {
	s := readStory(l.text())
	if c := s.config(t); c.Validate() != nil {
		return ""
	}
	h := &history{}
	problems := s.record(t, h)
	if len(problems) == 0 {
		problems = h.check()
	}
	for _, p := range problems {
		if kind == "" || kindOf(p) == kind {
			return p
		}
	}
	return ""
}

// record runs a story and records its history. It returns a problem if usher panics, or
// leaves a goroutine running.
func (s story) record(t *testing.T, h *history) (problems []string) {
	defer func() {
		if p := recover(); p != nil { // synctest panics, for example, if a goroutine still runs
			problems = append(problems, fmt.Sprint(p))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if p := recover(); p != nil {
				problems = append(problems, fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			}
		}()
		h.text = s.inFakeTime(t, h)
	})
	return problems
}

// shrinkTime limits how long report searches for a shorter life with the same problem.
const shrinkTime = 30 * time.Second

// report shrinks a life in which a promise was broken, and prints it as a story.
func (b *brokenLife) report(t *testing.T, seed uint64) {
	t.Helper()
	again := fmt.Sprintf("SEED=%d LIFE=%d LIVES=1 go test ./supervisor -run TestLives", seed, b.number)
	if os.Getenv("LIVES_SHRINK") == "no" {
		t.Fatalf("life %d broke a promise: %s\n%s", b.number, b.problem, again)
	}
	kind, problem := kindOf(b.problem), b.problem
	fails := func(l *life) bool {
		for range 5 { // several runs, because things that happen at the same instant happen in any order
			if p := l.run(t, kind); p != "" {
				problem = p
				return true
			}
		}
		return false
	}
	small := shrink(b.life, shrinkTime, fails)
	text := small.text()
	for range 50 { // repeat until a run has the problem again, and print its trace
		h := &history{traced: true}
		problems := readStory(text).record(t, h)
		if len(problems) == 0 {
			problems = h.check()
		}
		if slices.ContainsFunc(problems, func(p string) bool { return kindOf(p) == kind }) {
			text += "-- trace --\n" + h.text
			break
		}
	}
	t.Fatalf("life %d of seed %d broke a promise: %s\n%s\nIn short, as a story for supervisor/testdata:\n\n%s\n\n%s",
		b.number, seed, b.problem, again, strings.TrimSpace(problem), text)
}
