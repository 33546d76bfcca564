package probes

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTCP(t *testing.T) {
	closed := make(chan error, 2)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l := listen(t, "tcp", address, func(conn net.Conn) {
			_, err := conn.Read(make([]byte, 1))
			conn.Close()
			closed <- err
		})
		require.NoError(t, ask(t, "tcp://"+l.Addr().String(), ForWait))
		assert.Equal(t, io.EOF, <-closed, "the probe closes its connection")
		l.Close()
		assert.EqualError(t, ask(t, "tcp://"+l.Addr().String(), ForWait), "connection refused")
	}
	l := listen(t, "tcp", "[::1]:0", readUntilClosed)
	assert.NoError(t, ask(t, fmt.Sprintf("tcp://localhost:%d", l.Addr().(*net.TCPAddr).Port), ForWait), "both of localhost's addresses are tried")
}

func TestBlackHole(t *testing.T) {
	hole := listenWithFullBacklog(t, [4]byte{127, 0, 0, 2})
	target := parse(t, "tcp://"+hole.String(), ForWait)
	assert.EqualError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: shortTimeout}), "timed out after 200ms")

	// Not 127.0.0.1, where another process may use this port.
	l := listen(t, "tcp", fmt.Sprintf("127.0.0.3:%d", hole.Port()), readUntilClosed)
	both := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{hole.Addr(), netip.MustParseAddr("127.0.0.3")}, nil
	}}
	attempt := Attempt{Timeout: 10 * time.Second, Resolver: both}
	for _, text := range []string{"tcp://db:%d", "http://db:%d/"} {
		target = parse(t, fmt.Sprintf(text, hole.Port()), ForWait)
		if strings.HasPrefix(text, "http") {
			l.Close()
			l = listen(t, "tcp", fmt.Sprintf("127.0.0.3:%d", hole.Port()), func(conn net.Conn) {
				io.WriteString(conn, "HTTP/1.0 204 No Content\r\n\r\n")
				readUntilClosed(conn)
			})
		}
		assert.NoError(t, target.Probe.Ask(t.Context(), attempt), "the address behind it is tried too")
	}
}

// After a refusal the next address is tried at once.
func TestManyAddresses(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", readUntilClosed)
	var list []netip.Addr
	for i := range 30 {
		list = append(list, netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + i)}))
	}
	names := &Resolver{LookupNetIP: func(context.Context, string) ([]netip.Addr, error) {
		return append(list, netip.MustParseAddr("127.0.0.1")), nil
	}}
	target := parse(t, fmt.Sprintf("tcp://db:%d", l.Addr().(*net.TCPAddr).Port), ForWait)
	begun := time.Now()
	assert.NoError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: time.Minute, Resolver: names}))
	assert.Less(t, time.Since(begun), 5*time.Second, "the staggers alone would be 9 s")
}
