package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// puppet returns the path of the compiled testdata/puppet.c. The first comment in that
// file lists the puppet's roles.
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

// catcher returns the arguments of usher for an app that prints each signal that it gets.
// The app exits at the end of its stdin.
func catcher(t testing.TB) []string {
	t.Helper()
	return []string{"--", puppet(t), "catch", "app"}
}
