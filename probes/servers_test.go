package probes

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests probe real servers from Debian's packages in all their states: not running,
// starting, ready. They also read the servers' logs, in which a probe must not cause
// errors.

// enough is a timeout that only a hanging test reaches.
const enough = 90 * time.Second

// program finds a server's program by its paths in Debian, which may be patterns.
func program(t *testing.T, name string, patterns ...string) string {
	t.Helper()
	for _, pattern := range patterns {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	skip(t, name+" is not installed")
	return ""
}

// An account is the user that a server runs as. Some servers refuse to run as root.
type account struct {
	uid, gid int
	dir      string // its own
}

func (a account) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		attributes.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attributes
}

func (a account) command(argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.SysProcAttr = a.dir, a.attributes()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + a.dir, "TMPDIR=" + a.dir, "LC_ALL=C"}
	return cmd
}

func (a account) run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := a.command(argv...).CombinedOutput()
	require.NoError(t, err, "%v: %s", argv, out)
	return string(out)
}

// write creates a file that the account can read.
func (a account) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(path, a.uid, a.gid))
	}
	return path
}

// accountOf returns the account as which Debian's package runs the server, or this user if
// the test does not run as root.
func accountOf(t *testing.T, name string) account {
	t.Helper()
	a := account{os.Getuid(), os.Getgid(), t.TempDir()}
	if os.Geteuid() == 0 {
		u, err := user.Lookup(name)
		require.NoError(t, err)
		a.uid, _ = strconv.Atoi(u.Uid)
		a.gid, _ = strconv.Atoi(u.Gid)
		require.NoError(t, os.Chown(a.dir, a.uid, a.gid))
		for dir := a.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			require.NoError(t, os.Chmod(dir, 0o755))
		}
	}
	return a
}

// A daemon is a running server in its own process group, with its log.
type daemon struct {
	t   *testing.T
	cmd *exec.Cmd
	end syscall.Signal // kills it and all processes that it has started

	mu    sync.Mutex
	lines []string
	ended bool
	news  chan struct{} // closed and replaced at every line
}

func (a account) start(t *testing.T, argv ...string) *daemon {
	t.Helper()
	return startCommand(t, a.command(argv...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = write, write
	require.NoError(t, cmd.Start())
	write.Close()
	d := &daemon{t: t, cmd: cmd, end: syscall.SIGKILL, news: make(chan struct{})}
	go func() {
		for lines := bufio.NewScanner(read); lines.Scan(); {
			d.add(lines.Text(), false)
		}
		read.Close()
		d.add("", true)
	}()
	t.Cleanup(func() {
		d.stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", filepath.Base(cmd.Path), strings.Join(d.since(0), "\n"))
		}
	})
	return d
}

func (d *daemon) add(line string, last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended = last; !last {
		d.lines = append(d.lines, line)
	}
	close(d.news)
	d.news = make(chan struct{})
}

// stop kills the server and all processes that it has started.
func (d *daemon) stop() {
	if d.cmd.ProcessState != nil {
		return
	}
	group := -d.cmd.Process.Pid
	syscall.Kill(group, d.end)
	hung := time.AfterFunc(enough, func() { syscall.Kill(group, syscall.SIGKILL) })
	d.cmd.Wait()
	hung.Stop()
}

// logEnds waits for the end of the log of a server that has exited.
func (d *daemon) logEnds() {
	for limit := time.After(enough); ; {
		d.mu.Lock()
		ended, news := d.ended, d.news
		d.mu.Unlock()
		if ended {
			return
		}
		select {
		case <-news:
		case <-limit:
			d.t.Fatal("the log has no end")
		}
	}
}

func (d *daemon) mark() int { return len(d.since(0)) }

func (d *daemon) since(mark int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines[mark:])
}

// line waits for a line after the mark, and returns the mark after that line.
func (d *daemon) line(mark int, pattern string) int {
	d.t.Helper()
	want := regexp.MustCompile(pattern)
	for limit := time.After(enough); ; {
		d.mu.Lock()
		lines, ended, news := d.lines, d.ended, d.news
		d.mu.Unlock()
		for ; mark < len(lines); mark++ {
			if want.MatchString(lines[mark]) {
				return mark + 1
			}
		}
		if ended {
			d.t.Fatalf("the server has ended without a line like %q", pattern)
		}
		select {
		case <-news:
		case <-limit:
			d.t.Fatalf("no line like %q", pattern)
		}
	}
}

