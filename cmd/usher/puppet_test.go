package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// puppet returns the path of the compiled testdata/puppet.c, whose first comment
// lists what it can play.
func puppet(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		skip(t, "needs a C compiler and its static libc")
	}
	path, err := compilePuppet()
	require.NoError(t, err)
	return path
}

var compilePuppet = built("puppet", func(path string) *exec.Cmd {
	return exec.Command("cc", "-static", "-pthread", "-O1", "-Wall", "-Werror", "-o", path, "-x", "c", "testdata/puppet.c")
})

// catcher is an app that prints each signal that it gets, until its stdin ends.
func catcher(t testing.TB) []string {
	t.Helper()
	return []string{"--", puppet(t), "catch", "app"}
}
