package main

import (
	byteorder "encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An app or a hook that cannot be executed is reported with the cause: the
// kernel's own errors do not name it.
func TestExecErrorsNameTheirCause(t *testing.T) {
	program, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	const machineAt = 18 // e_machine, elf(5)
	foreign, name := program[:4096], "aarch64"
	if byteorder.NativeEndian.Uint16(foreign[machineAt:]) == 183 {
		name = "x86_64"
	}
	byteorder.NativeEndian.PutUint16(foreign[machineAt:], map[string]uint16{"aarch64": 183, "x86_64": 62}[name])

	for text, want := range map[string]string{
		string(foreign):               "built for another processor (" + name + ")",
		"#!/no/bash\necho hi\n":       "/no/bash: no such file",
		"#!/bin/sh\r\necho hi\r\n":    `"/bin/sh\r": no such file (carriage return at the end of the line)`,
		"#!/no/\x1b[2J sk-secret\n":   `"/no/\x1b[2J": no such file`,
		"\x7fELFnot quite a program":  "", // for the shell, which fails
		"exit 5 # without a shebang ": "",
	} {
		app := filepath.Join(t.TempDir(), "app")
		require.NoError(t, os.WriteFile(app, []byte(text), 0o755))
		r := world{}.start(t, "--", app)
		code, said := r.code(), r.stderr.rest()
		if want == "" {
			assert.NotContains(t, said, "usher:", "%.40q", text)
			continue
		}
		assert.Equal(t, 126, code, "%.40q", text)
		assert.Contains(t, said, "cannot run "+app+": "+want)
		assert.Len(t, r.stderr.all, 1, "one line:\n%s", said)

		r = world{}.start(t, "--pre-start", app, "--", "true")
		assert.Equal(t, 125, r.code(), "%.40q", text)
		assert.Contains(t, r.stderr.rest(), want)
	}
}

// limitedGroup makes a cgroup of a controller for the test, v1 or v2, and writes
// FILE=VALUE settings to those of its files that there are. It returns its
// directory.
func limitedGroup(t *testing.T, controller string, settings ...string) string {
	t.Helper()
	needRoot(t)
	parent := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(parent, controller)); err == nil {
		parent = filepath.Join(parent, controller) // v1
	} else {
		_ = os.WriteFile(parent+"/cgroup.subtree_control", []byte("+"+controller), 0o644)
	}
	dir, err := os.MkdirTemp(parent, "usher-test-")
	if err != nil {
		skip(t, "no cgroup can be made: "+err.Error())
	}
	t.Cleanup(func() {
		eventually(t, func() bool { return os.Remove(dir) == nil }, func() string { return "somebody is left in " + dir })
	})
	for _, setting := range settings {
		file, value, _ := strings.Cut(setting, "=")
		f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		_, err = f.WriteString(value)
		f.Close()
		require.NoError(t, err, setting)
	}
	return dir
}

// inGroup is a command that enters a cgroup and then becomes argv.
func inGroup(dir string, argv ...string) []string {
	return append([]string{"/bin/sh", "-c", `echo 0 >"$0/cgroup.procs" && exec "$@"`, dir}, argv...)
}

// An app that the kernel kills for lack of memory ends with that reason, in the
// log and in the termination message.
func TestOutOfMemoryIsTold(t *testing.T) {
	dir := limitedGroup(t, "memory", "memory.limit_in_bytes=64M", "memory.memsw.limit_in_bytes=64M", "memory.max=64M", "memory.swap.max=0")
	const limit = " (the container's limit is 64 MiB)"
	lives := func(args ...string) (r *running, code int, message string) {
		file := filepath.Join(t.TempDir(), "termination-log")
		require.NoError(t, os.WriteFile(file, nil, 0o644))
		r = scene{}.start(t, inGroup(dir, append([]string{binary(t), "--termination-log", file, "--"}, args...)...)...)
		code = r.code()
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return r, code, string(text)
	}

	const hungry = "tail /dev/zero" // keeps all that it reads
	r, code, message := lives(strings.Fields(hungry)...)
	said := r.stderr.rest()
	assert.Equal(t, 137, code, said)
	assert.Equal(t, "usher: error: tail was killed by SIGKILL: out of memory"+limit, said)
	assert.Equal(t, "error: tail was killed by SIGKILL: out of memory"+limit+"\n", message)

	// The shell lives on, and reports how its child ended.
	r, code, message = lives("sh", "-c", hungry+"; exit $?")
	assert.Equal(t, 137, code)
	want := "error: sh exited 137: the kernel killed 1 process for lack of memory" + limit
	assert.Contains(t, r.stderr.rest(), "usher: "+want)
	assert.Equal(t, want+"\n", message)

	r, code, message = lives("sh", "-c", hungry+"; exit 3")
	assert.Equal(t, 3, code)
	assert.Contains(t, r.stderr.rest(), "usher: warning: the kernel killed 1 process for lack of memory"+limit)
	assert.Empty(t, message)

	// Somebody else's SIGKILL, after those above in the same cgroup.
	for _, end := range []string{"kill -9 $$", "exit 137", "exit 1"} {
		r, _, message = lives("sh", "-c", end)
		assert.Empty(t, r.stderr.rest(), end)
		assert.Empty(t, message, end)
	}
}

// The same in a container, where the paths in /proc/self/cgroup are the host's.
func TestDockerOutOfMemoryIsTold(t *testing.T) {
	needDocker(t)
	t.Parallel()
	image := usherImage(t, busyboxImage(t), `ENTRYPOINT ["/usher"]`)
	for memory, limit := range map[string]string{"32m": "32 MiB", "20971520": "20 MiB"} {
		_, said, code := runContainer(t, "--memory", memory, "--memory-swap", memory, image, "--", "tail", "/dev/zero")
		assert.Equal(t, 137, code)
		assert.Equal(t, fmt.Sprintf("usher: error: tail was killed by SIGKILL: out of memory (the container's limit is %s)\n", limit), said)
	}
}
