package probes

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerRedisStatesAndLog(t *testing.T) {
	redis := findProgram(t, "Redis", "/usr/bin/redis-server")
	a := accountOf(t, "redis")
	host, port := nonLoopbackAddress(t), unusedPort(t)
	url := "redis://:hunter2@127.0.0.1:" + port + "/0"
	cli := func(words ...string) string {
		return strings.TrimSpace(a.run(t, append([]string{"redis-cli", "-h", "127.0.0.1", "-p", port}, words...)...))
	}
	argv := []string{redis, "--port", port, "--dir", a.dir, "--enable-debug-command", "yes", "--save", ""}
	assertRefused(t, url)
	socket := a.dir + "/redis.sock"
	d := a.start(t, append(argv, "--bind", "0.0.0.0", "--unixsocket", socket)...)
	startWaiting(t, url).waitFor("ready", "connection refused")
	seen := d.waitForLine(0, "ready to accept connections at")
	probeSeveralTimes(t, url)
	probeSeveralTimes(t, fmt.Sprintf("redis://%s:%s", host, port)) // the server replies -DENIED, because in protected mode it rejects remote clients
	probeSeveralTimes(t, "redis+socket://:hunter2@"+socket+"?virtual_host=0")
	require.Contains(t, cli("DEBUG", "POPULATE", "50000"), "OK")
	require.Contains(t, cli("SAVE"), "OK")
	assert.Empty(t, d.unusualLines(seen, "DB saved on disk"))
	d.stop()

	// With these options the server takes a millisecond to load each key, and replies to clients
	// after each KiB that it has loaded. So the probes get replies while the server is loading.
	w := startWaiting(t, url)
	w.waitFor("connection refused")
	d = a.start(t, append(argv, "--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")...)
	w.waitFor("still loading its data", "connection refused")
	assertNotReady(t, url, "still loading its data")
	// With a password the server replies -NOAUTH instead of reporting that it is loading, so the
	// probe takes it for ready.
	require.Contains(t, cli("CONFIG", "SET", "requirepass", "hunter2"), "OK")
	assert.NoError(t, ask(t, url, ForWait))
	require.Contains(t, cli("-a", "hunter2", "CONFIG", "SET", "requirepass", ""), "OK")
	require.Contains(t, cli("CONFIG", "SET", "key-load-delay", "0"), "OK")
	w.waitFor("ready", "still loading its data")
	d.waitForLine(0, "Ready to accept connections")
	probeSeveralTimes(t, url)
	d.stop()

	// A script without end keeps the server busy until the script is killed.
	d = a.start(t, append(argv, "--lua-time-limit", "1")...)
	seen = d.waitForLine(0, "Ready to accept connections")
	endless := a.command("redis-cli", "-h", "127.0.0.1", "-p", port, "EVAL", "while true do end", "0")
	require.NoError(t, endless.Start())
	d.waitForLine(seen, "Slow script detected")
	assertNotReady(t, url, "busy with a script")
	cli("SCRIPT", "KILL")
	endless.Wait()
	assert.NoError(t, ask(t, url, ForWait))

	// maxclients allows only one connection, and the test uses it. So the server rejects the
	// probe, which takes such a server for ready.
	require.Contains(t, cli("CONFIG", "SET", "maxclients", "1"), "OK")
	conn, first := sendAndReceive(t, port, "PING\r\n")
	require.Equal(t, "+PONG\r\n", first)
	assert.NoError(t, ask(t, url, ForWait))
	io.WriteString(conn, "CONFIG SET maxclients 100\r\n")
	conn.Read(make([]byte, 100))

	// The server cannot save, because it may not write to its directory.
	require.Contains(t, cli("CONFIG", "SET", "save", "3600 1"), "OK")
	require.Contains(t, cli("CONFIG", "SET", "rdbcompression", "no"), "OK")
	require.NoError(t, os.Chmod(a.dir, 0o500))
	seen = d.logLength()
	cli("SET", "a", "b")
	cli("BGSAVE")
	d.waitForLine(seen, "Background saving error")
	assertNotReady(t, url, "cannot save to disk and refuses to write")
	require.NoError(t, os.Chmod(a.dir, 0o700))

	// The server becomes a replica of a master that does not exist.
	require.Contains(t, cli("CONFIG", "SET", "replica-serve-stale-data", "no"), "OK")
	require.Contains(t, cli("CONFIG", "SET", "save", ""), "OK")
	require.Contains(t, cli("REPLICAOF", "127.0.0.1", "1"), "OK")
	assertNotReady(t, url, "a replica without a connection to its master")
}

