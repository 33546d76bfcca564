package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/supervisor"
)

// serviceManager listens on the socket of NOTIFY_SOCKET, as systemd and podman do.
type serviceManager struct {
	t       *testing.T
	address string
	conn    *net.UnixConn
	*reader // one line for each message: the pid of the sender, and the text with " | " in place of newlines
}

// newServiceManager makes a socket with the given address. It reads no messages until
// receive is called.
func newServiceManager(t *testing.T, address string) *serviceManager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	raw, err := conn.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		require.NoError(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
	}))
	return &serviceManager{t: t, address: address, conn: conn}
}

// listening makes a socket in a directory of the test, and reads its messages.
func listening(t *testing.T) *serviceManager {
	t.Helper()
	m := newServiceManager(t, filepath.Join(t.TempDir(), "notify"))
	m.receive()
	return m
}

func (m *serviceManager) receive() {
	pipe, messages := io.Pipe()
	m.reader = readLines(m.t, pipe)
	go func() {
		defer messages.Close()
		text, control := make([]byte, 1<<16), make([]byte, 1<<10)
		for {
			n, c, _, _, err := m.conn.ReadMsgUnix(text, control)
			if err != nil {
				return
			}
			fmt.Fprintln(messages, senderOf(control[:c]), strings.ReplaceAll(string(text[:n]), "\n", " | "))
		}
	}()
}

// senderOf returns the pid of the sender of a message, or 0.
func senderOf(control []byte) int32 {
	all, _ := unix.ParseSocketControlMessage(control)
	for i := range all {
		if who, err := unix.ParseUnixCredentials(&all[i]); err == nil {
			return who.Pid
		}
	}
	return 0
}

// usher starts usher with the socket's address in NOTIFY_SOCKET.
func (m *serviceManager) usher(args ...string) *process {
	m.t.Helper()
	return launcher{vars: []string{"NOTIFY_SOCKET=" + m.address}}.usher(m.t, args...)
}

// lastStatus is the beginning of the last status before usher exits, if the app was started.
const lastStatus = "STATUS=app "

// READY=1 is sent once the --ready targets are ready, STOPPING=1 when the shutdown begins,
// and a status for each phase. usher itself sends all messages, and no child of usher does,
// because with NotifyAccess=main systemd accepts messages of the main process only.
func TestNotifyFromWaitToExit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	touch := func(name string) { require.NoError(t, os.WriteFile(path(name), nil, 0o644)) }
	release := func(fifo string) { // blocks until the hook has opened the FIFO
		end, err := os.OpenFile(path(fifo), os.O_WRONLY, 0)
		require.NoError(t, err)
		end.Close()
	}
	for _, fifo := range []string{"pre", "post", "drain", "end"} {
		require.NoError(t, syscall.Mkfifo(path(fifo), 0o600))
	}
	m := listening(t)
	r := m.usher("--wait", "name=dependency file://"+path("dependency"), "--pre-start", "name=migrate cat "+path("pre"),
		"--ready", "name=self file://"+path("ready"), "--post-start", "name=register cat "+path("post"),
		"--grace", "60s", "--drain-delay", "1ms", "--drain", "name=leave cat "+path("drain"), "--post-stop", "name=report cat "+path("end"),
		"--", puppet(t), "catch", "app")
	m.expect("STATUS=wait: waiting for dependency")
	touch("dependency")
	m.expect("STATUS=pre-start: hook migrate started")
	release("pre")
	r.stdout.expect("ready")
	m.expect("STATUS=ready: waiting for self")
	assertNotPrinted(t, m.text(), "READY=1")
	touch("ready")
	m.expect("READY=1")
	release("post")
	m.expect("STATUS=run: puppet is running")
	assertNotPrinted(t, m.text(), "STOPPING=1")
	r.signal(syscall.SIGTERM)
	m.expect("STOPPING=1")
	release("drain")
	r.stdout.expect("got 15")
	m.expect("STATUS=stop: sent SIGTERM to puppet")
	r.in.Close()
	m.expect("STATUS=post-stop: hook report started")
	release("end")
	m.expect("STATUS=app exited 0 after ")
	assert.Equal(t, 0, r.code())
	for line := range strings.Lines(m.text()) {
		assert.True(t, strings.HasPrefix(line, fmt.Sprint(r.pid(), " ")), "not sent by usher (%d): %s", r.pid(), line)
	}
	assert.Equal(t, 1, strings.Count(m.text(), "READY=1"))
	assert.Equal(t, 1, strings.Count(m.text(), "STOPPING=1"))
}

