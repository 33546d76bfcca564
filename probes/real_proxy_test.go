package probes

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
)

// startHAProxy starts HAProxy and waits until it listens on port. sections are the sections of
// its configuration after "defaults".
func startHAProxy(t *testing.T, port, sections string) {
	t.Helper()
	haproxy := findProgram(t, "HAProxy", "/usr/sbin/haproxy")
	a := account{os.Getuid(), os.Getgid(), t.TempDir()}
	conf := a.write(t, "haproxy.cfg", "defaults\n  timeout client 60s\n  timeout connect 60s\n  timeout server 60s\n  retries 0\n"+sections)
	a.start(t, haproxy, "-db", "-f", conf)
	startWaiting(t, "tcp://127.0.0.1:"+port).waitFor("ready", "connection refused")
}

// The hint of a failed attempt names the proxy if the proxy has made the response itself, but
// not if it has forwarded a response of the server behind it.
func TestServerProxiesThatAnswerForTheirServerAreNamed(t *testing.T) {
	nginx := findProgram(t, "nginx", "/usr/sbin/nginx")
	down := unusedPort(t)
	answers := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nno\n")
		readUntilClosed(conn)
	}).Addr().String()
	closes := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		conn.Close()
	}).Addr().String()
	silent := listen(t, "tcp", "127.0.0.1:0", readUntilClosed).Addr().String()

	a := account{os.Getuid(), os.Getgid(), t.TempDir()}
	plain, grpc := unusedPort(t), unusedPort(t)
	conf := a.write(t, "nginx.conf", fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log /dev/null;
events {}
http {
  access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;
  uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.1:%[2]s;
    location /down { proxy_pass http://127.0.0.1:%[4]s; }
    location /answers { proxy_pass http://%[5]s; }
    location /silent { proxy_pass http://%[6]s; proxy_read_timeout 50ms; }
  }
  server { listen 127.0.0.1:%[3]s http2; location / { grpc_pass grpc://127.0.0.1:%[4]s; } }
}`, a.dir, plain, grpc, down, answers, silent))
	a.start(t, nginx, "-c", conf)
	startWaiting(t, "tcp://127.0.0.1:"+grpc).waitFor("ready", "connection refused")

	front := unusedPort(t)
	startHAProxy(t, front, fmt.Sprintf(`
frontend front
  mode http
  bind 127.0.0.1:%s
  use_backend %%[path,field(2,/)]
backend down
  mode http
  server s 127.0.0.1:%s
backend answers
  mode http
  server s %s
backend closes
  mode http
  server s %s
backend silent
  mode http
  timeout server 50ms
  server s %s
`, front, down, answers, closes, silent))

	const own = "it is not ready, or it is a proxy without a server behind it"
	for _, test := range []struct{ url, err, hint string }{
		{"http://127.0.0.1:" + plain + "/down", "status 502", "from the proxy nginx, not from the server"},
		{"http://127.0.0.1:" + plain + "/silent", "status 504", "from the proxy nginx, not from the server"},
		{"http://127.0.0.1:" + plain + "/answers", "status 503", own},
		{"http://127.0.0.1:" + front + "/down", "status 503", "from the proxy HAProxy, not from the server"},
		{"http://127.0.0.1:" + front + "/closes", "status 502", "from the proxy HAProxy, not from the server"},
		{"http://127.0.0.1:" + front + "/silent", "status 504", "from the proxy HAProxy, not from the server"},
		{"http://127.0.0.1:" + front + "/answers", "status 503", own},
		{"grpc://127.0.0.1:" + grpc, "HTTP status 502 instead of a gRPC response", "from the proxy nginx, not from the server"},
	} {
		err := ask(t, test.url, ForWait)
		assert.EqualError(t, err, test.err, test.url)
		assert.Contains(t, Hint(err), test.hint, test.url)
	}
}

// HAProxy accepts connections while MariaDB is down. The mysql:// target must become ready only
// when MariaDB is ready.
func TestServerMariaDBBehindAProxy(t *testing.T) {
	mariadbd := findProgram(t, "MariaDB", "/usr/sbin/mariadbd")
	a := accountOf(t, "mysql")
	front, port, data := unusedPort(t), unusedPort(t), filepath.Join(a.dir, "data")
	startHAProxy(t, front, fmt.Sprintf("listen db\n  mode tcp\n  bind 127.0.0.1:%s\n  server db 127.0.0.1:%s\n", front, port))
	url := "mysql://app:hunter2@127.0.0.1:" + front + "/app"
	assert.NoError(t, ask(t, "tcp://127.0.0.1:"+front, ForWait), "tcp:// is ready, whatever the state of the server")
	err := ask(t, url, ForWait)
	assert.Error(t, err) // the connection is closed or reset
	assert.Contains(t, Hint(err), "is the server behind a proxy up?")

	a.run(t, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal")
	w := startWaiting(t, url)
	a.start(t, mariadbd, "--no-defaults", "--datadir="+data, "--socket="+a.dir+"/s", "--pid-file="+a.dir+"/pid", "--bind-address=127.0.0.1", "--port="+port)
	w.waitFor("ready", "the connection was closed before the response was complete", "connection reset by peer")
}
