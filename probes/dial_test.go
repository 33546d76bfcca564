package probes

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMoreSpecificErrorIsReported(t *testing.T) {
	assert.Equal(t, syscall.ECONNREFUSED, moreSpecific(syscall.ENETUNREACH, syscall.ECONNREFUSED))
	assert.Equal(t, syscall.ECONNREFUSED, moreSpecific(syscall.ECONNREFUSED, syscall.ENETUNREACH))
	assert.Equal(t, syscall.EHOSTUNREACH, moreSpecific(syscall.EHOSTUNREACH, syscall.ENETUNREACH))
}

// numberedAddrs returns n different addresses.
func numberedAddrs(n int) (list []netip.Addr) {
	for i := range n {
		list = append(list, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	return list
}

// A fakeNetwork simulates a network. Its method dial records the dialed addresses, and the
// largest number of dials that ran at the same time.
type fakeNetwork struct {
	acceptsAfter map[netip.Addr]time.Duration // the addresses that accept connections, and how long a dial of each takes
	refuses      bool                         // true: all other addresses refuse connections; false: they drop packets

	mu                   sync.Mutex
	running, mostRunning int
	tried                []netip.Addr
}

func (n *fakeNetwork) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	n.tried = append(n.tried, to.Addr())
	n.running++
	n.mostRunning = max(n.mostRunning, n.running)
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.running--
	}()
	after, accepts := n.acceptsAfter[to.Addr()]
	switch {
	case accepts && sleep(ctx, after) == nil:
		return cannedConn{}, nil
	case !accepts && n.refuses:
		return nil, syscall.ECONNREFUSED
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// Only the last address accepts a connection. All others drop packets.
func TestDialTriesEveryAddressAndFewAtATime(t *testing.T) {
	for _, count := range []int{1, 2, 7, 8, 9, 30, 1000, 4096} {
		for _, timeout := range []time.Duration{0, time.Second, 3 * time.Second} {
			t.Run(fmt.Sprint(count, " in ", timeout), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					list := numberedAddrs(count)
					last := list[count-1]
					n := fakeNetwork{acceptsAfter: map[netip.Addr]time.Duration{last: time.Millisecond / 10}}
					ctx, cancel := withTimeout(t.Context(), timeout)
					defer cancel()
					begun := time.Now()
					conn, err := dial(ctx, n.dial, list, 1)
					require.NoError(t, err)
					assert.NotNil(t, conn)
					assert.Equal(t, list, n.tried)
					assert.Equal(t, min(count, maxDials), n.mostRunning)
					if took := time.Since(begun); timeout == 0 {
						assert.LessOrEqual(t, took, time.Duration(count)*stagger)
					} else {
						assert.Less(t, took, timeout)
					}
				})
			})
		}
	}
}

// Only one of the first four addresses accepts a connection, and connecting to it takes a
// second, as with a distant server. dial must not stop this try to make room for later
// addresses.
func TestDialDoesNotReplaceTheFirstFourAddresses(t *testing.T) {
	for i := range 4 {
		synctest.Test(t, func(t *testing.T) {
			list := numberedAddrs(1000)
			n := fakeNetwork{acceptsAfter: map[netip.Addr]time.Duration{list[i]: time.Second}}
			ctx, cancel := withTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := dial(ctx, n.dial, list, 1)
			assert.NoError(t, err)
		})
	}
}

func TestDialTimesOutIfAllAddressesDropPacketsAndFailsAtOnceIfAllRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := numberedAddrs(1000)
		var drops fakeNetwork
		ctx, cancel := withTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := dial(ctx, drops.dial, list, 1)
		assert.EqualError(t, err, "timed out after 3s")
		assert.Equal(t, 3*time.Second, time.Since(begun))
		assert.Len(t, drops.tried, len(list))
		assert.Zero(t, drops.running)

		refuses := fakeNetwork{refuses: true}
		begun = time.Now()
		_, err = dial(t.Context(), refuses.dial, list, 1)
		assert.EqualError(t, err, "connection refused")
		assert.Zero(t, time.Since(begun))
		assert.Len(t, refuses.tried, len(list))
		assert.LessOrEqual(t, refuses.mostRunning, 2)
	})
}

func TestDialEndsAllDialsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n fakeNetwork
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := dial(ctx, n.dial, numberedAddrs(100), 1)
		assert.Equal(t, context.Canceled, err)
		assert.Zero(t, n.running)
	})
}

// One of a thousand addresses accepts a connection, and all others drop packets. The process
// may open only about 20 more descriptors.
func TestDialNeedsFewDescriptorsForAThousandAddresses(t *testing.T) {
	if !runsInChild(t, 0) { // in a child, because the test sets RLIMIT_NOFILE, which applies to the whole process
		return
	}
	full := listenWithFullBacklog(t, [4]byte{}) // on 0.0.0.0, so that every address of 127.0.0.0/8 drops packets
	l, err := net.Listen("tcp", fmt.Sprintf("[::1]:%d", full.Port()))
	if err != nil {
		skip(t, "needs IPv6: "+err.Error())
	}
	defer l.Close()
	accepted := make(chan bool)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			io.Copy(io.Discard, conn)
			conn.Close()
		}
		close(accepted)
	}()
	list := numberedAddrs(1000)
	for i := range list {
		b := list[i].As4()
		b[0] = 127
		list[i] = netip.AddrFrom4(b)
	}
	list[40] = netip.IPv6Loopback()
	resolver := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) { return list, nil }}
	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old))
	few := old
	few.Cur = uint64(countDescriptors(t) + 20)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few))
	err = parse(t, fmt.Sprintf("tcp://db:%d", full.Port()), ForWait).Probe.Ask(t.Context(), Attempt{Timeout: longTimeout, Resolver: resolver})
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old))
	require.NoError(t, err)
	<-accepted
}
