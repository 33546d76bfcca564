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

func TestServerMariaDB(t *testing.T) {
	mariadbd := program(t, "MariaDB", "/usr/sbin/mariadbd")
	a := accountOf(t, "mysql")
	host, port := elsewhere(t), unusedPort(t)
	url := "mysql://app:hunter2@127.0.0.1:" + port + "/app?charset=utf8mb4"
	away := "mysql://" + host + ":" + port
	data, socket := filepath.Join(a.dir, "data"), filepath.Join(a.dir, "s")
	w := wait4(t, url)
	w.hears(notThere)
	a.run(t, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal")

	// As in the images: first a server without a network, for the initialization.
	argv := []string{mariadbd, "--no-defaults", "--datadir=" + data, "--socket=" + socket, "--pid-file=" + a.dir + "/pid"}
	client := []string{"mariadb", "--no-defaults", "--socket=" + socket, "--user=root", "--skip-column-names"}
	first := a.start(t, append(slices.Clone(argv), "--skip-networking")...)
	first.line(0, "ready for connections")
	isRefused(t, url)
	a.run(t, append(client, "--execute=create user app@'%' identified by 'hunter2'")...)
	first.stop()

	// After a crash the next server has to recover. It blocks a host after a single
	// error of its handshakes.
	d := a.start(t, append(slices.Clone(argv), "--bind-address=0.0.0.0", "--port="+port, "--max-connect-errors=1", "--performance-schema=ON", "--max-connections=10")...)
	w.hears("yes") // only refused connections before: it opens its port after recovery
	d.line(0, "recovery")
	mark := d.line(0, "ready for connections")
	several(t, url)
	several(t, away)
	const count = "--execute=select sum_connect_errors, count_host_blocked_errors from performance_schema.host_cache where ip='%s'"
	assert.Equal(t, "0\t0", strings.TrimSpace(a.run(t, append(client, fmt.Sprintf(count, host))...)))

	// Each attempt logs one warning, with the name usher-probe. The marker ends the log.
	a.command("mariadb", "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--port="+port, "--user=marker", "--password=x").Run()
	logged := d.logged(mark, "Access denied for user 'marker'", "IP address '.*' could not be resolved", `Server socket created|Loading buffer pool|Buffer pool|Version:`)
	assert.NotEmpty(t, logged)
	for _, line := range logged {
		assert.Regexp(t, `\[Warning\] Access denied for user 'usher-probe'@'\S+' \(using password: NO\)$`, line)
	}

	// A connection that is closed after the greeting gets the host blocked.
	conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
	require.NoError(t, err)
	conn.Read(make([]byte, 4096))
	conn.Close()
	d.line(mark, "Aborted connection")
	var blocked string
	for !strings.Contains(blocked, "is blocked") {
		conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
		require.NoError(t, err)
		words := make([]byte, 4096)
		n, _ := conn.Read(words)
		blocked = string(words[:n])
		conn.Close()
	}
	assert.NoError(t, ask(t, away, ForWait), "1129: it is up")

	// Too many connections.
	var full bool
	for range 20 {
		if _, first := say(t, port, ""); first[4] == 0xff && binary.LittleEndian.Uint16([]byte(first[5:7])) == 1040 {
			full = true
			break
		}
	}
	require.True(t, full)
	assert.NoError(t, ask(t, url, ForWait), "1040: it is up, as mysqladmin ping has it")
}
