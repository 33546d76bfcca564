package probes

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type cluster struct {
	account
	bin, data, port string
}

func (c *cluster) hba(t *testing.T, lines string) { c.write(t, "data/pg_hba.conf", lines+"\n") }

func (c *cluster) start(t *testing.T, settings ...string) *daemon {
	t.Helper()
	argv := []string{c.bin + "/postgres", "-D", c.data, "-p", c.port}
	for _, s := range append(settings, "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off") {
		argv = append(argv, "-c", s)
	}
	d := c.account.start(t, argv...)
	d.end = syscall.SIGQUIT // its children are in other process groups, but exit with it
	return d
}

// isready returns the result of pg_isready.
func (c *cluster) isready(t *testing.T) string {
	t.Helper()
	out, _ := c.command(c.bin+"/pg_isready", "-h", "127.0.0.1", "-p", c.port).CombinedOutput()
	_, verdict, _ := strings.Cut(strings.TrimSpace(string(out)), " - ")
	return verdict
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	postgres := program(t, "PostgreSQL", "/usr/lib/postgresql/*/bin/postgres")
	c := &cluster{accountOf(t, "postgres"), filepath.Dir(postgres), "", unusedPort(t)}
	c.data = filepath.Join(c.dir, "data")
	c.run(t, c.bin+"/initdb", "-D", c.data, "--no-sync", "-U", "postgres", "--auth=scram-sha-256", "--pwfile="+c.write(t, "password", "hunter2"))
	c.hba(t, "host all all 127.0.0.1/32 scram-sha-256")
	return c
}

func TestServerPostgresStarts(t *testing.T) {
	c := newCluster(t)
	url := "postgres://127.0.0.1:" + c.port
	isRefused(t, url)
	assert.Equal(t, "no response", c.isready(t))

	// A recovery from an archive, whose restore command waits for the test.
	fifo := filepath.Join(c.dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o644))
	go1 := filepath.Join(c.dir, "go")
	c.write(t, "data/recovery.signal", "")
	w := wait4(t, url)
	w.hears(notThere)
	d := c.start(t, fmt.Sprintf("restore_command=test -e %s || cat %s; false", go1, fifo))
	w.hears("still starting up", notThere)
	isNo(t, url, "still starting up")
	isNo(t, strings.Replace(url, "postgres:", "postgresql:", 1)+"/app?sslmode=disable", "still starting up")
	assert.Equal(t, "rejecting connections", c.isready(t))
	d.line(0, "FATAL: +the database system is starting up") // it logs every attempt, also those of pg_isready

	c.write(t, "go", "")
	release, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	require.NoError(t, err)
	release.Close()
	w.hears("yes", "still starting up", "not accepting connections yet")
	assert.Equal(t, "accepting connections", c.isready(t))
	d.line(0, "ready to accept connections")

	// While it shuts down it waits for the open session.
	c.hba(t, "host all all 127.0.0.1/32 trust")
	mark := d.mark()
	require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP))
	d.line(mark, "reloading configuration files")
	say(t, c.port, (&postgresParams{"postgres", "postgres", false}).startup())
	require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGTERM))
	d.line(mark, "received smart shutdown request")
	isNo(t, url, "shutting down")
	assert.Equal(t, "rejecting connections", c.isready(t))
}

func TestServerPostgresStandbyWithoutQueries(t *testing.T) {
	c := newCluster(t)
	c.write(t, "data/standby.signal", "")
	d := c.start(t, "hot_standby=off", "restore_command=false")
	d.line(0, "entering standby mode")
	w := wait4(t, "postgres://127.0.0.1:"+c.port)
	w.hears("not accepting connections yet", "still starting up", notThere)
	assert.Equal(t, "rejecting connections", c.isready(t))
}

func TestServerPostgresLogStaysClean(t *testing.T) {
	c := newCluster(t)
	d := c.start(t)
	url := "postgres://127.0.0.1:" + c.port
	wait4(t, url).hears("yes", notThere, "still starting up")
	d.line(0, "ready to accept connections")
	reload := func(hba string) int {
		mark := d.mark()
		c.hba(t, hba)
		require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP))
		return d.line(mark, "reloading configuration files")
	}
	const nobody = `FATAL: +role "marker" does not exist`

	// A server that requires a password does not check the names and logs nothing.
	var found []string
	for _, method := range []string{"scram-sha-256", "md5", "password"} {
		mark := reload("host all all 127.0.0.1/32 " + method)
		for _, text := range []string{"", "/nobody", "?user=nobody"} {
			several(t, url+text)
		}
		several(t, "postgres://nobody:hunter2@127.0.0.1:"+c.port+"/nowhere?application_name=x")
		reload("host all all 127.0.0.1/32 trust")
		require.NoError(t, ask(t, "postgres://marker@127.0.0.1:"+c.port, ForWait))
		found = append(found, d.logged(mark, nobody, "SIGHUP")...)
	}
	assert.Empty(t, found)

	// A server that requires none checks them: those of the URL exist.
	mark := d.mark()
	several(t, url)
	several(t, "postgres://postgres:hunter2@127.0.0.1:"+c.port+"/template1")
	require.NoError(t, ask(t, "postgres://marker@127.0.0.1:"+c.port, ForWait))
	assert.Empty(t, d.logged(mark, nobody))

	// A server that rejects this client is up.
	mark = reload("host all all 192.0.2.0/24 trust")
	require.NoError(t, ask(t, url, ForWait))
	d.line(mark, "no pg_hba.conf entry")
	assert.Equal(t, "accepting connections", c.isready(t))
}

func TestServerPostgresWithTLSOnly(t *testing.T) {
	c := newCluster(t)
	pair := selfSigned(t)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	c.write(t, "data/server.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	c.write(t, "data/server.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	c.hba(t, "hostssl all all 127.0.0.1/32 scram-sha-256")
	d := c.start(t, "ssl=on")
	url := "postgres://127.0.0.1:" + c.port
	wait4(t, url+"?sslmode=require").hears("yes", notThere, "still starting up")
	mark := d.line(0, "ready to accept connections")
	for _, mode := range []string{"require", "verify-ca", "verify-full"} {
		several(t, url+"/app?x=y&sslmode="+mode)
	}
	require.NoError(t, ask(t, "postgres://marker@127.0.0.1:"+c.port, ForWait))
	const plain = `no pg_hba.conf entry .* user "marker", .* no encryption`
	assert.Empty(t, d.logged(mark, plain, "the database system is starting up"), "sslmode= asks as the app will; without it the log has a line")
}

func TestServerPostgresFull(t *testing.T) {
	c := newCluster(t)
	c.hba(t, "host all all 127.0.0.1/32 trust")
	d := c.start(t, "max_connections=1", "superuser_reserved_connections=0", "max_wal_senders=0")
	url := "postgres://127.0.0.1:" + c.port
	d.line(0, "ready to accept connections")
	var full bool
	for range 20 {
		_, first := say(t, c.port, (&postgresParams{"postgres", "postgres", false}).startup())
		if full = first[0] == 'E' && strings.Contains(first, "C53300\x00"); full {
			break
		}
	}
	require.True(t, full)
	assert.NoError(t, ask(t, url, ForWait))
	assert.Equal(t, "accepting connections", c.isready(t))
}
