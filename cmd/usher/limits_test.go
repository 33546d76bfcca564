package main

import (
	byteorder "encoding/binary"
	"os"
	"path/filepath"
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