// logged returns the lines from the mark up to one that matches pattern, which the last
// action of the test causes. Lines that match a pattern of usual are left out.
func (d *daemon) logged(mark int, pattern string, usual ...string) []string {
	d.t.Helper()
	end := d.line(mark, pattern)
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []string
	for _, line := range d.lines[mark : end-1] {
		if !slices.ContainsFunc(usual, func(p string) bool { return regexp.MustCompile(p).MatchString(line) }) {
			found = append(found, line)
		}
	}
	return found
}

// unusedPort returns a port of localhost that refuses connections until a server listens on
// it. The test keeps a socket that is bound to the port and does not listen, so that the
// kernel assigns the port to no other process. With SO_REUSEADDR, which servers set too,
// the server can still listen on it.
func unusedPort(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Close(fd) })
	require.NoError(t, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	return strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
}

// waiting probes in the background, as --wait does, until the target is ready.
type waiting struct {
	t      *testing.T
	answer chan string // every result that differs from the one before; "yes" at last
	cancel func()
}

func wait4(t *testing.T, text string) *waiting {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	w := &waiting{t, make(chan string, 100), cancel}
	t.Cleanup(cancel)
	targets := []Target{parse(t, text, ForWait)}
	go func() {
		var last string
		err := Wait(ctx, targets, Attempt{}, func(u Update) {
			if u.Kind == TargetTried && u.Status.Last != nil && u.Status.Last.Error() != last {
				last = u.Status.Last.Error()
				w.answer <- last
			}
		})
		if err == nil {
			w.answer <- "yes"
		}
		close(w.answer)
	}()
	return w
}

// hears waits for the result want. Results that come before it must be in the list.
func (w *waiting) hears(want string, before ...string) {
	w.t.Helper()
	for {
		got, open := <-w.answer
		require.True(w.t, open, "the wait ended without %q", want)
		if got == want {
			return
		}
		require.Contains(w.t, before, got)
	}
}

const notThere = "connection refused"

func isRefused(t *testing.T, text string) {
	t.Helper()
	err := ask(t, text, ForWait)
	assert.EqualError(t, err, notThere)
	assert.True(t, classify(err).isCheap())
}

// isNo asserts that an error is an answer of the server, which gets fewer attempts then.
func isNo(t *testing.T, text, want string) {
	t.Helper()
	err := ask(t, text, ForWait)
	assert.EqualError(t, err, want)
	assert.Equal(t, wrongAnswer, classify(err))
}

// several probes often enough for effects that add up.
func several(t *testing.T, text string) {
	t.Helper()
	for range 5 {
		require.NoError(t, ask(t, text, ForWait))
	}
}

// say connects, sends, and returns the connection and the beginning of the answer.
func say(t *testing.T, port, words string) (net.Conn, string) {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(enough))
	_, err = io.WriteString(conn, words)
	require.NoError(t, err)
	first := make([]byte, 4096)
	n, err := conn.Read(first)
	require.NoError(t, err)
	return conn, string(first[:n])
}

// elsewhere returns an address of this machine that is not loopback. Servers treat its
// clients as remote.
func elsewhere(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			return ip.IP.String()
		}
	}
	skip(t, "no address but loopback")
	return ""
}

// ---- PostgreSQL

