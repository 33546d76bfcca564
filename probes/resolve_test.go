package probes

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errNoSuchHost = &net.DNSError{Err: "no such host", Name: "db", Server: "10.0.0.10:53", IsNotFound: true}

func TestLookupOfAddressesAndLocalhostNeedsNoResolver(t *testing.T) {
	r := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) { panic("looked up") }}
	for host, want := range map[string][]netip.Addr{
		"10.0.0.1":      parseAddrs("10.0.0.1"),
		"::1":           parseAddrs("::1"),
		"fe80::1%eth0":  parseAddrs("fe80::1%eth0"),
		"localhost":     parseAddrs("127.0.0.1", "::1"),
		"LOCALHOST.":    parseAddrs("127.0.0.1", "::1"),
		"db.localhost":  parseAddrs("127.0.0.1", "::1"),
		"db.localhost.": parseAddrs("127.0.0.1", "::1"),
	} {
		got, err := r.Lookup(t.Context(), host)
		assert.NoError(t, err)
		assert.Equal(t, want, got, host)
	}
}

func TestLookupsOfOneNameStartAtMostOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		r := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) {
			n.Add(1)
			time.Sleep(100 * time.Millisecond)
			return nil, errNoSuchHost
		}}
		begun := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for time.Since(begun) < 9500*time.Millisecond {
					_, err := r.Lookup(t.Context(), "db")
					assert.EqualError(t, err, "name does not resolve")
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		all.Wait()
		assert.EqualValues(t, 10, n.Load())
	})
}

func TestLookupReturnsTheLastAddressesWhileANewLookupRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := []struct {
			addrs []netip.Addr
			err   error
		}{
			{parseAddrs("::ffff:10.0.0.1"), nil},
			{parseAddrs("10.0.0.2"), nil},
			{nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}},
			{nil, errNoSuchHost},
			{nil, errNoSuchHost},
		}
		n := 0
		r := &Resolver{LookupNetIP: func(ctx context.Context, _ string) ([]netip.Addr, error) {
			n++
			result := results[n-1]
			time.Sleep(300 * time.Millisecond)
			return result.addrs, result.err
		}}
		look := func(took time.Duration, want string) {
			t.Helper()
			begun := time.Now()
			got, err := r.Lookup(t.Context(), "db")
			if err != nil {
				assert.EqualError(t, err, want)
			} else {
				assert.Equal(t, parseAddrs(want), got)
			}
			assert.Equal(t, took, time.Since(begun))
			time.Sleep(2*time.Second - took)
		}
		look(300*time.Millisecond, "10.0.0.1")
		look(0, "10.0.0.1")                                 // starts the second lookup and does not wait for it
		look(0, "10.0.0.2")                                 // the second lookup has ended; this call starts the third, which fails
		look(0, "10.0.0.2")                                 // the addresses are kept after the failure; this call starts the fourth lookup, in which the name does not exist
		look(300*time.Millisecond, "name does not resolve") // the fourth lookup has removed the addresses, so this call waits for the fifth
	})
}

func TestLookupContinuesWhenTheAttemptEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := &Resolver{LookupNetIP: func(ctx context.Context, host string) ([]netip.Addr, error) {
			n++
			assert.Equal(t, "db", host)
			time.Sleep(5 * time.Second)
			return parseAddrs("10.0.0.1"), ctx.Err()
		}}
		cause := errors.New("SIGTERM")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		_, err := r.Lookup(ctx, "db")
		require.Equal(t, cause, err)
		got, err := r.Lookup(t.Context(), "DB")
		require.NoError(t, err)
		assert.Equal(t, parseAddrs("10.0.0.1"), got)
		assert.Equal(t, 1, n)
	})
}

// A hook may run hours after the wait. Lookup returns addresses that are older than 30 s
// (maxLookupAge) only if a new lookup takes longer than a second.
func TestLookupWaitsIfTheAddressesAreOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, now := time.Duration(0), parseAddrs("10.0.0.1")
		r := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) {
			got := now
			time.Sleep(slow)
			return got, nil
		}}
		look := func(want string) {
			t.Helper()
			got, err := r.Lookup(t.Context(), "db")
			require.NoError(t, err)
			assert.Equal(t, parseAddrs(want), got)
		}
		look("10.0.0.1")
		slow, now = 500*time.Millisecond, parseAddrs("10.0.0.2")
		time.Sleep(time.Hour)
		look("10.0.0.2")
		slow, now = 15*time.Second, parseAddrs("10.0.0.3")
		time.Sleep(time.Hour)
		begun := time.Now()
		look("10.0.0.2")
		assert.Equal(t, time.Second, time.Since(begun))
		time.Sleep(time.Minute)
	})
}

func TestLookupErrorsNameTheCause(t *testing.T) {
	tests := []struct {
		addrs []netip.Addr
		err   error
		want  string
	}{
		{nil, errNoSuchHost, "name does not resolve"},
		{nil, nil, "name does not resolve"},
		{nil, &net.DNSError{Err: "i/o timeout", Server: "10.0.0.10:53", IsTimeout: true}, "cannot look up name: the name server timed out"},
		{nil, &net.DNSError{Err: "read udp 10.1.2.3:40404->10.0.0.10:53: read: connection refused"}, "cannot look up name: the name server refused the connection"},
		{nil, &net.DNSError{Err: "dial udp 10.0.0.10:53: connect: network is unreachable"}, "cannot look up name: network is unreachable"},
		{nil, &net.DNSError{Err: "no answer from DNS server"}, "cannot look up name: no answer from DNS server"},
		{nil, errors.New("CANARY"), "cannot look up name"},
	}
	for _, test := range tests {
		r := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) { return test.addrs, test.err }}
		for _, text := range []string{"tcp://db:1", "http://db/"} {
			err := parse(t, text, ForWait).Probe.Ask(t.Context(), Attempt{Resolver: r})
			assert.EqualError(t, err, test.want)
			assert.Equal(t, unresolved, classify(err))
		}
	}
}

// The lookup takes 2 s, and each attempt times out after 100 ms. An attempt that is made after
// the lookup has ended must use its result.
func TestDNSUsesTheResultOfTheLookupOfAnEarlierAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) {
			n++
			time.Sleep(2 * time.Second)
			return parseAddrs("10.0.0.1"), nil
		}}
		target := parse(t, "timeout=100ms interval=10s within=1m dns://db", ForWait)
		var failures []string
		require.NoError(t, Wait(t.Context(), []Target{target}, Attempt{Resolver: r}, func(u Update) {
			if u.Kind == TargetTried && u.Status.Last != nil {
				failures = append(failures, u.Status.Last.Error())
			}
		}))
		assert.NotEmpty(t, failures)
		assert.Equal(t, 1, n, "one lookup is enough")
	})
}

// Two attempts for /readyz may be hours apart. The second attempt must not use the result of the
// lookup that the first attempt started.
func TestDNSUsesNoOldResultOfAnEarlierAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := false
		r := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) {
			if gone {
				return nil, errNoSuchHost
			}
			gone = true
			time.Sleep(5 * time.Second)
			return parseAddrs("10.0.0.1"), nil
		}}
		target := parse(t, "dns://db", ForReady)
		a := Attempt{Timeout: target.Timeout, Resolver: r}
		assert.EqualError(t, target.Probe.Ask(t.Context(), a), "timed out after 3s")
		time.Sleep(time.Hour)
		assert.EqualError(t, target.Probe.Ask(t.Context(), a), "name does not resolve")
	})
}
