package probes

import (
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerMariaDBStatesAndLog(t *testing.T) {
	mariadbd := findProgram(t, "MariaDB", "/usr/sbin/mariadbd")
	a := accountOf(t, "mysql")
	host, port := nonLoopbackAddress(t), unusedPort(t)
	url := "mysql://app:hunter2@127.0.0.1:" + port + "/app?charset=utf8mb4"
	remote := "mysql://" + host + ":" + port // the server sees a client that is not localhost
	data, socket := filepath.Join(a.dir, "data"), filepath.Join(a.dir, "s")
	w := startWaiting(t, url)
	w.waitFor("connection refused")
	a.run(t, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal")

	// As in MariaDB's container images, a server without a network port initializes the
	// data directory.
	argv := []string{mariadbd, "--no-defaults", "--datadir=" + data, "--socket=" + socket, "--pid-file=" + a.dir + "/pid"}
	client := []string{"mariadb", "--no-defaults", "--socket=" + socket, "--user=root", "--skip-column-names"}
	first := a.start(t, append(slices.Clone(argv), "--skip-networking")...)
	first.waitForLine(0, "ready for connections")
	assertRefused(t, url)
	a.run(t, append(client, "--execute=create user app@'%' identified by 'hunter2'")...)
	first.stop()

	// The first server was killed, so the next one has to recover. With
	// --max-connect-errors=1 it blocks a host after a single interrupted handshake.
	d := a.start(t, append(slices.Clone(argv), "--bind-address=0.0.0.0", "--port="+port, "--max-connect-errors=1", "--performance-schema=ON", "--max-connections=10")...)
	w.waitFor("ready") // MariaDB opens its port after the recovery, so the wait sees no other error
	d.waitForLine(0, "recovery")
	seen := d.waitForLine(0, "ready for connections")
	probeSeveralTimes(t, url)
	probeSeveralTimes(t, remote)
	const count = "--execute=select sum_connect_errors, count_host_blocked_errors from performance_schema.host_cache where ip='%s'"
	assert.Equal(t, "0\t0", strings.TrimSpace(a.run(t, append(client, fmt.Sprintf(count, host))...)))

	// Each attempt causes one warning, with the name usher-probe. The login of the user
	// marker is the last action, see unusualLines.
	a.command("mariadb", "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--port="+port, "--user=marker", "--password=x").Run()
	logged := d.unusualLines(seen, "Access denied for user 'marker'", "IP address '.*' could not be resolved", `Server socket created|Loading buffer pool|Buffer pool|Version:`)
	assert.NotEmpty(t, logged)
	for _, line := range logged {
		assert.Regexp(t, `\[Warning\] Access denied for user 'usher-probe'@'\S+' \(using password: NO\)$`, line)
	}

	// A connection that the client closes after the greeting makes the server block the host.
	conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
	require.NoError(t, err)
	conn.Read(make([]byte, 4096))
	conn.Close()
	d.waitForLine(seen, "Aborted connection")
	var blocked string
	for !strings.Contains(blocked, "is blocked") {
		conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
		require.NoError(t, err)
		message := make([]byte, 4096)
		n, _ := conn.Read(message)
		blocked = string(message[:n])
		conn.Close()
	}
	assert.NoError(t, ask(t, remote, ForWait), "error 1129 counts as ready")

	// Open connections until the server rejects one.
	var full bool
	for range 20 {
		if _, first := sendAndReceive(t, port, ""); first[4] == 0xff && binary.LittleEndian.Uint16([]byte(first[5:7])) == 1040 {
			full = true
			break
		}
	}
	require.True(t, full)
	assert.NoError(t, ask(t, url, ForWait), "error 1040 counts as ready, as for mysqladmin ping")
}