// A message of usher has the same form as a message of systemd-notify(1).
func TestNotifyIsLikeSystemdNotify(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-notify"); err != nil {
		skip(t, "needs systemd-notify (Debian: systemd)")
	}
	first := func(m *serviceManager, with string) string {
		_, message, _ := strings.Cut(m.expect(with), " ")
		return message
	}
	for _, prefix := range []string{"/", "@"} {
		m, reference := listening(t), listening(t)
		if prefix == "@" {
			m = newServiceManager(t, fmt.Sprintf("@usher-test-%d", os.Getpid()))
			m.receive()
		}
		r := m.usher("--ready", "true", "--", "sh", "-c", "read line")
		_, stderr, code := launcher{hostPID: true, vars: []string{"NOTIFY_SOCKET=" + reference.address}}.run(t,
			"systemd-notify", "--no-block", "--ready", "--status=run: sh is running")
		require.Equal(t, 0, code, stderr)
		assert.Equal(t, first(reference, "READY=1"), first(m, "READY=1"), prefix)
		r.in.Close()
		m.expect(lastStatus)
		assert.Equal(t, 1, r.code())
	}
}

// Without --ready usher does not use NOTIFY_SOCKET, so the app and the hooks get it. With --ready
// they do not get it.
func TestNotifySocketIsPassedOnWithoutReady(t *testing.T) {
	t.Parallel()
	m := listening(t)
	const script = `echo "socket: $NOTIFY_SOCKET."`
	for _, c := range []struct{ flags, want string }{
		{"--grace 9s", m.address},
		{"--ready true --grace 9s", ""},
		{"--health " + freeAddress(t), m.address},
	} {
		r := m.usher(append(strings.Fields(c.flags), "--post-stop", "sh -c '"+script+"'", "--", "sh", "-c", script)...)
		assert.Equal(t, 0, r.code())
		assert.Equal(t, "socket: "+c.want+".", r.stdout.rest(), c.flags)
		assertPrinted(t, r.stderr.rest(), "post-stop sh| socket: "+c.want+".\n")
		assertNotPrinted(t, r.stderr.text(), "service manager")
	}
	m.conn.Close()
	assert.Equal(t, 2, strings.Count(m.rest(), "app exited 0")+strings.Count(m.text(), "STOPPING=1"), "only the run with --ready may send messages:\n%s", m.text())
}

func TestReadNotifySocket(t *testing.T) {
	long := "/" + strings.Repeat("x", maxNotifyAddress)
	for _, c := range []struct {
		flags string
		env   string
		want  string
		left  string // the environment that the app gets
		wrong bool
	}{
		{"--ready true", "A=1 NOTIFY_SOCKET=/run/notify B=2", "/run/notify", "A=1 B=2", false},
		{"--ready true", "NOTIFY_SOCKET=@abstract", "@abstract", "", false},
		{"--ready true", "NOTIFY_SOCKET=/a NOTIFY_SOCKET=/b", "/a", "", false},
		{"--ready true", "NOTIFY_SOCKET=" + long[:maxNotifyAddress], long[:maxNotifyAddress], "", false},
		{"--ready true", "NOTIFY_SOCKET= A=1", "", "NOTIFY_SOCKET= A=1", false},
		{"--ready true", "NOTIFY_SOCKETS=/a NOTIFY_SOCKET", "", "NOTIFY_SOCKETS=/a NOTIFY_SOCKET", false},
		{"--ready true", "A=1", "", "A=1", false},
		{"--grace 9s", "NOTIFY_SOCKET=/run/notify", "", "NOTIFY_SOCKET=/run/notify", false},
		{"--grace 9s", "NOTIFY_SOCKET=vsock:2:9", "", "NOTIFY_SOCKET=vsock:2:9", false},
		{"--ready true", "NOTIFY_SOCKET=vsock:2:9", "", "NOTIFY_SOCKET=vsock:2:9", true},
		{"--ready true", "NOTIFY_SOCKET=run/notify", "", "NOTIFY_SOCKET=run/notify", true},
		{"--ready true", "NOTIFY_SOCKET=/", "", "NOTIFY_SOCKET=/", true},
		{"--ready true", "NOTIFY_SOCKET=@", "", "NOTIFY_SOCKET=@", true},
		{"--ready true", "NOTIFY_SOCKET=" + long, "", "NOTIFY_SOCKET=" + long, true},
	} {
		o := parsed(t, append(strings.Fields(c.flags), "--", "app"), strings.Fields(c.env))
		assert.Equal(t, c.want, o.notifySocket, c.env)
		assert.Equal(t, c.left, strings.Join(o.config.Env, " "), c.env)
		assert.Equal(t, c.wrong, o.notifyErr != nil, c.env)
	}
}

