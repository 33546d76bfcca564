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

func TestServerRedis(t *testing.T) {
	redis := program(t, "Redis", "/usr/bin/redis-server")
	a := accountOf(t, "redis")
	host, port := elsewhere(t), unusedPort(t)
	url := "redis://:hunter2@127.0.0.1:" + port + "/0"
	cli := func(words ...string) string {
		return strings.TrimSpace(a.run(t, append([]string{"redis-cli", "-h", "127.0.0.1", "-p", port}, words...)...))
	}
	argv := []string{redis, "--port", port, "--dir", a.dir, "--enable-debug-command", "yes", "--save", ""}
	isRefused(t, url)
	d := a.start(t, append(argv, "--bind", "0.0.0.0")...)
	wait4(t, url).hears("yes", notThere)
	mark := d.line(0, "Ready to accept connections")
	several(t, url)
	several(t, fmt.Sprintf("redis://%s:%s", host, port)) // -DENIED, protected mode
	require.Contains(t, cli("DEBUG", "POPULATE", "50000"), "OK")
	require.Contains(t, cli("SAVE"), "OK")
	assert.Empty(t, d.logged(mark, "DB saved on disk"))
	d.stop()

	// Loading takes a millisecond a key; it serves its clients after every KiB.
	w := wait4(t, url)
	w.hears(notThere)
	d = a.start(t, append(argv, "--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")...)
	w.hears("still loading its data", notThere)
	isNo(t, url, "still loading its data")
	// With a password it asks for that first, and does not report its state.
	require.Contains(t, cli("CONFIG", "SET", "requirepass", "hunter2"), "OK")
	assert.NoError(t, ask(t, url, ForWait))
	require.Contains(t, cli("-a", "hunter2", "CONFIG", "SET", "requirepass", ""), "OK")
	require.Contains(t, cli("CONFIG", "SET", "key-load-delay", "0"), "OK")
	w.hears("yes", "still loading its data")
	d.line(0, "Ready to accept connections")
	several(t, url)
	d.stop()

	// Busy until the script is killed.
	d = a.start(t, append(argv, "--lua-time-limit", "1")...)
	mark = d.line(0, "Ready to accept connections")
	endless := a.command("redis-cli", "-h", "127.0.0.1", "-p", port, "EVAL", "while true do end", "0")
	require.NoError(t, endless.Start())
	d.line(mark, "Slow script detected")
	isNo(t, url, "busy with a script")
	cli("SCRIPT", "KILL")
	endless.Wait()
	assert.NoError(t, ask(t, url, ForWait))

	// The probe's connection is one too many.
	require.Contains(t, cli("CONFIG", "SET", "maxclients", "1"), "OK")
	conn, first := say(t, port, "PING\r\n")
	require.Equal(t, "+PONG\r\n", first)
	assert.NoError(t, ask(t, url, ForWait))
	io.WriteString(conn, "CONFIG SET maxclients 100\r\n")
	conn.Read(make([]byte, 100))

	// It cannot save.
	require.Contains(t, cli("CONFIG", "SET", "save", "3600 1"), "OK")
	require.Contains(t, cli("CONFIG", "SET", "rdbcompression", "no"), "OK")
	require.NoError(t, os.Chmod(a.dir, 0o500))
	mark = d.mark()
	cli("SET", "a", "b")
	cli("BGSAVE")
	d.line(mark, "Background saving error")
	isNo(t, url, "cannot save to disk and refuses to write")
	require.NoError(t, os.Chmod(a.dir, 0o700))

	// A replica without a connection to its master.
	require.Contains(t, cli("CONFIG", "SET", "replica-serve-stale-data", "no"), "OK")
	require.Contains(t, cli("CONFIG", "SET", "save", ""), "OK")
	require.Contains(t, cli("REPLICAOF", "127.0.0.1", "1"), "OK")
	isNo(t, url, "a replica without a connection to its master")
}
