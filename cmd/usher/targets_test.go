package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/probes"
)

// The README has a row for every kind of target, and the line to paste that
// stands in it is understood.
func TestReadmeHasALineToPasteForEveryKind(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(readme), "| target | ready when | for example |\n|---|---|---|\n")
	require.True(t, ok)
	table, _, _ = strings.Cut(table, "\n\n")
	shown := map[string]bool{}
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		require.Len(t, cells, 3, row)
		line := strings.Trim(cells[2], "`")
		out, err := exec.Command("sh", "-c", `printf '%s\0' `+line).Output()
		require.NoError(t, err, line)
		o, err := parseOptions(append(strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), "--grace=25s", "--", "app"), nil)
		require.NoError(t, err, line)
		for _, target := range append(o.config.Wait, o.config.Drain...) {
			shown[target.Kind] = true
			assert.True(t, target.Kind == "command" || strings.Contains(cells[0], "`"+target.Kind+"://"), row)
		}
	}
	_, err = probes.Parse("unknown://x", probes.ForWait)
	kinds := regexp.MustCompile(`([a-z]+)://`).FindAllStringSubmatch(strings.ReplaceAll(err.Error(), "unknown://", ""), -1)
	require.Greater(t, len(kinds), 14)
	for _, kind := range kinds {
		assert.Contains(t, table, "`"+kind[1]+"://")
		assert.True(t, shown[kind[1]] || kind[1] == "postgresql", "a line for %s", kind[1])
	}
	assert.True(t, shown["command"])
}
