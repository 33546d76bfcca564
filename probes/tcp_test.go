package probes

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTCPIsReadyWhenTheServerAccepts(t *testing.T) {
	closed := make(chan error, 2)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l := listen(t, "tcp", address, func(conn net.Conn) {
			_, err := conn.Read(make([]byte, 1))
			conn.Close()
			closed <- err
		})
		require.NoError(t, ask(t, "tcp://"+l.Addr().String(), ForWait))
		assert.Equal(t, io.EOF, <-closed, "the probe closes its connection")
	}
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		assert.EqualError(t, ask(t, "tcp://"+host+":"+unusedPort(t), ForWait), "connection refused")
	}
	l := listen(t, "tcp", "[::1]:0", readUntilClosed)
	assert.NoError(t, ask(t, fmt.Sprintf("tcp://localhost:%d", l.Addr().(*net.TCPAddr).Port), ForWait), "both addresses of localhost are tried")
}

func TestTCPTimesOutOrTriesTheNextAddressIfPacketsAreDropped(t *testing.T) {
	full := listenWithFullBacklog(t, [4]byte{127, 0, 0, 2})
	target := parse(t, "tcp://"+full.String(), ForWait)
	assert.EqualError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: shortTimeout}), "timed out after 200ms")

	// The second server listens on 127.0.0.3, because on 127.0.0.1 another process may use this
	// port.
	listen(t, "tcp", fmt.Sprintf("127.0.0.3:%d", full.Port()), func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.0 204 No Content\r\n\r\n")
		readUntilClosed(conn)
	})
	attempt := Attempt{Timeout: 10 * time.Second, Resolver: resolverOf("127.0.0.2", "127.0.0.3")}
	for _, text := range []string{"tcp://db:%d", "http://db:%d/"} {
		target = parse(t, fmt.Sprintf(text, full.Port()), ForWait)
		assert.NoError(t, target.Probe.Ask(t.Context(), attempt), text)
	}
}

func TestTCPTriesEveryAddressOfAName(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0", readUntilClosed)
	var list []string
	for i := range 30 { // these addresses refuse connections
		list = append(list, fmt.Sprintf("127.0.0.%d", 2+i))
	}
	target := parse(t, fmt.Sprintf("tcp://db:%d", l.Addr().(*net.TCPAddr).Port), ForWait)
	assert.NoError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout, Resolver: resolverOf(append(list, "127.0.0.1")...)}))
}
