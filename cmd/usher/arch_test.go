package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// buildFor builds usher for a processor (arch, a GOARCH) with the given linker flags, and
// returns its path. The program is statically linked, as in the Makefile.
func buildFor(t *testing.T, arch string, ldflags string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "usher")
	_, stderr, code := launcher{hostPID: true, vars: []string{"CGO_ENABLED=0", "GOARCH=" + arch}}.run(t,
		"go", "build", "-trimpath", "-ldflags", ldflags, "-o", path, ".")
	require.Equal(t, 0, code, lastLines(stderr))
	return path
}

// Usher's signal handlers and its entry point are assembly code, and arm64 has its own
// version. The test runs usher for arm64 in qemu's user mode. The app is a program for this
// machine's processor.
func TestArm64(t *testing.T) {
	t.Parallel()
	qemu, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		skip(t, "needs qemu-aarch64-static (Debian: qemu-user-static)")
	}
	usher := buildFor(t, "arm64", "-s -w -E github.com/usher-init/usher/signals.entry")

	inherits := launcher{hostPID: true, inherit: []string{"ignore=1,12"},
		env: []string{"GODEBUG=inittrace=1", "A=1", "A=2", "PATH=" + os.Getenv("PATH")}}
	out, _, code := inherits.run(t, qemu, usher, "--", "sh", "-c", `env; grep SigIgn /proc/self/status; exit 7`)
	assert.Equal(t, 7, code)
	assert.True(t, strings.HasPrefix(out, "GODEBUG=inittrace=1\nA="), "%s", lastLines(out))
	assertPrintedMatch(t, out, `SigIgn:\t0000000000000801\n`, "HUP and USR2")

	needBash(t)
	app := launcher{hostPID: true}.start(t, qemu, usher, "--", "bash", "-c", `
		for s in USR1 URG PIPE PROF SEGV RTMIN RTMIN+3; do trap "echo got $s" $s; done
		trap 'echo bye; exit 3' TERM; echo ready; while :; do read -t 0.1 line <&-; done`)
	app.stdout.expect("ready")
	for name, sig := range map[string]syscall.Signal{"USR1": 10, "URG": 23, "PIPE": 13, "PROF": 27, "RTMIN": 34, "RTMIN+3": 37} {
		app.signal(sig)
		app.stdout.expect("got " + name)
	}
	app.signal(syscall.SIGTERM)
	app.stdout.expect("bye")
	assert.Equal(t, 3, app.code())
}

// On processors other than amd64 and arm64, usher receives signals through os/signal. Of the
// other processors for which "make release" builds usher, only 386 is not tested, because Go
// programs for 386 do not run under qemu's user mode.
func TestOtherProcessors(t *testing.T) {
	t.Parallel()
	for arch, emulator := range map[string]string{"arm": "qemu-arm-static", "ppc64le": "qemu-ppc64le-static",
		"s390x": "qemu-s390x-static", "riscv64": "qemu-riscv64-static"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			qemu, err := exec.LookPath(emulator)
			if err != nil {
				skip(t, "needs "+emulator+" (Debian: qemu-user-static)")
			}
			app := launcher{hostPID: true}.start(t, qemu, buildFor(t, arch, "-s -w"), "--wait", "file:///", "--", "sh", "-c",
				`trap 'echo got USR1' USR1; trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done`)
			app.stdout.expect("ready")
			app.signal(syscall.SIGUSR1)
			app.stdout.expect("got USR1")
			app.signal(syscall.SIGTERM)
			app.stdout.expect("bye")
			assert.Equal(t, 3, app.code())
		})
	}
}
