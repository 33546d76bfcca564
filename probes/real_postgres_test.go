package probes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type cluster struct {
	account
	bin, data, port string
}

func (c *cluster) writeHBA(t *testing.T, lines string) { c.write(t, "data/pg_hba.conf", lines+"\n") }

func (c *cluster) start(t *testing.T, settings ...string) *daemon {
	t.Helper()
	argv := []string{c.bin + "/postgres", "-D", c.data, "-p", c.port}
	for _, s := range append(settings, "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off") {
		argv = append(argv, "-c", s)
	}
	d := c.account.start(t, argv...)
	d.killSignal = syscall.SIGQUIT // SIGKILL would not end the server's children, which are in process groups of their own; on SIGQUIT the server ends them
	return d
}

// pgIsready returns the state that pg_isready reports. parameters are parameters of libpq,
// such as "sslmode=require".
func (c *cluster) pgIsready(t *testing.T, parameters ...string) string {
	t.Helper()
	out, _ := c.command(c.bin+"/pg_isready", "-t", "90", "-h", "127.0.0.1", "-p", c.port, "-d", strings.Join(parameters, " ")).CombinedOutput()
	_, state, _ := strings.Cut(strings.TrimSpace(string(out)), " - ")
	return state
}

// askCommand probes a command target once. The command runs as the user of the account.
func (a account) askCommand(t *testing.T, text string) error {
	t.Helper()
	return parse(t, text, ForWait).Probe.Ask(t.Context(), Attempt{Timeout: longTimeout, Run: func(_ context.Context, c Command) error {
		return a.command(c.Argv...).Run()
	}})
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	postgres := findProgram(t, "PostgreSQL", "/usr/lib/postgresql/*/bin/postgres")
	c := &cluster{accountOf(t, "postgres"), filepath.Dir(postgres), "", unusedPort(t)}
	c.data = filepath.Join(c.dir, "data")
	c.run(t, c.bin+"/initdb", "-D", c.data, "--no-sync", "-U", "postgres", "--auth=scram-sha-256", "--pwfile="+c.write(t, "password", "hunter2"))
	c.writeHBA(t, "host all all 127.0.0.1/32 scram-sha-256")
	return c
}

func TestServerPostgresStartsRecoversAndShutsDown(t *testing.T) {
	c := newCluster(t)
	url := "postgres://127.0.0.1:" + c.port
	assertRefused(t, url)
	assert.Equal(t, "no response", c.pgIsready(t))

	// The server must keep starting up until the test has seen how the probe reports that. So
	// it starts with a recovery from an archive, and the restore command blocks: it opens a
	// FIFO for reading, which the test opens for writing later.
	fifo := filepath.Join(c.dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o644))
	released := filepath.Join(c.dir, "released")
	c.write(t, "data/recovery.signal", "")
	w := startWaiting(t, url)
	w.waitFor("connection refused")
	d := c.start(t, fmt.Sprintf("restore_command=test -e %s || { echo blocked >&2; cat %s; }; false", released, fifo))
	w.waitFor("still starting up", "connection refused")
	assertNotReady(t, url, "still starting up")
	assertNotReady(t, strings.Replace(url, "postgres:", "postgresql:", 1)+"/app?sslmode=disable", "still starting up")
	assert.Equal(t, "rejecting connections", c.pgIsready(t))
	d.waitForLine(0, "FATAL: +the database system is starting up") // the server logs every attempt, as it logs every run of pg_isready

	d.waitForLine(0, "^blocked$") // if the command started after the file released exists, it would not open the FIFO
	c.write(t, "released", "")
	writer, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	require.NoError(t, err)
	writer.Close()
	w.waitFor("ready", "still starting up", "not accepting connections yet")
	assert.Equal(t, "accepting connections", c.pgIsready(t))
	d.waitForLine(0, "ready to accept connections")

	// On SIGTERM the server waits until all sessions have ended (smart shutdown). So the test
	// opens a session first, which keeps the server shutting down. The method trust lets the
	// test open the session without a password.
	c.writeHBA(t, "host all all 127.0.0.1/32 trust")
	seen := d.logLength()
	require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP))
	d.waitForLine(seen, "reloading configuration files")
	sendAndReceive(t, c.port, (&postgresParams{"postgres", "postgres", nil}).startup())
	require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGTERM))
	d.waitForLine(seen, "received smart shutdown request")
	assertNotReady(t, url, "shutting down")
	assert.Equal(t, "rejecting connections", c.pgIsready(t))
}

