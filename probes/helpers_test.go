package probes

import (
	"context"
	"net/netip"
	"os"
	"testing"
)

// skip skips a test that this machine cannot run. CI sets USHER_TEST_ALL=1 and has all that
// tests need, so there a skip is a failure: it would hide a broken machine.
func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("USHER_TEST_ALL") == "1" {
		t.Fatalf("USHER_TEST_ALL=1 allows no skip: %s", reason)
	}
	t.Skip(reason)
}

// names returns a resolver that resolves every name to these addresses.
func names(list ...string) *Resolver {
	return &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) { return addrs(list...), nil }}
}
