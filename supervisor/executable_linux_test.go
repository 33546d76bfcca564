package supervisor

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// elfFile returns the beginning of an ELF program, with a PT_INTERP header unless loader
// is empty.
func elfFile(class, order byte, machine uint16, loader string) []byte {
	b := make([]byte, 256)
	copy(b, "\x7fELF")
	b[elfClass], b[elfData] = class, order
	var o binary.ByteOrder = binary.LittleEndian
	if order == 2 {
		o = binary.BigEndian
	}
	o.PutUint16(b[elfMachineAt:], machine)
	if loader == "" {
		return b
	}
	if class == 2 {
		o.PutUint64(b[32:], 64)   // e_phoff
		o.PutUint16(b[54:], 56)   // e_phentsize
		o.PutUint16(b[56:], 2)    // e_phnum
		o.PutUint32(b[64:], 6)    // PT_PHDR
		o.PutUint32(b[120:], 3)   // PT_INTERP
		o.PutUint64(b[128:], 200) // p_offset
		o.PutUint64(b[152:], uint64(len(loader)+1))
	} else {
		o.PutUint32(b[28:], 52)
		o.PutUint16(b[42:], 32)
		o.PutUint16(b[44:], 2)
		o.PutUint32(b[52:], 6)
		o.PutUint32(b[84:], 3)
		o.PutUint32(b[88:], 200)
		o.PutUint32(b[100:], uint32(len(loader)+1))
	}
	copy(b[200:], loader)
	return b
}

func TestELFInterpreter(t *testing.T) {
	const loader = "/lib/ld-musl-x86_64.so.1"
	for _, class := range []byte{1, 2} {
		for _, order := range []byte{1, 2} {
			head := elfFile(class, order, 183, loader)
			machine, ok := elfMachine(head)
			assert.True(t, ok)
			assert.EqualValues(t, 183, machine)
			path, ok := elfInterpreter(head)
			assert.True(t, ok)
			assert.Equal(t, loader, path)

			// Truncated and damaged files must not cause a panic.
			for n := range head {
				if path, ok := elfInterpreter(head[:n]); ok {
					assert.Equal(t, loader, path)
				}
				for _, value := range []byte{0, 1, 0x7f, 0x80, 0xff} {
					damaged := bytes.Clone(head)
					damaged[n] = value
					elfInterpreter(damaged)
				}
			}
			_, ok = elfInterpreter(elfFile(class, order, 183, ""))
			assert.False(t, ok, "a static program has no loader")
		}
	}
}

func TestScriptInterpreter(t *testing.T) {
	long := "/" + strings.Repeat("x", 300)
	for line, want := range map[string]string{
		"#!/bin/sh\n":           "/bin/sh",
		"#! \t/bin/sh -e\necho": "/bin/sh",
		"#!/bin/sh\r\necho hi":  "/bin/sh\r",
		"#!/bin/sh":             "/bin/sh",
		"#!bin/sh\t-x":          "bin/sh",
		"#!/bin/\x00sh\n":       "/bin/",
		"#!" + long:             long[:scriptLine-2],
		"#!\n/bin/sh":           "",
		"#!  ":                  "",
		"# !/bin/sh":            "",
		"":                      "",
	} {
		path, ok := scriptInterpreter([]byte(line))
		assert.Equal(t, want, path, "%q", line)
		assert.Equal(t, want != "", ok, "%q", line)
	}
}

func TestMissingInterpreter(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
		return path
	}
	native := uint16(0)
	for _, m := range machines {
		if otherProcessor(m.number) == nil {
			native = m.number
		}
	}
	require.NotZero(t, native, "machines has no entry for this processor")
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o755))

	const unknown = "its interpreter or loader is missing"
	for path, want := range map[string]string{
		write("bash", "#!/no/bash\necho hi\n"):                         "/no/bash: no such file",
		write("dos", "#!/bin/sh\r\necho hi\r\n"):                       `"/bin/sh\r": no such file (carriage return at the end of the line)`,
		write("escape", "#!/no/\x1b[31m\xff\n"):                        `"/no/\x1b[31m\xff": no such file`,
		write("long", "#!/"+strings.Repeat("é", 200)+"\nSECRET"):       "/" + strings.Repeat("é", 79) + "…: no such file",
		write("second", "#!"+filepath.Join(dir, "bash")+"\n"):          "/no/bash: no such file",
		write("itself", "#!"+filepath.Join(dir, "itself")+"\n"):        unknown,
		write("there", "#!/bin/sh\n"):                                  unknown,
		write("below", "#!/dev/null/sh\n"):                             "/dev/null/sh: no such file",
		write("musl", string(elfFile(2, 1, native, "/no/ld-musl.so"))): "/no/ld-musl.so: no such file",
		write("emulated", string(elfFile(2, 1, 8, "/no/ld.so"))):       "built for another processor (mips)",
		fifo:                       unknown,
		filepath.Join(dir, "gone"): unknown,
	} {
		got := missingInterpreter(path, func(p string) string { return p }).Error()
		assert.Equal(t, want, got, path)
	}

	s := place{dir}
	assert.EqualError(t, missingInterpreter(write("relative", "#!no/sh\n"), s.absolute), "no/sh: no such file")
	assert.EqualError(t, missingInterpreter(write("relative", "#!bash\n"), s.absolute), "/no/bash: no such file", "the interpreter bash exists, but it is a script whose own interpreter does not exist")
}

func TestBadFormat(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app")
	for text, want := range map[string]string{
		"":                                    "",
		"exit 5\n":                            "",
		"\x7fELF":                             "",
		string(elfFile(2, 1, 183, "")):        "built for another processor (aarch64)",
		string(elfFile(2, 2, 22, "")):         "built for another processor (s390x)",
		string(elfFile(1, 1, 40, "")):         "built for another processor (arm)",
		string(elfFile(2, 1, 62, "")):         "built for another processor (x86_64)",
		string(elfFile(2, 1, 250, "")):        "built for another processor (ELF machine 250)",
		string(elfFile(2, 1, 183, "/x"))[:60]: "built for another processor (aarch64)",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o755))
		err := badFormat(file)
		if machine, ok := elfMachine([]byte(text)); ok && otherProcessor(machine) == nil {
			want = syscall.ENOEXEC.Error() // the file is for this processor, so badFormat returns the error of execve(2)
		}
		if want == "" {
			assert.NoError(t, err, "%q", text)
			continue
		}
		assert.EqualError(t, err, want)
	}
}