func TestServerPostgresStandbyThatAcceptsNoQueriesIsNotReady(t *testing.T) {
	c := newCluster(t)
	c.write(t, "data/standby.signal", "")
	d := c.start(t, "hot_standby=off", "restore_command=false")
	d.waitForLine(0, "entering standby mode")
	w := startWaiting(t, "postgres://127.0.0.1:"+c.port)
	w.waitFor("not accepting connections yet", "still starting up", "connection refused")
	assert.Equal(t, "rejecting connections", c.pgIsready(t))
}

// A hot standby accepts queries that only read, so it is ready. An app that needs a server
// for writes must probe it with a command.
func TestServerPostgresHotStandbyIsReady(t *testing.T) {
	c := newCluster(t)
	c.write(t, "data/standby.signal", "")
	d := c.start(t, "hot_standby=on", "restore_command=false")
	startWaiting(t, "postgres://127.0.0.1:"+c.port).waitFor("ready", "connection refused", "still starting up", "not accepting connections yet")
	seen := d.waitForLine(0, "ready to accept read-only connections")
	assert.Equal(t, "accepting connections", c.pgIsready(t))
	c.writeHBA(t, "host all all 127.0.0.1/32 trust")
	require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP))
	d.waitForLine(seen, "reloading configuration files")
	const writable = "psql -c 'select 1' 'host=127.0.0.1 port=%s user=postgres target_session_attrs=read-write'"
	psql := func() error { return c.askCommand(t, fmt.Sprintf(writable, c.port)) }
	assert.ErrorContains(t, psql(), "exit status 2")
	out := c.run(t, c.bin+"/psql", "-h", "127.0.0.1", "-p", c.port, "-U", "postgres", "-Atc", "select pg_promote()")
	require.Equal(t, "t", strings.TrimSpace(out))
	assert.NoError(t, psql())
}

// If PgBouncer asks clients for a password, it does so before it connects to its server. So a
// probe finds PgBouncer ready even if the server is down, but a query through it fails.
func TestServerPgBouncerThatWantsAPasswordIsReadyWithoutItsServer(t *testing.T) {
	pgbouncer := findProgram(t, "PgBouncer", "/usr/sbin/pgbouncer")
	c := newCluster(t)
	c.writeHBA(t, "host all all 127.0.0.1/32 trust")
	for _, auth := range []string{"scram-sha-256", "trust"} {
		port := unusedPort(t)
		url := "postgres://postgres:hunter2@127.0.0.1:" + port + "/app"
		config := fmt.Sprintf("[databases]\napp = host=127.0.0.1 port=%s dbname=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\nunix_socket_dir =\n"+
			"auth_type = %s\nauth_file = %s\nserver_login_retry = 0.1\nquery_wait_timeout = 1\n", c.port, port, auth, c.write(t, "users", "\"postgres\" \"hunter2\"\n"))
		assertRefused(t, url)
		w := startWaiting(t, url)
		w.waitFor("connection refused")
		d := c.account.start(t, pgbouncer, c.write(t, "pgbouncer.ini", config))
		query := fmt.Sprintf("psql -c 'select 1' 'host=127.0.0.1 port=%s user=postgres password=hunter2 dbname=app'", port)
		seen := d.waitForLine(0, "process up")
		if auth == "trust" {
			w.waitFor("a pooler without a connection to its server", "connection refused")
		} else {
			w.waitFor("ready", "connection refused")
			probeSeveralTimes(t, url)
		}
		assert.ErrorContains(t, c.askCommand(t, query), "exit status 2")
		assert.Empty(t, d.unusualLines(seen, "login attempt", "client unexpected eof", "LOG S-.* closing because: connect failed", "query_wait_timeout", `^$`))
		server := c.start(t)
		server.waitForLine(0, "ready to accept connections")
		// A query fails if PgBouncer's new connection to the server takes longer than
		// query_wait_timeout.
		begun := time.Now()
		for err := c.askCommand(t, query); err != nil; err = c.askCommand(t, query) {
			require.Less(t, time.Since(begun), longTimeout, err)
		}
		if auth == "trust" {
			w.waitFor("ready", "a pooler without a connection to its server", "connection refused")
		}
		server.stop()
		d.stop()
	}
}

