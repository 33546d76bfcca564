package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readmeBlock is the code block of the README behind a marker.
func readmeBlock(t *testing.T, marker string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "<!-- "+marker+" -->\n```")
	require.True(t, ok, "the README has no block %s", marker)
	_, rest, _ = strings.Cut(rest, "\n")
	block, _, ok := strings.Cut(rest, "\n```")
	require.True(t, ok)
	return block
}

// numbers are what may differ from run to run: times, ports, pids, attempts.
var numbers = regexp.MustCompile(`\d+(\.\d+)?(ms|s\b)?`)

// brief are the steps that the summary leaves out when they took no millisecond.
var brief = regexp.MustCompile(`, (leftovers|post-stop) N`)

// timeless is a session without its numbers, as a set of lines: the app's and
// usher's own come out of different pipes.
func timeless(session string) []string {
	var all []string
	for _, line := range strings.Split(strings.TrimSpace(session), "\n") {
		line = strings.TrimSpace(numbers.ReplaceAllString(line, "N"))
		all = append(all, brief.ReplaceAllString(line, ""))
	}
	slices.Sort(all)
	return all
}

func TestReadmeShowsTheDemoAsItRuns(t *testing.T) {
	demo := exec.Command("go", "run", "../../examples/demo", binary(t))
	out, err := demo.CombinedOutput()
	require.NoError(t, err, "%s", out)
	if strings.Contains(string(out), "no PID namespace") {
		skip(t, "no PID namespace can be made here")
	}
	assert.Equal(t, timeless(readmeBlock(t, "demo")), timeless(string(out)), "%s", out)
}

func TestReadmeShowsTheDockerfile(t *testing.T) {
	file, err := os.ReadFile("../../Dockerfile.example")
	require.NoError(t, err)
	withoutComments := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(file), "")
	assert.Equal(t, strings.TrimSpace(withoutComments), readmeBlock(t, "Dockerfile.example"))
}

// Every line of the README that begins with usher is one that usher takes, read
// as a shell reads it.
func TestReadmesLinesAreUnderstood(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	lines := regexp.MustCompile("`usher (-[^`]*)`").FindAllStringSubmatch(string(readme), -1)
	assert.Greater(t, len(lines), 20)
	for _, line := range lines {
		if strings.Contains(line[1], "…") || strings.HasSuffix(line[1], " T") {
			continue // a form, not a line to paste
		}
		out, err := exec.Command("sh", "-c", `set -f; printf '%s\0' `+line[1]).Output()
		require.NoError(t, err, line[0])
		_, err = parseOptions(strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), nil)
		assert.NoError(t, err, line[0])
	}
}
