package probes

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestServerNginxWithTLSAndRedirects(t *testing.T) {
	nginx := findProgram(t, "nginx", "/usr/sbin/nginx")
	a := newIssuer(t)
	a.sign("server", &x509.Certificate{DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	plain, secure, mutual, two := unusedPort(t), unusedPort(t), unusedPort(t), unusedPort(t)
	conf := fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr crit;
events {}
http {
  access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f;
  uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  ssl_certificate %[1]s/server.pem; ssl_certificate_key %[1]s/server.key; ssl_client_certificate %[1]s/ca.pem;
  server { listen 127.0.0.1:%[2]s; location / { return 301 https://127.0.0.1:%[3]s$request_uri; } location /other { return 302 http://other.invalid/; } }
  server { listen 127.0.0.1:%[3]s ssl; location / { return 200 "well\n"; } location /loop { return 302 /loop; } location /plain { return 302 http://127.0.0.1:%[2]s/other; } }
  server { listen 127.0.0.1:%[4]s ssl; ssl_verify_client on; location / { return 204; } }
  server { listen 127.0.0.1:%[5]s ssl http2; location / { return 204; } }
}`, a.dir, plain, secure, mutual, two)
	writeFile(t, a.path("nginx.conf"), []byte(conf))
	account{os.Getuid(), os.Getgid(), a.dir}.start(t, nginx, "-c", a.path("nginx.conf"))
	startWaiting(t, "tcp://127.0.0.1:"+two).waitFor("ready", "connection refused")

	ca := "ca=" + a.path("ca.pem") + " "
	client := fmt.Sprintf("cert=%s key=%s ", a.path("server.pem"), a.path("server.key"))
	for _, test := range []struct {
		text string
		port string
		path string
		want string
	}{
		{ca + "match=^well https://", secure, "/", ""},
		{ca + "match=^well https://", two, "/", "body does not match match="},
		{ca + "https://", secure, "/loop", "more than 10 redirects"},
		{ca + "https://", secure, "/plain", ""},
		{"https://", secure, "/", "the certificate is signed by an unknown authority"},
		{"insecure=true https://", secure, "/", ""},
		{"https://", plain, "/", "the server does not speak TLS"},
		{"http://", secure, "/", "status 400"},
		{"http://", plain, "/", "the certificate is signed by an unknown authority"},
		{"http://", plain, "/other", ""},
		{ca + "https://", mutual, "/", "status 400"}, // nginx reports a missing client certificate with an HTTP status
		{ca + client + "https://", mutual, "/", ""},
		{"grpc://", plain, "", "the server speaks HTTP/1, not HTTP/2"},
		{ca + "grpcs://", secure, "", "the server speaks another protocol over TLS"},
		{ca + "grpcs://", two, "", "HTTP status 204 instead of a gRPC response"},
	} {
		text := fmt.Sprintf("%s127.0.0.1:%s%s", test.text, test.port, test.path)
		err := ask(t, text, ForWait)
		if test.want == "" {
			assert.NoError(t, err, text)
		} else {
			assert.EqualError(t, err, test.want, text)
		}
	}
}