func TestServerPostgresLogsNothingWhenItIsReady(t *testing.T) {
	c := newCluster(t)
	d := c.start(t)
	url := "postgres://127.0.0.1:" + c.port
	startWaiting(t, url).waitFor("ready", "connection refused", "still starting up")
	d.waitForLine(0, "ready to accept connections")
	reload := func(hba string) int {
		seen := d.logLength()
		c.writeHBA(t, hba)
		require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP))
		return d.waitForLine(seen, "reloading configuration files")
	}
	const marker = `FATAL: +role "marker" does not exist`

	// A server that requires a password asks for it before it checks the user or the
	// database. The probe ends there, so the server logs nothing. The role marker does not
	// exist: the server's error about it shows where the log of the probes before it ends.
	var found []string
	for _, method := range []string{"scram-sha-256", "md5", "password"} {
		seen := reload("host all all 127.0.0.1/32 " + method)
		for _, text := range []string{"", "/nobody", "?user=nobody"} {
			probeSeveralTimes(t, url+text)
		}
		probeSeveralTimes(t, "postgres://nobody:hunter2@127.0.0.1:"+c.port+"/nowhere?application_name=x")
		reload("host all all 127.0.0.1/32 trust")
		require.NoError(t, ask(t, "postgres://marker@127.0.0.1:"+c.port, ForWait))
		found = append(found, d.unusualLines(seen, marker, "SIGHUP")...)
	}
	assert.Empty(t, found)

	// A server that requires no password checks the user and the database that the probe sends.
	// The first URL names neither, so the probe sends postgres as both. The second URL names the
	// user postgres and the database template1. All of these exist, so the server logs nothing
	// unusual. The third URL is the marker.
	seen := d.logLength()
	probeSeveralTimes(t, url)
	probeSeveralTimes(t, "postgres://postgres:hunter2@127.0.0.1:"+c.port+"/template1")
	require.NoError(t, ask(t, "postgres://marker@127.0.0.1:"+c.port, ForWait))
	assert.Empty(t, d.unusualLines(seen, marker))

	// A server that rejects this client counts as ready.
	seen = reload("host all all 192.0.2.0/24 trust")
	require.NoError(t, ask(t, url, ForWait))
	d.waitForLine(seen, "no pg_hba.conf entry")
	assert.Equal(t, "accepting connections", c.pgIsready(t))
}

func TestServerPostgresThatRequiresTLSLogsNothing(t *testing.T) {
	c := newCluster(t)
	cert, key, ca := c.writeCertificate(t)
	c.writeHBA(t, "hostssl all all 127.0.0.1/32 scram-sha-256")
	d := c.start(t, "ssl=on", "ssl_cert_file="+cert, "ssl_key_file="+key)
	url := "postgres://127.0.0.1:" + c.port
	startWaiting(t, url+"?sslmode=require").waitFor("ready", "connection refused", "still starting up")
	seen := d.waitForLine(0, "ready to accept connections")
	for _, mode := range []string{"require", "verify-ca", "verify-full"} {
		probeSeveralTimes(t, "'"+url+"/app?x=y&sslrootcert="+ca+"&sslmode="+mode+"'")
		probeSeveralTimes(t, "ca="+ca+" "+url+"/app?sslmode="+mode)
	}
	probeSeveralTimes(t, url+"?sslmode=require")
	probeSeveralTimes(t, "ca="+ca+" "+url)
	require.NoError(t, ask(t, "postgres://marker@127.0.0.1:"+c.port, ForWait))
	const plain = `no pg_hba.conf entry .* user "marker", .* no encryption`
	assert.Empty(t, d.unusualLines(seen, plain, "the database system is starting up"), "the server may log only the last attempt, which does not use TLS")

	// If the probe does not trust the certificate, it ends the handshake, and the server
	// logs that.
	seen = d.logLength()
	assertNotReady(t, url+"?sslmode=verify-ca", "the certificate is signed by an unknown authority")
	d.waitForLine(seen, "could not accept SSL connection: .*(bad certificate|unknown ca)")
}

func TestServerPostgresWithoutTLSIsNotReadyIfTheURLRequiresIt(t *testing.T) {
	c := newCluster(t)
	d := c.start(t)
	url := "postgres://127.0.0.1:" + c.port
	startWaiting(t, url).waitFor("ready", "connection refused", "still starting up")
	seen := d.waitForLine(0, "ready to accept connections")
	assertNotReady(t, url+"?sslmode=require", "the server does not offer TLS")
	assert.Equal(t, "no response", c.pgIsready(t, "sslmode=require"))
	require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP))
	assert.Empty(t, d.unusualLines(seen, "reloading configuration files", "the database system is starting up"))
}

func TestServerPostgresWithTooManyClientsIsReady(t *testing.T) {
	c := newCluster(t)
	c.writeHBA(t, "host all all 127.0.0.1/32 trust")
	d := c.start(t, "max_connections=1", "superuser_reserved_connections=0", "max_wal_senders=0")
	url := "postgres://127.0.0.1:" + c.port
	d.waitForLine(0, "ready to accept connections")
	var full bool
	for range 20 {
		_, first := sendAndReceive(t, c.port, (&postgresParams{"postgres", "postgres", nil}).startup())
		if full = first[0] == 'E' && strings.Contains(first, "C53300\x00"); full {
			break
		}
	}
	require.True(t, full)
	assert.NoError(t, ask(t, url, ForWait))
	assert.Equal(t, "accepting connections", c.pgIsready(t))
}
