package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Usher finds commands in PATH as execvp(3) does. Each command is executed twice: by the helper
// program puppet (testdata/puppet.c), which calls execvp(3), and by usher. The scripts print $0,
// which is the path by which they were executed, their arguments, and their directory.
func TestCommandIsFoundAsByExecvp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{"a", "b", "c", "d", "a/sub"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "a", "directory"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(dir, "a", "sub"), filepath.Join(dir, "link")))
	script := func(path, first string, mode os.FileMode) {
		writeProgram(t, filepath.Join(dir, path), first+`echo "$0: $# $*"; pwd; exit 3`+"\n")
		require.NoError(t, os.Chmod(filepath.Join(dir, path), mode))
	}
	const sh = "#!/bin/sh\n"
	script("here", sh, 0o755)
	script("plain-here", "", 0o755)
	script("a/tool", sh, 0o755)
	script("a/denied", sh, 0o644)
	script("b/denied", sh, 0o755)
	script("a/plain", "", 0o755)
	script("b/plain", sh, 0o755)
	script("a/orphaned", "#!/no/such/interpreter\n", 0o755)
	script("b/orphaned", sh, 0o755)
	script("b/directory", sh, 0o755)
	script("a/only", sh, 0o755)
	script("c/locked", sh, 0o644)
	script("a/sh", sh, 0o755)
	script("b/-dashed", sh, 0o755)
	script("b/white space", sh, 0o755)

	for i, c := range []struct{ path, command string }{
		{"a:b", "tool"}, {"b:a", "tool"}, {dir + "/a:" + dir + "/b", "tool"},
		{"a:b", "denied"}, {"a", "denied"}, {"c:nowhere", "locked"},
		{"a:b", "plain"}, {"b:a", "plain"}, {dir + "/a", "plain"},
		{"a:b", "orphaned"}, {"a:b", "directory"}, {"a", "directory"},
		{"", "here"}, {":a", "here"}, {"a:", "here"}, {"a::b", "here"}, {".", "here"}, {"./", "here"}, {"a", "here"},
		{"", "plain-here"}, {".", "plain-here"},
		{"nowhere:here:a", "tool"}, {"here", "tool"}, {dir + "/nowhere", "tool"},
		{"link/..", "only"}, {dir + "/link/..", "only"}, {dir + "/link/..:" + dir + "/b", "tool"},
		{dir + "//a/./", "tool"}, {dir + "/b/../a", "tool"},
		{"a", "sh"}, {"b", "-dashed"}, {"b", "white space"}, {"a", ""}, {"", ""}, {"a", "."}, {"a", ".."},
		{"b", "./here"}, {"b", "a/tool"}, {"b", "./a/../here"}, {"b", dir + "/a/plain"}, {"b", "a/plain"}, {"b", "./plain-here"}, {"b", "here/"}, {"b", "a/"},
		{"a:" + strings.Repeat("x", 5000) + ":b", "white space"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, false)
			call := fmt.Sprintf("%.200q with PATH=%.200q", c.command, c.path)
			launch := []string{"chdir=" + dir, "env=PATH=" + c.path, "env=PATH=/ignored"}
			direct, code := s.run(launch, c.command, "x y", "", "*")
			through, throughCode := s.run(launch, binary(t), "--", c.command, "x y", "", "*")
			assert.Equal(t, direct, through, call)
			assert.Equal(t, code, throughCode, "%s: %.200s", call, s.printed(s.stderr))
		})
	}
	t.Run("without PATH", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, false)
		direct, code := s.run([]string{"env=A=1"}, "sh", "-c", "echo $PPID >/dev/null; echo $0; exit 4")
		through, throughCode := s.run([]string{"env=A=1"}, binary(t), "--", "sh", "-c", "echo $PPID >/dev/null; echo $0; exit 4")
		assert.Equal(t, direct, through)
		assert.Equal(t, 4, code)
		assert.Equal(t, code, throughCode)
	})
}
