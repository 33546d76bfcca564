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

// TestLives runs random stories, called lives. A story describes one run of usher (see story
// in story_test.go). The configuration, the processes and the events of a life are random.
// Lives run on the same fake kernel as the stories in testdata, which are written by hand. The
// checks know only what an observer outside usher sees, such as the system calls and the
// events (see history). TestLives reads these variables of the environment:
//
//	SEED=S           the seed; default: a new one
//	LIVES=N          the number of lives of that seed; default: 1000
//	LIFE=N           the number of the first life, if SEED or LIVES is set; default: 0
//	LIVES_SHRINK=no  a life in which usher broke a promise is not shortened
//
// Without SEED and LIVES it runs lives of a fixed seed and of a new one. If CI is set too, it
// runs lives of the fixed seed only, so that the result depends on the code alone.
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

// runLives runs count lives (random stories) of a seed on all processors. first is the number
// of the first of them. If usher breaks a promise in a life, runLives stops early and reports
// that life.
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

// run runs a life in fake time and returns the text of the first problem: usher broke a promise,
// panicked, or left a goroutine that never ends. It returns "" if there is no problem, or if the
// configuration is not valid.
// If kind is not "", run considers only problems of that kind (see kindOf).
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

// record runs a story and records its history. It returns a problem if usher panics, or if
// one of its goroutines never ends.
func (s story) record(t *testing.T, h *history) (problems []string) {
	defer func() {
		if p := recover(); p != nil { // synctest panics, for example, if a goroutine is blocked for ever
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

// report fails the test. It prints the promise that was broken, the command that runs the
// life again and, unless LIVES_SHRINK=no is set, the life as a shortened story.
func (b *brokenLife) report(t *testing.T, seed uint64) {
	t.Helper()
	again := fmt.Sprintf("SEED=%d LIFE=%d LIVES=1 go test ./supervisor -run TestLives", seed, b.number)
	if os.Getenv("LIVES_SHRINK") == "no" {
		t.Fatalf("life %d broke a promise: %s\n%s", b.number, b.problem, again)
	}
	kind, problem := kindOf(b.problem), b.problem
	fails := func(l *life) bool {
		for range 5 { // several runs, because the order of things that happen at the same instant is random
			if p := l.run(t, kind); p != "" {
				problem = p
				return true
			}
		}
		return false
	}
	small := shrink(b.life, shrinkTime, fails)
	text := small.text()
	for range 50 { // repeat until the problem occurs again, and print the trace of that run
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
