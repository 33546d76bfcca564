package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// skip ends a test that this machine cannot run, and says why. CI sets
// USHER_TEST_ALL=1 and has everything: there a skip would hide a broken
// machine, so it is a failure.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("USHER_TEST_ALL") == "1" {
		t.Fatalf("USHER_TEST_ALL=1 allows no skip: %s", reason)
	}
	t.Skip(reason)
}

// binary returns the path of the real usher, built once a test run as it is
// shipped: static and stripped, with the flags of the Makefile.
func binary(t testing.TB) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildOnce = sync.OnceValues(func() (string, error) {
	test, err := os.Executable()
	if err != nil {
		return "", err
	}
	// Beside the test binary: "go test" makes that directory for this run and
	// removes it. The name is one that .gitignore knows, for "go test -c".
	path := filepath.Join(filepath.Dir(test), "built.test", "usher")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -E github.com/usher-init/usher/signals.entry", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build usher: %v\n%s", err, out)
	}
	return path, nil
})