// If usher cannot use the value of NOTIFY_SOCKET, it only logs a warning, because the
// variable is set by the service manager, not by the user. The app gets the variable.
func TestNotifySocketOfAnotherKind(t *testing.T) {
	t.Parallel()
	m := &serviceManager{t: t, address: "vsock:2:" + canary}
	r := m.usher("--ready", "true", "--", "sh", "-c", `echo $NOTIFY_SOCKET; read line; exit 3`)
	assert.Equal(t, "usher: warning: no notification of the service manager: "+errNotifySocket.Error(), r.stderr.expect("usher: "))
	r.stdout.expect(m.address)
	r.in.Close()
	assert.Equal(t, 3, r.code())
	assertNotPrinted(t, r.stderr.rest(), canary)
}

// If the socket does not exist, or no process listens on it, usher warns once and carries on.
func TestNotifySocketDoesNotExist(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	newServiceManager(t, filepath.Join(dir, "refused")).conn.Close() // closed, but the socket's file still exists, so connections are refused
	for name, reason := range map[string]string{"missing": "no such file or directory", "refused": "connection refused"} {
		m := &serviceManager{t: t, address: filepath.Join(dir, name)}
		r := m.usher("--ready", "true", "--grace", "60s", "--", "sh", "-c", exitOnTERM(3))
		r.stdout.expect("ready")
		r.stderr.expectAll("usher: ready: true is ready", "usher: warning: no notification of the service manager: cannot send to the socket of NOTIFY_SOCKET: "+reason)
		r.signal(syscall.SIGTERM)
		assert.Equal(t, 3, r.code())
		assert.Equal(t, 1, strings.Count(r.stderr.rest(), "service manager"), r.stderr.text())
	}
}

// fill sends messages to the socket until its queue is full, and returns their number.
func (m *serviceManager) fill() (n int) {
	m.t.Helper()
	err := m.send("FILL=1")
	for n = 0; err == nil; n++ {
		err = m.send("FILL=1")
	}
	require.ErrorIs(m.t, err, syscall.EAGAIN)
	return n
}

// send sends a message to the socket, unless its queue is full.
func (m *serviceManager) send(message string) error {
	m.t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	require.NoError(m.t, err)
	defer syscall.Close(fd)
	return syscall.Sendto(fd, []byte(message), 0, &syscall.SockaddrUnix{Name: m.address})
}

// While the queue of the service manager is full, the shutdown goes on. READY=1 and then
// STOPPING=1 are sent once the service manager reads.
func TestNotifyWhileTheQueueIsFull(t *testing.T) {
	t.Parallel()
	m := newServiceManager(t, filepath.Join(t.TempDir(), "notify"))
	filled := m.fill()
	r := m.usher("--ready", "true", "--grace", "60s", "--drain", "echo drained", "--", puppet(t), "catch", "app")
	r.stdout.expect("ready")
	r.stderr.expect("usher: ready: true is ready")
	r.signal(syscall.SIGTERM)
	r.stderr.expect("drain echo| drained")
	r.stdout.expect("got 15")
	m.receive()
	for range filled {
		m.expect("FILL=1")
	}
	m.expect("STATUS=stop: sent SIGTERM to puppet")
	// The app may print "got 15" before usher has recorded that it has sent the signal. Then
	// STOPPING=1 has an earlier status.
	assert.Regexp(t, `^READY=1\nSTOPPING=1 \| STATUS=([^\n]*\nSTATUS=)?stop: sent SIGTERM to puppet$`, strings.Join(messagesOf(m.all[filled:]), "\n"))
	r.in.Close()
	m.expect(lastStatus)
	assert.Equal(t, 0, r.code())
	assertNotPrinted(t, r.stderr.rest(), "service manager")
}

