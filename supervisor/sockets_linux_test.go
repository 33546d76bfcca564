package supervisor

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestSocketsOfARealServerAreListed(t *testing.T) {
	for name, list := range map[string]func() ([]socket, error){
		"sock_diag": newSystem().sockets,
		"proc":      func() ([]socket, error) { return readProcNetTCP("/proc/net/tcp", "/proc/net/tcp6") },
	} {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
			t.Run(name+" "+address, func(t *testing.T) {
				server, err := net.Listen("tcp", address)
				if err != nil {
					t.Skip("this machine does not support the address family: " + err.Error())
				}
				defer server.Close()
				port := uint16(server.Addr().(*net.TCPAddr).Port)
				check := func(listening bool, busy int) {
					t.Helper()
					all, err := list()
					require.NoError(t, err)
					assert.Equal(t, listening, slices.Contains(new(supervisor).listeningPorts(all), port))
					assert.Equal(t, busy, busyConnections(all, []uint16{port}))
				}
				check(true, 0)
				dial := func() (client, accepted net.Conn) {
					client, err := net.Dial("tcp", server.Addr().String())
					require.NoError(t, err)
					accepted, err = server.Accept()
					require.NoError(t, err)
					return client, accepted
				}
				one, oneAccepted := dial()
				two, twoAccepted := dial()
				check(true, 2)
				server.Close()
				check(false, 2)
				// A connection whose client has shut down its side is busy, because the
				// server may still send the reply.
				require.NoError(t, one.(*net.TCPConn).CloseWrite())
				_, err = oneAccepted.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err)
				check(false, 2)
				oneAccepted.Close()
				_, err = one.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err)
				one.Close()
				check(false, 1)
				// A connection that the server has closed is busy while the server's send buffer
				// holds data.
				for n := 1; n > 0; { // until the send buffer is full
					require.NoError(t, twoAccepted.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
					n, _ = twoAccepted.Write(make([]byte, 64<<10))
				}
				twoAccepted.Close()
				check(false, 1)
				_, err = io.Copy(io.Discard, two)
				require.NoError(t, err)
				two.Close()
				check(false, 0)
			})
		}
	}
}

func TestSocketsThatCannotBeListed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tcp")
	_, err := readProcNetTCP(file)
	assert.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(file, []byte("  sl  local_address rem_address   st\n   0: 0100007F:zz 00000000:0000 0A\n"), 0o600))
	_, err = readProcNetTCP(file)
	assert.ErrorContains(t, err, "invalid line")
}

// A kernel with sock_diag but without tcp_diag ends the dump with an errno.
func TestParseDumpReturnsTheErrnoOfAFailedDump(t *testing.T) {
	for _, kind := range []byte{unix.NLMSG_DONE, unix.NLMSG_ERROR} {
		_, _, err := parseDump([]byte("\x14\x00\x00\x00" + string(kind) + "\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff"))
		assert.Equal(t, syscall.ENOENT, err)
	}
	all, done, err := parseDump([]byte("\x14\x00\x00\x00\x03\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	assert.True(t, done && err == nil && all == nil)
}

// parseDump must return for any input, and must not return more sockets than the input
// has room for.
func FuzzDump(f *testing.F) {
	f.Add([]byte("\x1a\x00\x00\x00\x14\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x01\x00\x00\x00\x50\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x14\x00\x00\x00\x03\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x14\x00\x00\x00\x02\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, _, _ := parseDump(b)
		assert.LessOrEqual(t, len(all)*16, len(b))
	})
}
