package probes

import (
	"context"
	"net/netip"
	"os"
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

// names is a resolver of one answer.
func names(list ...string) *Resolver {
	return &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) { return addrs(list...), nil }}
}
