package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests in this file compare usher without flags with other inits. Each script (see
// otherinitsgen_test.go) runs once as the app of usher and once as the app of each other
// init. What is observed of a run (see otherinitsrun_test.go) is a list of lines. The table
// initDifferences lists which lines differ, and why. The other init's lines must be exactly
// usher's lines with the differences of the table applied. So the test fails if there is
// another difference, and also if a difference of the table does not occur.

// comparedInits are the other inits with their default options. tini and dumb-init are also
// run with the option that changes which processes get the signals.
var comparedInits = []struct {
	name string
	argv []string
}{
	{"tini", []string{"tini", "--"}},
	{"tini -g", []string{"tini", "-g", "--"}},
	{"dumb-init", []string{"dumb-init", "--"}},
	{"dumb-init -c", []string{"dumb-init", "--single-child", "--"}},
	{"catatonit", []string{"catatonit", "--"}},
}

// initDifference is a difference between usher and some of the other inits.
type initDifference struct {
	inits string // names in comparedInits, separated by commas
	kinds string // regular expression: the kinds of scripts in which the difference occurs
	line  string // regular expression: a line of usher's run
	other string // the line of the other init's run in its place; "" if there is none
	// The texts for usher(1). A row without a subject is not in usher(1), because the texts of
	// a row above it describe the same difference.
	subject, usher, others, reason string
}

// applies reports whether the difference occurs with this init in scripts of this kind.
func (d *initDifference) applies(init, kind string) bool {
	return slices.Contains(strings.Split(d.inits, ", "), init) && regexp.MustCompile("^("+d.kinds+")$").MatchString(kind)
}

// change returns the other init's line for a line of usher. ok is false if the difference
// does not concern this line.
func (d *initDifference) change(line string) (changed string, ok bool) {
	re := regexp.MustCompile("^" + d.line + "$")
	return re.ReplaceAllString(line, d.other), re.MatchString(line)
}

// TestOtherInits runs scripts of each kind, then random scripts of a fixed seed, and then
// random scripts of a new seed. If the environment variable CI is set, it uses no new seed,
// so that the result depends on the code alone. If SEED is set, it runs only random scripts
// of this seed.
func TestOtherInits(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for _, init := range comparedInits {
		if _, err := exec.LookPath(init.argv[0]); err != nil {
			skip(t, "needs "+init.argv[0])
		}
	}
	if text := os.Getenv("SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "SEED")
		compareInits(t, "seed "+text, generateScripts(seed, 24))
		return
	}
	used := &usedDifferences{}
	compareInits(t, "each kind", everyKind(), used)
	compareInits(t, "seed 1", generateScripts(1, 16))
	if os.Getenv("CI") == "" {
		seed := uint64(time.Now().UnixNano())
		compareInits(t, fmt.Sprint("seed ", seed), generateScripts(seed, 8))
	}
	for i := range initDifferences {
		if used.scripts < len(everyKind()) {
			break // the flag -run has selected only some of the scripts
		}
		d := &initDifferences[i]
		for _, init := range strings.Split(d.inits, ", ") {
			assert.True(t, used.has(d, init) || t.Failed(), "the table lists a difference that no script shows: %s: %s: %s", init, d.kinds, d.line)
		}
	}
}

// usedDifferences records which rows of the table have occurred with which init.
type usedDifferences struct {
	mu      sync.Mutex
	rows    map[string]bool
	scripts int // the number of scripts that have run
}

func (u *usedDifferences) add(d *initDifference, init string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.rows == nil {
		u.rows = map[string]bool{}
	}
	u.rows[fmt.Sprintf("%p %s", d, init)] = true
}

func (u *usedDifferences) has(d *initDifference, init string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rows[fmt.Sprintf("%p %s", d, init)]
}

// compareInits runs each script under usher and under the inits in comparedInits, and compares
// what was observed. If used is given, it gets the differences that have occurred.
func compareInits(t *testing.T, name string, scripts []*initScript, used ...*usedDifferences) {
	t.Run(name, func(t *testing.T) {
		for i, s := range scripts {
			t.Run(fmt.Sprintf("%03d %s", i, s.kind), func(t *testing.T) {
				t.Parallel()
				t.Cleanup(func() {
					if t.Failed() {
						t.Logf("%s\nrun it again: %s", s, rerun(t.Name()))
					}
				})
				for _, u := range used {
					u.mu.Lock()
					u.scripts++
					u.mu.Unlock()
				}
				usher := s.run(t, []string{binary(t), "--"})
				for _, init := range comparedInits {
					if len(used) == 0 && len(init.argv) == 3 && len(s.children()) == 0 {
						continue // in a script without children, tini's -g and dumb-init's --single-child make little difference; the scripts of everyKind test that, so random scripts need not
					}
					var want []string
					for _, line := range usher {
						for i := range initDifferences {
							d := &initDifferences[i]
							changed, ok := d.change(line)
							if !ok || !d.applies(init.name, s.kind) {
								continue
							}
							for _, u := range used {
								u.add(d, init.name)
							}
							line = changed
							break
						}
						if line != "" {
							want = append(want, line)
						}
					}
					got := s.run(t, init.argv)
					assert.Equal(t, strings.Join(want, "\n"), strings.Join(got, "\n"),
						"%s: expected is what usher does, with the differences of the table initDifferences", init.name)
				}
			})
		}
	})
}

// rerun returns the command that runs one test again.
func rerun(test string) string {
	env := ""
	if _, seed, found := strings.Cut(test, "/seed_"); found {
		env = "SEED=" + strings.Split(seed, "/")[0] + " "
	}
	return fmt.Sprintf("%sgo test -count=1 ./cmd/usher -run '^%s$'", env, strings.ReplaceAll(test, "/", "$/^"))
}