// messagesOf returns the messages in lines of serviceManager.reader, without the pids.
func messagesOf(lines []string) (all []string) {
	for _, line := range lines {
		_, message, _ := strings.Cut(line, " ")
		all = append(all, message)
	}
	return all
}

// If the service manager never reads, usher exits nevertheless.
func TestNotifyExitsWhileTheQueueIsFull(t *testing.T) {
	t.Parallel()
	m := newServiceManager(t, filepath.Join(t.TempDir(), "notify"))
	m.fill()
	r := m.usher("--ready", "true", "--", "sh", "-c", "echo up; read line; exit 3")
	r.stdout.expect("up")
	r.in.Close()
	assert.Equal(t, 3, r.codeWithin(exitLimit))
	assertPrinted(t, r.stderr.rest(), "usher: app exited 3 after ")
}

// The path of the socket is on a file system that takes longer than the whole shutdown to
// respond. Only the goroutine that sends waits for the file system. The steps of the
// shutdown are not delayed.
func TestNotifySocketOnASlowFileSystem(t *testing.T) {
	t.Parallel()
	dir := mountFUSE(t, "slowfs", "8000")
	r := launcher{vars: []string{"NOTIFY_SOCKET=" + filepath.Join(dir, "notify")}}.start(t, binary(t), "--ready", "true", "--grace", "7s",
		"--drain", "echo drained", "--post-stop", "echo reported", "--", "sh", "-c", exitOnTERM(3))
	r.stdout.expect("ready")
	r.stderr.expect("usher: ready: true is ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 3, r.codeWithin(exitLimit)) // a long limit, because the kernel can end the process only when the file system has responded
	assertPrinted(t, r.stderr.rest(), "drain echo| drained")
	assertPrinted(t, r.stderr.text(), "post-stop echo| reported")
}

// If usher exits before the app is ready, it sends no READY=1. So systemd knows that the
// start of the service has failed.
func TestNotifyWithoutReady(t *testing.T) {
	t.Parallel()
	missing := "name=dependency file://" + filepath.Join(t.TempDir(), "missing")
	app := []string{"--", "sh", "-c", "exit 3"}
	for name, c := range map[string]struct {
		args []string
		stop bool
		last string
		code int
	}{
		"stop during the wait": {append([]string{"--wait", missing, "--ready", "true"}, app...), true,
			"stopped by SIGTERM before the app was started", 143},
		"wait timed out": {append([]string{"--wait", missing, "--wait-timeout", "0.01", "--ready", "true"}, app...), false,
			"the app was not started", 124},
		"pre-start failed": {append([]string{"--pre-start", "false", "--ready", "true"}, app...), false,
			"the app was not started", 125},
		"app not found": {[]string{"--ready", "true", "--", "/no/such/app"}, false,
			"the app was not started", 127},
		"app exits before it is ready": {append([]string{"--ready", missing}, app...), false,
			"app exited 3 after ", 3},
		"ready timed out": {[]string{"--ready", "within=0.01 " + missing, "--", "sh", "-c", "read line"}, false,
			"app was killed by SIGTERM after ", 124},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := listening(t)
			r := m.usher(c.args...)
			if c.stop {
				m.expect("STATUS=wait: waiting for dependency")
				r.signal(syscall.SIGTERM)
			}
			m.expect("STATUS=" + c.last)
			assert.Equal(t, c.code, r.code())
			assertNotPrinted(t, m.text(), "READY=1")
			assert.Equal(t, 1, strings.Count(m.text(), "STOPPING=1"), m.text())
		})
	}
}

func event(kind supervisor.Kind, phase supervisor.Phase) *supervisor.Event {
	return &supervisor.Event{Kind: kind, Phase: phase, Summary: &supervisor.Summary{}}
}