func TestServerRedisWithTLSLogsNothing(t *testing.T) {
	redis := findProgram(t, "Redis", "/usr/bin/redis-server")
	a := accountOf(t, "redis")
	cert, key, ca := a.writeCertificate(t)
	port := unusedPort(t)
	url := "ca=" + ca + " rediss://:hunter2@127.0.0.1:" + port + "/0"
	for _, clients := range []string{"no", "yes"} { // whether the server requires client certificates
		assertRefused(t, url)
		withCert := "cert=" + cert + " key=" + key + " " + url
		w := startWaiting(t, withCert)
		w.waitFor("connection refused")
		d := a.start(t, redis, "--port", "0", "--tls-port", port, "--bind", "127.0.0.1", "--dir", a.dir, "--save", "",
			"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca, "--tls-auth-clients", clients)
		w.waitFor("ready", "connection refused")
		seen := d.waitForLine(0, "Ready to accept connections")
		if clients == "yes" {
			assertNotReady(t, url, "the server requires a client certificate")
			d.waitForLine(seen, "Error accepting a client connection: .*did not return a certificate")
			seen = d.logLength()
			probeSeveralTimes(t, withCert)
		} else {
			probeSeveralTimes(t, url)
			probeSeveralTimes(t, "rediss://127.0.0.1:"+port+"?ssl_cert_reqs=none")
		}
		assert.Error(t, ask(t, "redis://127.0.0.1:"+port, ForWait))
		assert.Empty(t, d.unusualLines(seen, "Error accepting a client connection: .*wrong version number"))
		d.stop()
	}
}

// A node of a cluster answers PING even while some hash slots belong to no node. CLUSTER INFO
// shows cluster_state:ok only if every hash slot belongs to a node.
func TestServerRedisClusterAndSentinel(t *testing.T) {
	redis := findProgram(t, "Redis", "/usr/bin/redis-server")
	a := accountOf(t, "redis")
	port, sentinelPort := unusedPort(t), unusedPort(t)
	url := "redis://127.0.0.1:" + port
	cluster := `send='CLUSTER INFO\r\nQUIT\r\n' expect='cluster_state:ok' tcp://127.0.0.1:` + port
	d := a.start(t, redis, "--port", port, "--bind", "127.0.0.1", "--dir", a.dir, "--save", "", "--cluster-enabled", "yes", "--cluster-port", unusedPort(t))
	startWaiting(t, url).waitFor("ready", "connection refused")
	seen := d.waitForLine(0, "Ready to accept connections")
	w := startWaiting(t, cluster)
	const noMatch = "the connection was closed, and what was received does not match expect="
	w.waitFor(noMatch)
	a.run(t, "redis-cli", "-h", "127.0.0.1", "-p", port, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	w.waitFor("ready", noMatch)
	d.waitForLine(seen, "Cluster state changed: ok")

	// A Sentinel answers PING whatever the state of its masters. SENTINEL GET-MASTER-ADDR-BY-NAME
	// NAME returns an address only if the Sentinel monitors a master with this NAME.
	sentinel := "redis://127.0.0.1:" + sentinelPort
	w = startWaiting(t, sentinel)
	w.waitFor("connection refused")
	config := a.write(t, "sentinel.conf", "port "+sentinelPort+"\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 "+port+" 1\n")
	s := a.start(t, redis, config, "--sentinel")
	w.waitFor("ready", "connection refused")
	s.waitForLine(0, "monitor master main")
	probeSeveralTimes(t, sentinel)
	master := fmt.Sprintf(`send='SENTINEL GET-MASTER-ADDR-BY-NAME %s\r\n' expect='\r\n%s\r\n' tcp://127.0.0.1:%s`, "main", port, sentinelPort)
	assert.NoError(t, ask(t, master, ForWait))
	assert.Error(t, parse(t, strings.Replace(master, "main", "other", 1), ForWait).Probe.Ask(t.Context(), Attempt{Timeout: shortTimeout}))
	d.stop()
	assert.NoError(t, ask(t, sentinel, ForWait))
}
