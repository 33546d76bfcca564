package supervisor

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

// mutant is a defect that TestLivesFindMutants puts into the code.
type mutant struct {
	file, name string
	replace    [][2]string // pairs of old and new lines
}

// readMutants parses testdata/lives.mutants.
func readMutants(t *testing.T) (all []mutant) {
	t.Helper()
	text, err := os.ReadFile("testdata/lives.mutants")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if head, ok := strings.CutPrefix(line, "== "); ok {
			file, name, ok := strings.Cut(strings.TrimSpace(head), ": ")
			require.True(t, ok, line)
			all = append(all, mutant{file: file, name: name})
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

// apply returns the file with the defect. An old line may also be only a part of a line of the
// file, such as the second half of a condition.
func (m mutant) apply(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(m.file)
	require.NoError(t, err)
	changed := string(text)
	for _, r := range m.replace {
		old := strings.TrimSuffix(r[0], "\n")
		require.Equal(t, 1, strings.Count(changed, old), "%s: %s: these lines are not in the file exactly once:\n%s", m.file, m.name, old)
		changed = strings.Replace(changed, old, strings.TrimSuffix(r[1], "\n"), 1)
	}
	return changed
}

// The lines that a mutant replaces exist in the code. Otherwise a change of the code could
// make a mutant useless without notice.
func TestLivesMutantsFitTheCode(t *testing.T) {
	names := map[string]bool{}
	for _, m := range readMutants(t) {
		require.False(t, names[m.name], m.name)
		names[m.name] = true
		m.apply(t)
	}
	require.NotEmpty(t, names)
}

// mutantLives is the number of random stories that may run until a mutant is found.
const mutantLives = 10_000

// Random lives find every defect in testdata/lives.mutants. The test takes minutes, so it runs
// only by "make lives-mutants".
func TestLivesFindMutants(t *testing.T) {
	only := os.Getenv("LIVES_MUTANTS")
	if only == "" {
		t.Skip(`it takes minutes: "make lives-mutants"`)
	}
	want := regexp.MustCompile(only)
	for _, m := range readMutants(t) {
		if !want.MatchString(m.file + ": " + m.name) {
			continue
		}
		t.Run(m.file+": "+m.name, func(t *testing.T) {
			t.Logf("found %s", m.find(t))
		})
	}
}

// find puts the defect into a copy of the code and runs lives. It returns how the lives
// revealed the defect: usually by a broken promise.
func (m mutant) find(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	path, err := filepath.Abs(m.file)
	require.NoError(t, err)
	changed, overlay, binary := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "lives.test")
	require.NoError(t, os.WriteFile(changed, []byte(m.apply(t)), 0o600))
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "the mutant cannot be compiled:\n%s", out)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.run", "^TestLives$")
	run.Env = append(os.Environ(), "SEED=1", "LIFE=0", "LIVES_SHRINK=no", fmt.Sprintf("LIVES=%d", mutantLives))
	out, err = run.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "no life has found the mutant")
	if found := regexp.MustCompile(`life \d+ broke a promise: .*`).Find(out); found != nil {
		return string(found)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "because a life does not end"
	}
	return "because the test ended with: " + string(out[:min(len(out), 300)])
}