// The notifier keeps each state (READY=1, STOPPING=1) until it is sent, in order. Of the statuses
// (STATUS=…) that are not sent yet, it keeps only the newest.
func TestNotifierKeepsStatesAndTheNewestStatus(t *testing.T) {
	o := parsed(t, []string{"--ready", "true", "app"}, []string{"NOTIFY_SOCKET=/no/such/socket"})
	n := newNotifier(o.notifySocket, &logger{app: "app"}, &o.config)
	take := func() string {
		message := n.next()
		n.remove(message)
		return message
	}
	assert.Empty(t, n.next())
	n.observe(event(supervisor.Entered, supervisor.Start))
	n.observe(event(supervisor.Entered, supervisor.Ready))
	assert.Equal(t, "STATUS=ready: waiting for true", take())
	assert.Empty(t, take())

	n.observe(event(supervisor.Entered, supervisor.PostStart))
	assert.Equal(t, "READY=1", n.next())
	n.observe(event(supervisor.Entered, supervisor.Running))
	assert.Equal(t, "READY=1\nSTATUS=run: app is running", n.next())
	n.observe(event(supervisor.AppExited, supervisor.Running))
	n.observe(event(supervisor.StartupFailed, supervisor.Running)) // no second STOPPING=1, because the shutdown has begun already
	n.observe(event(supervisor.Entered, supervisor.Leftovers))
	assert.Equal(t, "READY=1", take())
	message := n.next()
	assert.Equal(t, "STOPPING=1\nSTATUS=leftovers: waiting for the remaining processes to exit", message)
	n.observe(event(supervisor.Exited, supervisor.Done)) // recorded while the message is being sent
	n.remove(message)
	assert.Equal(t, "STATUS=all targets are ready", take())
	assert.Empty(t, take())
}

// If a stop signal is received at the moment when the app becomes ready, post-start may be
// entered after the shutdown has begun. Then the notifier must not send READY=1.
func TestNotifierSendsNoReadyAfterStopping(t *testing.T) {
	o := parsed(t, []string{"--ready", "true", "app"}, []string{"NOTIFY_SOCKET=/no/such/socket"})
	n := newNotifier(o.notifySocket, &logger{app: "app"}, &o.config)
	stop := event(supervisor.StopRequested, supervisor.Ready)
	stop.Signal = syscall.SIGTERM
	n.observe(stop)
	n.observe(event(supervisor.Entered, supervisor.PostStart))
	assert.Equal(t, []string{"STOPPING=1"}, n.states)
}

// A status is one line of valid UTF-8, and fits with a state into one message of 4096 bytes.
func TestStatusIsOneShortLine(t *testing.T) {
	o := parsed(t, []string{"--ready", "true", "app"}, nil)
	n := newNotifier("/no/such/socket", &logger{app: "a\nREADY=1\n\xff" + strings.Repeat("ö", 4096)}, &o.config)
	status := n.statusOf(event(supervisor.Entered, supervisor.Running))
	assert.True(t, strings.HasPrefix(status, "run: a READY=1 ?ö"), "%.30q", status)
	assert.True(t, strings.HasSuffix(status, "ö…"), "%q", status[len(status)-8:])
	assert.LessOrEqual(t, len(status), maxStatus)
}

// There is a status for each event that begins a step.
func TestEachPhaseHasAStatus(t *testing.T) {
	o := parsed(t, []string{"--wait", "true", "--ready", "true", "app"}, nil)
	n := newNotifier("/no/such/socket", &logger{app: "app"}, &o.config)
	for phase, kinds := range map[supervisor.Phase][]supervisor.Kind{
		supervisor.Wait: {supervisor.Entered}, supervisor.PreStart: {supervisor.HookStarted}, supervisor.Start: {supervisor.Entered},
		supervisor.Ready: {supervisor.Entered}, supervisor.PostStart: {supervisor.HookStarted}, supervisor.Running: {supervisor.Entered},
		supervisor.Drain: {supervisor.DelayStarted, supervisor.HookStarted, supervisor.IdleStarted}, supervisor.Stop: {supervisor.StopSignalSent},
		supervisor.Leftovers: {supervisor.Entered}, supervisor.PostStop: {supervisor.HookStarted}, supervisor.Done: {supervisor.Exited},
	} {
		for _, kind := range kinds {
			e := event(kind, phase)
			e.Target = &o.config.Ready[0]
			status := n.statusOf(e)
			assert.True(t, phase == supervisor.Done || strings.HasPrefix(status, phase.String()+": "), "%v: %q", phase, status)
			assert.NotEmpty(t, status, phase)
		}
	}
}
