package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

// skip ends a test that this machine cannot run, and says why. CI sets
// USHER_TEST_ALL=1 and has everything: there a skip would hide a broken
// machine, so it is a failure.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("USHER_TEST_ALL") == "1" {
		t.Fatalf("USHER_TEST_ALL=1 allows no skip: %s", reason)
	}
	t.Skip(reason)
}

// binary returns the path of the real usher, built once a test run as it is
// shipped: static and stripped, with the flags of the Makefile.
func binary(t testing.TB) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildOnce = sync.OnceValues(func() (string, error) {
	test, err := os.Executable()
	if err != nil {
		return "", err
	}
	// Beside the test binary: "go test" makes that directory for this run and
	// removes it. The name is one that .gitignore knows, for "go test -c".
	path := filepath.Join(filepath.Dir(test), "built.test", "usher")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -E github.com/usher-init/usher/signals.entry", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build usher: %v\n%s", err, out)
	}
	return path, nil
})

// lastLines is the end of what a program has printed, for the message of a test
// that fails: 50 lines, none longer than 500 bytes. The whole of it could be
// hundreds of thousands.
func lastLines(printed string) string {
	const most, longest = 50, 500
	lines := strings.Split(strings.TrimSuffix(printed, "\n"), "\n")
	left := max(0, len(lines)-most)
	for i, line := range lines[left:] {
		if len(line) > longest {
			lines[left+i] = fmt.Sprintf("%s … (%d bytes)", line[:longest], len(line))
		}
	}
	last := strings.Join(lines[left:], "\n")
	if left > 0 {
		return fmt.Sprintf("(%d lines before)\n%s", left, last)
	}
	return last
}

// assertPrinted is assert.Contains for output that may be long: the message of
// that one shows all of it.
func assertPrinted(t testing.TB, printed, text string) bool {
	t.Helper()
	return strings.Contains(printed, text) || assert.Fail(t, fmt.Sprintf("%q was not printed", text), "%s", lastLines(printed))
}

// assertNotPrinted is assert.NotContains for output that may be long.
func assertNotPrinted(t testing.TB, printed, text string) bool {
	t.Helper()
	return !strings.Contains(printed, text) || assert.Fail(t, fmt.Sprintf("%q was printed", text), "%s", lastLines(printed))
}

func TestFailuresShowTheLastLines(t *testing.T) {
	assert.Equal(t, "a\nb", lastLines("a\nb\n"))
	var many strings.Builder
	for i := range 300000 {
		fmt.Fprintln(&many, i)
	}
	short := lastLines(many.String())
	assert.True(t, strings.HasPrefix(short, "(299950 lines before)\n299950\n"), short)
	assert.True(t, strings.HasSuffix(short, "\n299999"), short)
	assert.Equal(t, strings.Repeat("x", 500)+" … (501 bytes)", lastLines(strings.Repeat("x", 501)))
	failed := &recorded{TB: t}
	assert.True(t, assertPrinted(failed, many.String(), "\n7\n") && assertNotPrinted(failed, many.String(), "x"))
	assert.False(t, assertPrinted(failed, many.String(), "x") || assertNotPrinted(failed, many.String(), "\n7\n"))
	assert.Len(t, failed.said, 2)
	for _, message := range failed.said {
		assert.Less(t, strings.Count(message, "\n"), 100, "lines")
	}
}

// recorded keeps what a test would print as its failures.
type recorded struct {
	testing.TB
	said []string
}

func (r *recorded) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}
