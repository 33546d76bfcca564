package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// skip skips a test that this machine cannot run. In CI, which sets USHER_TEST_ALL=1, skip
// fails the test instead: everything that the tests need should be installed there.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("USHER_TEST_ALL") == "1" {
		t.Fatalf("USHER_TEST_ALL=1 allows no skip: %s", reason)
	}
	t.Skip(reason)
}

// binary returns the path of usher as it is shipped: static and stripped, with the entry point
// that the Makefile sets. The version that the Makefile sets is missing. usher is built once
// per test run.
func binary(t testing.TB) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildOnce = built("usher", func(path string) *exec.Cmd {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -E github.com/usher-init/usher/signals.entry", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd
})

// built returns a function that builds a program, once per test run, and returns its path.
// The program is in the directory built.test beside the test binary. "go test" removes
// both after the tests. With "go test -c" both stay in the source directory, where git
// ignores names that end with .test.
func built(name string, command func(path string) *exec.Cmd) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		test, err := os.Executable()
		if err != nil {
			return "", err
		}
		path := filepath.Join(filepath.Dir(test), "built.test", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if out, err := command(path).CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot build the %s: %v\n%s", name, err, out)
		}
		return path, nil
	})
}

// writeProgram writes a program or a script that the test executes.
func writeProgram(t testing.TB, path, text string) {
	t.Helper()
	withoutForks(t, func() error { return os.WriteFile(path, []byte(text), 0o755) })
}

// withoutForks calls write while this process does not fork. If a parallel test forked while a
// file is open for writing, its child would have the file open until the child's own execve(2).
// Until then, execve(2) of the file fails with ETXTBSY. Package os/exec holds syscall.ForkLock
// during fork(2).
func withoutForks(t testing.TB, write func() error) {
	t.Helper()
	syscall.ForkLock.RLock()
	err := write()
	syscall.ForkLock.RUnlock()
	require.NoError(t, err)
}

// unread returns the writing end of a pipe. The reading end is open until the end of the
// test, but nothing reads from it.
func unread(t *testing.T) *os.File {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return w
}

func needBash(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		skip(t, "needs bash")
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root")
	}
}

// lastLines shortens the output of a program for the message of a failed test. It returns
// the last 50 lines, each cut after 500 bytes. If a trace of a crash began earlier, lastLines
// also returns the beginning of the trace: the reason and the first goroutine.
func lastLines(printed string) string {
	const most = 50
	lines := strings.Split(strings.TrimSuffix(printed, "\n"), "\n")
	left := max(0, len(lines)-most)
	var parts []string
	skip := func(n int) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("(%d lines left out)", n))
		}
	}
	if begin := slices.IndexFunc(lines[:left], crash.MatchString); begin >= 0 {
		end := begin + 1
		for goroutine := false; end < left && end < begin+most && !(goroutine && lines[end] == ""); end++ {
			goroutine = goroutine || strings.HasPrefix(lines[end], "goroutine ")
		}
		skip(begin)
		parts = append(parts, shorten(lines[begin:end])...)
		skip(left - end)
	} else {
		skip(left)
	}
	return strings.Join(append(parts, shorten(lines[left:])...), "\n")
}

// crash matches the first line of a trace of a Go program, or of a report of the race
// detector. A container engine may write the time at the beginning of the line.
var crash = regexp.MustCompile(`^(\S+Z )?(panic: |fatal error: |runtime: |SIG[A-Z]+: |unexpected fault |WARNING: DATA RACE)`)

// shorten cuts lines after 500 bytes.
func shorten(lines []string) []string {
	const longest = 500
	var all []string
	for _, line := range lines {
		if len(line) > longest {
			line = fmt.Sprintf("%s … (%d bytes)", line[:longest], len(line))
		}
		all = append(all, line)
	}
	return all
}

