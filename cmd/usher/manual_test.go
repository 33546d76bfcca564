package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// usher.md is usher(1) in Markdown, for reading on the web. "make docs" runs this test
// with -update, after the tests that update usher.1.
func TestManualForTheWeb(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil {
		skip(t, "needs mandoc")
	}
	want := "<!-- Written by make docs from usher.1. -->\n\n" + outputOf(t, "mandoc", "-T", "markdown", "usher.1")
	if *update {
		require.NoError(t, os.WriteFile("usher.md", []byte(want), 0o644))
		return
	}
	got, err := os.ReadFile("usher.md")
	require.NoError(t, err)
	assert.Equal(t, want, string(got), "usher.md is out of date: run make docs")
}
