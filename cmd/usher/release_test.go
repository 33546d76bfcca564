package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sources copies the files that a build needs to a new directory, and returns its path.
func sources(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	outputOf(t, "sh", "-c", `cd ../.. && cp -r go.mod go.sum Makefile cmd supervisor signals probes "$0"`, dir)
	return dir
}

// The binaries do not depend on the directory of the build, nor on HOME, TZ and LANG.
func TestReleaseIsReproducible(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		skip(t, "needs make")
	}
	release := func(dir string, env ...string) (binary, sums string) {
		out, _, code := launcher{hostPID: true, merged: true, dir: dir, vars: env}.run(t, "make", "release", "VERSION=v1.2.3", "COMMIT=0123456789ab", "RELEASED=amd64 386")
		require.Equal(t, 0, code, lastLines(out))
		content, err := os.ReadFile(filepath.Join(dir, "dist", "SHA256SUMS"))
		require.NoError(t, err)
		return filepath.Join(dir, "dist", "usher-linux-amd64"), string(content)
	}
	usher, sums := release(sources(t))
	_, otherSums := release(sources(t), "HOME="+t.TempDir(), "GOCACHE="+goEnv(t, "GOCACHE"), "TZ=Asia/Tokyo", "LANG=C", "GOMODCACHE="+goEnv(t, "GOMODCACHE"))
	assert.Equal(t, sums, otherSums)
	for _, name := range []string{"usher-linux-amd64", "usher-linux-386", "usher.1"} {
		assert.Contains(t, sums, "  "+name+"\n")
	}
	out, _, code := launcher{hostPID: true, merged: true, dir: filepath.Dir(usher)}.run(t, "sha256sum", "-c", "SHA256SUMS")
	require.Equal(t, 0, code, lastLines(out))

	if goEnv(t, "GOARCH") != "amd64" {
		return
	}
	assert.Equal(t, "usher v1.2.3 - git.0123456789ab\n", outputOf(t, usher, "--version"))
	content, err := os.ReadFile(usher)
	require.NoError(t, err)
	assert.NotContains(t, string(content), filepath.Dir(filepath.Dir(usher)), "the binary contains the path of the build directory")
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(outputOf(t, "go", "env", name))
}