// assertPrinted is assert.Contains for the output of programs. The output may be long, so
// the failure message shows only lastLines of it. about is a format and its arguments.
func assertPrinted(t testing.TB, printed, text string, about ...any) bool {
	t.Helper()
	return strings.Contains(printed, text) || failPrinted(t, printed, fmt.Sprintf("%q was not printed", text), about)
}

// assertNotPrinted is assert.NotContains for the output of programs.
func assertNotPrinted(t testing.TB, printed, text string, about ...any) bool {
	t.Helper()
	return !strings.Contains(printed, text) || failPrinted(t, printed, fmt.Sprintf("%q was printed", text), about)
}

// assertPrintedMatch is assert.Regexp for the output of programs.
func assertPrintedMatch(t testing.TB, printed, pattern string, about ...any) bool {
	t.Helper()
	return regexp.MustCompile(pattern).MatchString(printed) || failPrinted(t, printed, fmt.Sprintf("nothing printed matches %q", pattern), about)
}

// assertNotPrintedMatch is assert.NotRegexp for the output of programs.
func assertNotPrintedMatch(t testing.TB, printed, pattern string, about ...any) bool {
	t.Helper()
	match := regexp.MustCompile(pattern).FindString(printed)
	return match == "" || failPrinted(t, printed, fmt.Sprintf("%q was printed", match), about)
}

func failPrinted(t testing.TB, printed, failure string, about []any) bool {
	t.Helper()
	if len(about) > 0 {
		failure += ": " + fmt.Sprintf(about[0].(string), about[1:]...)
	}
	return assert.Fail(t, failure, "%s", lastLines(printed))
}

func TestFailuresShowTheLastLines(t *testing.T) {
	assert.Equal(t, "a\nb", lastLines("a\nb\n"))
	var many strings.Builder
	for i := range 300000 {
		fmt.Fprintln(&many, i)
	}
	short := lastLines(many.String())
	assert.True(t, strings.HasPrefix(short, "(299950 lines left out)\n299950\n"), short)
	assert.True(t, strings.HasSuffix(short, "\n299999"), short)
	assert.Equal(t, strings.Repeat("x", 500)+" … (501 bytes)", lastLines(strings.Repeat("x", 501)))

	for _, reason := range []string{"panic: boom", "fatal error: newosproc", "2026-11-28T00:00:00Z panic: boom", "WARNING: DATA RACE"} {
		trace := reason + "\n\ngoroutine 1 [running]:\nmain.main()\n"
		short = lastLines("usher: start\n" + trace + "\ngoroutine 2 [running]:\n" + many.String())
		assert.True(t, strings.HasPrefix(short, "(1 lines left out)\n"+trace+"(299952 lines left out)\n299950\n"), short)
	}
	assert.Equal(t, "panic: boom\nexit", lastLines("panic: boom\nexit\n"))

	failed := &recorded{TB: t}
	assert.True(t, assertPrinted(failed, many.String(), "\n7\n") && assertNotPrinted(failed, many.String(), "x"))
	assert.False(t, assertPrinted(failed, many.String(), "x") || assertNotPrinted(failed, many.String(), "\n7\n"))
	assert.Len(t, failed.messages, 2)
	assert.True(t, assertPrintedMatch(failed, many.String(), `(?m)^7$`) && assertNotPrintedMatch(failed, many.String(), `[a-z]`))
	assert.False(t, assertPrintedMatch(failed, many.String(), `[a-z]`, "of case %d", 9) || assertNotPrintedMatch(failed, many.String(), `\n7\n`))
	assert.Len(t, failed.messages, 4)
	assert.Contains(t, failed.messages[2], ": of case 9")
	for _, message := range failed.messages {
		assert.Less(t, strings.Count(message, "\n"), 100, "lines")
	}
}

// recorded is a testing.TB that records the messages of failures, and does not fail the
// test.
type recorded struct {
	testing.TB
	messages []string
}

func (r *recorded) Errorf(format string, args ...any) {
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func medianOf[T int | float64](x []T) T {
	s := slices.Sorted(slices.Values(x))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
