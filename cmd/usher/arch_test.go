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

// build builds usher for another processor, as the Makefile does.
func build(t *testing.T, arch string, ldflags string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "usher")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", ldflags, "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// The handlers and the entry are written once for each processor. This one is
// emulated (qemu's user mode); the app is this machine's own.
func TestArm64(t *testing.T) {
	t.Parallel()
	qemu, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		skip(t, "needs qemu-aarch64-static (Debian: qemu-user-static)")
	}
	usher := build(t, "arm64", "-s -w -E github.com/usher-init/usher/signals.entry")

	cmd := exec.Command("sh", "-c", `trap "" USR2 HUP; exec "$@"`, "sh", qemu, usher, "--", "sh", "-c", `env; grep SigIgn /proc/self/status; exit 7`)
	cmd.Env = []string{"GODEBUG=inittrace=1", "A=1", "A=2", "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Equal(t, 7, cmd.ProcessState.ExitCode())
	assert.True(t, strings.HasPrefix(string(out), "GODEBUG=inittrace=1\nA="), "%s", out)
	assert.Regexp(t, `SigIgn:\t00000000[08]0000801\n`, string(out), "HUP, USR2; and 32, if make starts this")

	app := exec.Command(qemu, usher, "--", "bash", "-c", `
		for s in USR1 URG PIPE PROF SEGV RTMIN RTMIN+3; do trap "echo got $s" $s; done
		trap 'echo bye; exit 3' TERM; echo ready; while :; do read -t 0.1 line <&-; done`)
	needBash(t)
	stdout, ends := newReader(t, nil)
	app.Stdout = ends[0]
	require.NoError(t, app.Start())
	ends[0].Close()
	t.Cleanup(func() { app.Process.Kill() })
	stdout.expect("ready")
	for name, sig := range map[string]syscall.Signal{"USR1": 10, "URG": 23, "PIPE": 13, "PROF": 27, "RTMIN": 34, "RTMIN+3": 37} {
		require.NoError(t, app.Process.Signal(sig))
		stdout.expect("got " + name)
	}
	require.NoError(t, app.Process.Signal(syscall.SIGTERM))
	stdout.expect("bye")
	app.Wait()
	assert.Equal(t, 3, app.ProcessState.ExitCode())
}

// Elsewhere signals come by os/signal, with less of them: an init all the same.
// Each processor of a release is emulated but 386, which qemu's user mode does not
// run Go programs of.
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
			stdout, ends := newReader(t, nil)
			app := exec.Command(qemu, build(t, arch, "-s -w"), "--wait", "file:///", "--", "sh", "-c",
				`trap 'echo got USR1' USR1; trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done`)
			app.Stdout = ends[0]
			require.NoError(t, app.Start())
			ends[0].Close()
			t.Cleanup(func() { app.Process.Kill() })
			stdout.expect("ready")
			require.NoError(t, app.Process.Signal(syscall.SIGUSR1))
			stdout.expect("got USR1")
			require.NoError(t, app.Process.Signal(syscall.SIGTERM))
			stdout.expect("bye")
			app.Wait()
			assert.Equal(t, 3, app.ProcessState.ExitCode())
		})
	}
}
