package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A randomTest is a test with random input that must find the defects that findMutants puts
// into its package.
type randomTest struct {
	dir, name string // the directory of the package, and the name of the test
	mutants   string // the file with the list of defects, in the directory testdata of the package
	count     string // the environment variable with the number of inputs
	first     string // the environment variable with the number of the first input
}

var (
	randomLives   = randomTest{"../../supervisor", "TestLives", "lives.mutants", "LIVES", "LIFE"}
	randomTargets = randomTest{"../../probes", "TestTargets", "targets.mutants", "TARGETS", "TARGET"}
)

// mutant is a defect that findMutants puts into the code.
type mutant struct {
	test       randomTest
	file, name string
	replace    [][2]string // old and new lines
}

// readMutants parses the list of defects. The first lines of the list describe its format.
func (r randomTest) readMutants(t *testing.T) (all []mutant) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "testdata", r.mutants))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if head, ok := strings.CutPrefix(line, "== "); ok {
			file, name, ok := strings.Cut(strings.TrimSpace(head), ": ")
			require.True(t, ok, line)
			all = append(all, mutant{test: r, file: file, name: name})
			continue
		}
		if len(all) == 0 || strings.TrimSpace(line) == "" {
			continue
		}
		m := &all[len(all)-1]
		last := len(m.replace) - 1
		switch {
		case line[0] == '-' && (last < 0 || m.replace[last][1] != ""):
			m.replace = append(m.replace, [2]string{line[1:], ""})
		case line[0] == '-':
			m.replace[last][0] += line[1:]
		default:
			require.Equal(t, "+", line[:1], line)
			m.replace[last][1] += line[1:]
		}
	}
	return all
}

// apply returns the file with the defect. A line to replace need not be a whole line of the
// file: it may be a part of one, such as the second half of a condition.
func (m mutant) apply(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.test.dir, m.file))
	require.NoError(t, err)
	changed := string(text)
	for _, r := range m.replace {
		old := strings.TrimSuffix(r[0], "\n")
		require.Equal(t, 1, strings.Count(changed, old), "%s: %s: these lines are not in the file exactly once:\n%s", m.file, m.name, old)
		changed = strings.Replace(changed, old, strings.TrimSuffix(r[1], "\n"), 1)
	}
	return changed
}

// The lines that a mutant replaces occur exactly once in the code. TestLivesFindMutants and
// TestTargetsFindMutants check that too, but they do not run by default.
func TestMutantsFitTheCode(t *testing.T) {
	for _, r := range []randomTest{randomLives, randomTargets} {
		names := map[string]bool{}
		for _, m := range r.readMutants(t) {
			require.False(t, names[m.file+m.name], m.name)
			names[m.file+m.name] = true
			m.apply(t)
		}
		require.NotEmpty(t, names)
	}
}

// mutantInputs is the number of random inputs within which a mutant must be found.
const mutantInputs = 10_000

// The next two tests take minutes, so only "make lives-mutants" and "make targets-mutants"
// run them.

func TestLivesFindMutants(t *testing.T)   { randomLives.findMutants(t) }
func TestTargetsFindMutants(t *testing.T) { randomTargets.findMutants(t) }

func (r randomTest) findMutants(t *testing.T) {
	only := os.Getenv(r.count + "_MUTANTS")
	if only == "" {
		t.Skip(`it takes minutes: see "make help"`)
	}
	want := regexp.MustCompile(only)
	for _, m := range r.readMutants(t) {
		if !want.MatchString(m.file + ": " + m.name) {
			continue
		}
		t.Run(m.file+": "+m.name, func(t *testing.T) {
			t.Logf("found %s", m.find(t))
		})
	}
}

// find puts the defect into a copy of the code, runs the random test, and returns how the
// test found the defect.
func (m mutant) find(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	path, err := filepath.Abs(filepath.Join(m.test.dir, m.file))
	require.NoError(t, err)
	changed, overlay, binary := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "random.test")
	require.NoError(t, os.WriteFile(changed, []byte(m.apply(t)), 0o600))
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".")
	build.Dir = m.test.dir
	out, err := build.CombinedOutput()
	require.NoError(t, err, "the mutant cannot be compiled:\n%s", out)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // a busy machine needs minutes for all inputs
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.run", "^"+m.test.name+"$")
	run.Dir = m.test.dir
	run.Env = append(os.Environ(), "SEED=1", m.test.first+"=0", m.test.count+"_SHRINK=no", fmt.Sprintf("%s=%d", m.test.count, mutantInputs))
	out, err = run.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "the mutant was not found")
	if found := regexp.MustCompile(`(life|trial) \d+ broke a promise: .*`).Find(out); found != nil {
		return string(found)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "because the test does not end"
	}
	return "because the test ended with: " + string(out[:min(len(out), 300)])
}