type cluster struct {
	account
	bin, data, port string
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

// ---- MariaDB

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

// ---- Redis

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

// ---- RabbitMQ

func TestServerRabbitMQ(t *testing.T) {
	server := program(t, "RabbitMQ", "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
	epmd := program(t, "Erlang", "/usr/bin/epmd")
	a := accountOf(t, "rabbitmq")
	port, epmdPort := unusedPort(t), unusedPort(t)
	url := "amqp://guest:hunter2@127.0.0.1:" + port + "/vhost"
	w := wait4(t, url)
	w.hears(notThere)
	// The test starts epmd, because one that RabbitMQ starts would outlive the test.
	names := a.start(t, epmd, "-port", epmdPort, "-address", "127.0.0.1", "-d")
	names.line(0, "epmd running")
	a.write(t, ".erlang.cookie", "cookie")
	require.NoError(t, os.Chmod(filepath.Join(a.dir, ".erlang.cookie"), 0o400))
	cmd := a.command(server)
	cmd.Env = append(cmd.Env, "RABBITMQ_NODENAME=usher@localhost", "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT="+port,
		"RABBITMQ_DIST_PORT="+unusedPort(t), "ERL_EPMD_PORT="+epmdPort, "ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_LOGS=-")
	for variable, file := range map[string]string{"MNESIA_BASE": "mnesia", "LOG_BASE": "log", "CONFIG_FILE": "none", "ENABLED_PLUGINS_FILE": "plugins", "CONF_ENV_FILE": "env", "PID_FILE": "pid"} {
		cmd.Env = append(cmd.Env, "RABBITMQ_"+variable+"="+filepath.Join(a.dir, file))
	}
	d := startCommand(t, cmd)
	d.line(0, "Ready to start client connection listeners")
	w.hears("yes") // only refused connections before: it opens its port last
	mark := d.line(0, "Server startup complete")
	several(t, url)
	// The marker is a version that it does not support.
	say(t, port, "AMQP\x01\x01\x01\x01")
	logged := d.logged(mark, "bad_version", `completed with \d+ plugins`, `\[info\].* accepting AMQP connection`, `\[warning\].* closing AMQP connection .*:$`, `\[error\].* closing AMQP connection .*:$`)
	assert.NotEmpty(t, logged)
	for _, line := range logged {
		assert.Regexp(t, `\[warning\] <[0-9.]+> client unexpectedly closed TCP connection$`, line)
	}
}

// ---- NATS

func TestServerNATS(t *testing.T) {
	nats := program(t, "NATS", "/usr/sbin/nats-server", "/usr/bin/nats-server")
	a := accountOf(t, "nats")
	port := unusedPort(t)
	url := "nats://token:hunter2@127.0.0.1:" + port
	isRefused(t, url)
	for _, extra := range [][]string{nil, {"--user", "u", "--pass", "hunter2"}} {
		w := wait4(t, url)
		w.hears(notThere)
		d := a.start(t, append([]string{nats, "--addr", "127.0.0.1", "--port", port, "--jetstream", "--store_dir", a.dir}, extra...)...)
		w.hears("yes", notThere)
		mark := d.line(0, "Server is ready")
		several(t, url)
		require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP)) // the marker
		assert.Empty(t, d.logged(mark, "Trapped|[Rr]eload"))
		d.stop()
	}
}

// ---- Mosquitto

func TestServerMosquitto(t *testing.T) {
	mosquitto := program(t, "Mosquitto", "/usr/sbin/mosquitto")
	a := accountOf(t, "mosquitto")
	port := unusedPort(t)
	url := "mqtt://u:hunter2@127.0.0.1:" + port
	isRefused(t, url)
	for _, access := range []string{"allow_anonymous true", "allow_anonymous false\npassword_file " + a.write(t, "passwords", "")} {
		w := wait4(t, url)
		w.hears(notThere)
		d := a.start(t, mosquitto, "-c", a.write(t, "conf", "listener "+port+" 127.0.0.1\n"+access+"\n"))
		w.hears("yes", notThere)
		mark := d.line(0, "running")
		several(t, url)
		require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP)) // the marker
		// What it logs for every client: that it disconnects or is rejected.
		assert.Empty(t, d.logged(mark, "Reloading config", `New connection from \S+ on port`, `New client connected from \S+ as usher[0-9a-f]{16} `,
			`Client usher[0-9a-f]{16} disconnected\.$`, `Client <unknown> disconnected, not authorised\.$`))
		d.stop()
	}
}

// ---- memcached

func TestServerMemcached(t *testing.T) {
	memcached := program(t, "memcached", "/usr/bin/memcached")
	a := accountOf(t, "memcache")
	port := unusedPort(t)
	url := "memcached://127.0.0.1:" + port
	isRefused(t, url)
	sasl := filepath.Dir(a.write(t, "memcached.conf", "mech_list: plain\n"))
	const full = 40
	for _, extra := range [][]string{nil, {"-c", strconv.Itoa(full)}, {"-Y", a.write(t, "auth", "u:hunter2\n")}, {"-S"}} {
		w := wait4(t, url)
		w.hears(notThere)
		cmd := a.command(append([]string{memcached, "-l", "127.0.0.1", "-p", port}, extra...)...)
		cmd.Env = append(cmd.Env, "SASL_CONF_PATH="+sasl)
		d := startCommand(t, cmd)
		w.hears("yes")
		several(t, url)
		for i := 0; extra != nil && extra[0] == "-c"; i++ {
			if _, first := say(t, port, "version\r\n"); strings.HasPrefix(first, "ERROR Too many") {
				several(t, url)
				break
			}
			require.Less(t, i, full)
		}
		d.stop()
		d.logEnds()
		assert.Empty(t, slices.DeleteFunc(d.since(0), func(line string) bool { return strings.Contains(line, "SASL") || strings.Contains(line, a.dir) }))
	}
}
