package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readmeBlock returns the code block that follows a marker in the README.
func readmeBlock(t *testing.T, marker string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "<!-- "+marker+" -->\n```")
	require.True(t, ok, "the README has no block with the marker %s", marker)
	_, rest, _ = strings.Cut(rest, "\n")
	block, _, ok := strings.Cut(rest, "\n```")
	require.True(t, ok)
	return block
}

// numbers matches all numbers. Times, ports, pids and attempts differ from run to run.
var numbers = regexp.MustCompile(`\d+(\.\d+)?(ms|s\b)?`)

// shortSteps matches steps in usher's last line, after normalized has replaced the times by
// N. usher leaves out steps that took less than 1 ms, as these sometimes do.
var shortSteps = regexp.MustCompile(`, (app|leftovers|post-stop) N`)

// normalized returns the lines of a terminal session, with N for each number and without
// the steps that shortSteps matches. It sorts the lines, because the lines of the app and
// those of usher come from different pipes.
func normalized(session string) []string {
	var all []string
	for _, line := range strings.Split(strings.TrimSpace(session), "\n") {
		line = strings.TrimSpace(numbers.ReplaceAllString(line, "N"))
		all = append(all, shortSteps.ReplaceAllString(line, ""))
	}
	slices.Sort(all)
	return all
}

func TestReadmeShowsTheOutputOfTheDemo(t *testing.T) {
	out, _, code := launcher{hostPID: true, merged: true}.run(t, "go", "run", "../../examples/demo", binary(t))
	require.Equal(t, 0, code, lastLines(out))
	if strings.Contains(out, "no PID namespace") {
		skip(t, "needs PID namespaces")
	}
	want, got := normalized(readmeBlock(t, "demo")), normalized(out)
	// At the deadline one kill(2) sends SIGKILL to all processes. If the app is the last
	// process that usher reaps after that, no leftovers remain, and usher does not print the
	// line in the variable late.
	if late := "N  usher: warning: leftovers: sent SIGKILL to all remaining processes"; !slices.Contains(got, late) {
		want = slices.DeleteFunc(want, func(line string) bool { return line == late })
	}
	assert.Equal(t, want, got, lastLines(out))
}

func TestReadmeShowsTheExampleDockerfile(t *testing.T) {
	file, err := os.ReadFile("../../Dockerfile.example")
	require.NoError(t, err)
	withoutComments := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(file), "")
	assert.Equal(t, strings.TrimSpace(withoutComments), readmeBlock(t, "Dockerfile.example"))
}

func TestCommandLinesInTheReadmeAreValid(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	lines := regexp.MustCompile("`usher (-[^`]*)`").FindAllStringSubmatch(string(readme), -1)
	assert.Greater(t, len(lines), 20)
	for _, line := range lines {
		if strings.Contains(line[1], "…") || strings.HasSuffix(line[1], " T") {
			continue // a synopsis
		}
		checkCommandLine(t, line[1])
	}
}

// checkCommandLine checks the arguments of a command line of usher. A shell splits line into
// words, as it would for a user. usher must accept these words together with --plan. Command
// lines with --install or --probe cannot have --plan, so they are only parsed.
func checkCommandLine(t *testing.T, line string) {
	t.Helper()
	out := outputOf(t, "sh", "-c", `set -f; printf '%s\0' `+line)
	args := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	env := []string{"DATABASE_URL=postgres://app@db/app"} // for env:DATABASE_URL
	o, err := parseOptions(args, env)
	assert.NoError(t, err, line)
	if o.install == "" && len(o.probe) == 0 {
		_, stderr, code := launcher{hostPID: true, env: env}.run(t, append([]string{binary(t), "--plan"}, args...)...)
		assert.Zero(t, code, "%s: %s", line, stderr)
	}
}
