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
	remote := "mysql://" + host + ":" + port // MariaDB counts connection errors, and blocks clients, only for addresses other than loopback
	data, socket := filepath.Join(a.dir, "data"), filepath.Join(a.dir, "s")
	cert, key, ca := a.writeCertificate(t)
	w := startWaiting(t, url)
	w.waitFor("connection refused")
	a.run(t, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal")

	// MariaDB's container images first start a server without a network port, to create users and
	// databases. The test does the same.
	argv := []string{mariadbd, "--no-defaults", "--datadir=" + data, "--socket=" + socket, "--pid-file=" + a.dir + "/pid"}
	client := []string{"mariadb", "--no-defaults", "--socket=" + socket, "--user=root", "--skip-column-names"}
	first := a.start(t, append(slices.Clone(argv), "--skip-networking")...)
	first.waitForLine(0, "ready for connections")
	assertRefused(t, url)
	a.run(t, append(client, "--execute=create user app@'%' identified by 'hunter2'")...)
	first.stop()

	// The first server was killed, so the second server has to recover. With
	// --max-connect-errors=1 the second server blocks a host after one interrupted handshake.
	d := a.start(t, append(slices.Clone(argv), "--bind-address=0.0.0.0", "--port="+port, "--max-connect-errors=1", "--performance-schema=ON", "--max-connections=10",
		"--ssl-cert="+cert, "--ssl-key="+key)...)
	w.waitFor("ready") // comes right after "connection refused", because MariaDB opens its port only after the recovery
	d.waitForLine(0, "recovery")
	seen := d.waitForLine(0, "ready for connections")
	probeSeveralTimes(t, url)
	probeSeveralTimes(t, remote)
	probeSeveralTimes(t, url+"&ssl-mode=REQUIRED")
	probeSeveralTimes(t, remote+"?ssl-mode=REQUIRED")
	probeSeveralTimes(t, "ca="+ca+" "+url)
	assertNotReady(t, "ca="+ca+" "+remote, "the certificate is not for the name "+host)
	assertNotReady(t, url+"&tls=true", "the certificate is signed by an unknown authority")
	// A server that requires TLS refuses the login of a probe without TLS, and still counts as
	// ready.
	a.run(t, append(client, "--execute=set global require_secure_transport=on")...)
	probeSeveralTimes(t, url)
	probeSeveralTimes(t, remote)
	probeSeveralTimes(t, remote+"?ssl-mode=REQUIRED")
	a.run(t, append(client, "--execute=set global require_secure_transport=off")...)
	const count = "--execute=select sum_connect_errors, count_host_blocked_errors from performance_schema.host_cache where ip='%s'"
	assert.Equal(t, "0\t0", strings.TrimSpace(a.run(t, append(client, fmt.Sprintf(count, host))...)))

	// The probes may have made the server log only warnings that name the user usher-probe. The
	// test now logs in as the user marker, so the line of that login comes after the lines of
	// all probes. unusualLines waits for it and returns the lines before it.
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

	// The test opens connections until the server rejects one.
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
