package probes

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerRabbitMQLogsOneClosedConnection(t *testing.T) {
	server := findProgram(t, "RabbitMQ", "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
	epmd := findProgram(t, "Erlang", "/usr/bin/epmd")
	a := accountOf(t, "rabbitmq")
	port, epmdPort := unusedPort(t), unusedPort(t)
	url := "amqp://guest:hunter2@127.0.0.1:" + port + "/vhost"
	w := startWaiting(t, url)
	w.waitFor("connection refused")
	// The test starts epmd, because an epmd that RabbitMQ starts would outlive the test.
	epmdDaemon := a.start(t, epmd, "-port", epmdPort, "-address", "127.0.0.1", "-d")
	epmdDaemon.waitForLine(0, "epmd running")
	a.write(t, ".erlang.cookie", "cookie")
	require.NoError(t, os.Chmod(filepath.Join(a.dir, ".erlang.cookie"), 0o400))
	cmd := a.command(server)
	cmd.Env = append(cmd.Env, "RABBITMQ_NODENAME=usher@localhost", "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT="+port,
		"RABBITMQ_DIST_PORT="+unusedPort(t), "ERL_EPMD_PORT="+epmdPort, "ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_LOGS=-")
	cert, key, ca := a.writeCertificate(t)
	tlsPort := unusedPort(t)
	a.write(t, "none.conf", fmt.Sprintf("listeners.ssl.1 = 127.0.0.1:%s\nssl_options.cacertfile = %s\nssl_options.certfile = %s\nssl_options.keyfile = %s\nssl_options.verify = verify_none\n", tlsPort, ca, cert, key))
	for variable, file := range map[string]string{"MNESIA_BASE": "mnesia", "LOG_BASE": "log", "CONFIG_FILE": "none.conf", "ENABLED_PLUGINS_FILE": "plugins", "CONF_ENV_FILE": "env", "PID_FILE": "pid"} {
		cmd.Env = append(cmd.Env, "RABBITMQ_"+variable+"="+filepath.Join(a.dir, file))
	}
	d := startCommand(t, cmd)
	d.waitForLine(0, "Ready to start client connection listeners")
	w.waitFor("ready") // comes right after "connection refused", because RabbitMQ opens its port last
	overTLS := "ca=" + ca + " amqps://guest:hunter2@127.0.0.1:" + tlsPort
	startWaiting(t, overTLS).waitFor("ready", "connection refused")
	seen := d.waitForLine(0, "Server startup complete")
	probeSeveralTimes(t, url)
	probeSeveralTimes(t, overTLS)
	// The last action is a connection with a version of AMQP that the server does not support, so
	// it logs bad_version after the lines of all earlier actions. unusualLines waits for that
	// line, so it sees all of them.
	sendAndReceive(t, port, "AMQP\x01\x01\x01\x01")
	logged := d.unusualLines(seen, "bad_version", `completed with \d+ plugins`, `\[info\].* accepting AMQP connection`, `\[warning\].* closing AMQP connection .*:$`, `\[error\].* closing AMQP connection .*:$`)
	assert.NotEmpty(t, logged)
	for _, line := range logged {
		assert.Regexp(t, `\[warning\] <[0-9.]+> client unexpectedly closed TCP connection$`, line)
	}

	// stop_app stops the broker, and leaves the Erlang node running.
	ctl := func(command string) {
		cmd := a.command(findProgram(t, "rabbitmqctl", "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmqctl"), "--node", "usher@localhost", command)
		cmd.Env = append(cmd.Env, "ERL_EPMD_PORT="+epmdPort, "RABBITMQ_CONF_ENV_FILE="+filepath.Join(a.dir, "env"))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	ctl("stop_app")
	assertRefused(t, url)
	assertRefused(t, overTLS)
	w = startWaiting(t, url)
	w.waitFor("connection refused")
	ctl("start_app")
	w.waitFor("ready", "connection refused")
}

func TestServerNATSLogsNothing(t *testing.T) {
	nats := findProgram(t, "NATS", "/usr/sbin/nats-server", "/usr/bin/nats-server")
	a := accountOf(t, "nats")
	port := unusedPort(t)
	url := "nats://token:hunter2@127.0.0.1:" + port
	assertRefused(t, url)
	for _, extra := range [][]string{nil, {"--user", "u", "--pass", "hunter2"}} {
		w := startWaiting(t, url)
		w.waitFor("connection refused")
		d := a.start(t, append([]string{nats, "--addr", "127.0.0.1", "--port", port, "--jetstream", "--store_dir", a.dir}, extra...)...)
		w.waitFor("ready", "connection refused")
		seen := d.waitForLine(0, "Server is ready")
		probeSeveralTimes(t, url)
		// SIGHUP makes the server log a line with "Trapped" or "reload" after the lines of all
		// earlier actions. unusualLines waits for that line, so it sees all of them.
		require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP))
		assert.Empty(t, d.unusualLines(seen, "Trapped|[Rr]eload"))
		d.stop()
	}
}

