//go:build amd64 && !purego

package signals

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The handlers are written in assembly, once for amd64 and once for arm64. This test runs the
// arm64 handlers in an emulator.
func TestHandlersOfArm64(t *testing.T) {
	qemu, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		if os.Getenv("USHER_TEST_ALL") == "1" {
			t.Fatal("needs qemu-aarch64-static")
		}
		t.Skip("needs qemu-aarch64-static (Debian: qemu-user-static)")
	}
	test := filepath.Join(t.TempDir(), "signals.test")
	build := exec.Command("go", "test", "-c", "-o", test)
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for role, want := range map[string]string{
		"unread":  "30000 of 40, 1 of SIGUSR2\n",
		"flooded": "received all\n",
		"limited": "file too large\nother 10\n",
		"fault":   "runtime error: invalid memory address or nil pointer dereference\n",
		"spin":    "other 10\n",
		"sent":    "received all\n",
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // the time limit ends a handler that loops for ever
			defer cancel()
			cmd := exec.CommandContext(ctx, qemu, test)
			cmd.Env = append(os.Environ(), roleEnv+"="+role, "FILE="+filepath.Join(t.TempDir(), "file"))
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
				t.Errorf("%v\n%s\nwant:\n%s", err, out, want)
			}
		})
	}
}