func TestServerNATSThatRequiresTLSLogsNothing(t *testing.T) {
	nats := findProgram(t, "NATS", "/usr/sbin/nats-server", "/usr/bin/nats-server")
	a := accountOf(t, "nats")
	cert, key, ca := a.writeCertificate(t)
	port := unusedPort(t)
	url := "nats://127.0.0.1:" + port
	w := startWaiting(t, url)
	w.waitFor("connection refused")
	d := a.start(t, nats, "--addr", "127.0.0.1", "--port", port, "--tls", "--tlscert", cert, "--tlskey", key, "--tlscacert", ca)
	w.waitFor("ready", "connection refused")
	seen := d.waitForLine(0, "Server is ready")
	probeSeveralTimes(t, url)
	probeSeveralTimes(t, "ca="+ca+" "+url)
	require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP))
	assert.Empty(t, d.unusualLines(seen, "Trapped|[Rr]eload"))
	assertNotReady(t, "ca="+ca+" server-name=other.example "+url, "the certificate is not for the name other.example")
}

func TestServerMosquittoLogsOnlyConnections(t *testing.T) {
	mosquitto := findProgram(t, "Mosquitto", "/usr/sbin/mosquitto")
	a := accountOf(t, "mosquitto")
	port := unusedPort(t)
	url := "mqtt://u:hunter2@127.0.0.1:" + port
	assertRefused(t, url)
	for _, access := range []string{"allow_anonymous true", "allow_anonymous false\npassword_file " + a.write(t, "passwords", "")} {
		w := startWaiting(t, url)
		w.waitFor("connection refused")
		d := a.start(t, mosquitto, "-c", a.write(t, "conf", "listener "+port+" 127.0.0.1\n"+access+"\n"))
		w.waitFor("ready", "connection refused")
		seen := d.waitForLine(0, "running")
		probeSeveralTimes(t, url)
		// SIGHUP makes the broker log "Reloading config" after the lines of all earlier actions.
		// unusualLines waits for that line, so it sees all of them. The other four patterns are of
		// lines that Mosquitto logs for any client, and not only for probes.
		require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP))
		assert.Empty(t, d.unusualLines(seen, "Reloading config", `New connection from \S+ on port`, `New client connected from \S+ as usher[0-9a-f]{16} `,
			`Client usher[0-9a-f]{16} disconnected\.$`, `Client <unknown> disconnected, not authorised\.$`))
		d.stop()
	}
}

func TestServerMosquittoWithTLSLogsOnlyConnections(t *testing.T) {
	mosquitto := findProgram(t, "Mosquitto", "/usr/sbin/mosquitto")
	a := accountOf(t, "mosquitto")
	cert, key, ca := a.writeCertificate(t)
	port := unusedPort(t)
	url := "ca=" + ca + " mqtts://u:hunter2@127.0.0.1:" + port
	w := startWaiting(t, url)
	w.waitFor("connection refused")
	d := a.start(t, mosquitto, "-c", a.write(t, "conf", "listener "+port+" 127.0.0.1\nallow_anonymous true\ncertfile "+cert+"\nkeyfile "+key+"\n"))
	w.waitFor("ready", "connection refused")
	seen := d.waitForLine(0, "running")
	probeSeveralTimes(t, url)
	require.NoError(t, syscall.Kill(d.cmd.Process.Pid, syscall.SIGHUP))
	assert.Empty(t, d.unusualLines(seen, "Reloading config", `New connection from \S+ on port`, `New client connected from \S+ as usher[0-9a-f]{16} `, `Client usher[0-9a-f]{16} disconnected\.$`))
}
