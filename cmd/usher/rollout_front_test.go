package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// front is what clients connect to: a proxy (nginx, HAProxy), or with directFront a backend
// itself. It spreads the connections or requests of the clients over its endpoints, which are
// the addresses of backends.
type front interface {
	setEndpoints(addrs []string) error
	dial(ctx context.Context) (net.Conn, error)
	// keepsClients reports whether a change of the endpoints leaves the connections of
	// clients open.
	keepsClients() bool
	close()
}

func (n *node) newFront(name string, id int, endpoints []string) (front, error) {
	dir := filepath.Join(n.plan.Dir, fmt.Sprint("front", id))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	listen := fmt.Sprint("127.0.0.1:", 20000+id)
	switch name {
	case "direct":
		return &directFront{endpoints: endpoints}, nil
	case "nginx":
		return startNginx(dir, listen, n.plan.KeepAlive, endpoints)
	case "haproxy":
		return startHAProxy(dir, listen, n.plan.KeepAlive, endpoints)
	}
	return nil, fmt.Errorf("no front %q: direct, nginx or haproxy", name)
}

// directFront stands for kube-proxy. With kube-proxy, the kernel of the client's machine
// chooses an endpoint at random for each new connection, and an established connection
// stays with its endpoint. Here the client's dial function chooses the endpoint.
type directFront struct {
	mu        sync.Mutex
	endpoints []string
}

func (f *directFront) setEndpoints(addrs []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endpoints = slices.Clone(addrs)
	return nil
}

func (f *directFront) dial(ctx context.Context) (net.Conn, error) {
	f.mu.Lock()
	addr := f.endpoints[rand.IntN(len(f.endpoints))]
	f.mu.Unlock()
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

func (f *directFront) keepsClients() bool { return true }
func (f *directFront) close()             {}

// proxy is a server between the clients and the backends. It does not retry a request, because
// a retry could hide a failure.
type proxy struct {
	cmd    *exec.Cmd
	dir    string
	listen string
}

// startProxy writes the configuration, starts the proxy in the foreground, and waits until
// it listens.
func startProxy(dir, listen, config string, argv ...string) (*proxy, error) {
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &proxy{exec.Command(argv[0], argv[1:]...), dir, listen}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := retry(func() error {
		conn, err := net.Dial("tcp", listen)
		if err == nil {
			conn.Close()
		}
		return err
	}); err != nil {
		text, _ := os.ReadFile(log.Name())
		p.close()
		return nil, fmt.Errorf("%s: %w\n%s", argv[0], err, lastLines(string(text)))
	}
	return p, nil
}

func (p *proxy) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", p.listen)
}

func (p *proxy) close() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// nginxFront is nginx. Its endpoints are changed by a reload, which starts new workers. The
// old workers finish their requests and close their idle connections. If a client is sending
// a request on such a connection, this request is lost even if all backends work. So the
// clients of nginx do not keep connections open.
type nginxFront struct {
	*proxy
	keepAlive bool
}

func startNginx(dir, listen string, keepAlive bool, endpoints []string) (front, error) {
	connection := "close"
	if keepAlive {
		connection = ""
	}
	f := &nginxFront{keepAlive: keepAlive}
	if err := f.writeEndpoints(dir, endpoints); err != nil {
		return nil, err
	}
	p, err := startProxy(dir, listen, fmt.Sprintf(`
daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log log;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	scgi_temp_path scgi;
	uwsgi_temp_path uwsgi;
	include endpoints;
	server {
		listen %s backlog=4096;
		location / {
			proxy_pass http://app;
			proxy_http_version 1.1;
			proxy_set_header Connection "%s";
			proxy_next_upstream off;
		}
	}
}
`, listen, connection), "nginx", "-p", dir, "-e", "log", "-c", "config")
	f.proxy = p
	return f, err
}

func (f *nginxFront) writeEndpoints(dir string, addrs []string) error {
	var text strings.Builder
	text.WriteString("upstream app {\n")
	for _, addr := range addrs {
		fmt.Fprintf(&text, "\tserver %s max_fails=0;\n", addr) // max_fails=0: nginx goes on using a server that fails
	}
	if f.keepAlive {
		text.WriteString("\tkeepalive 32;\n")
	}
	text.WriteString("}\n")
	return os.WriteFile(filepath.Join(dir, "endpoints"), []byte(text.String()), 0o644)
}

func (f *nginxFront) setEndpoints(addrs []string) error {
	if err := f.writeEndpoints(f.dir, addrs); err != nil {
		return err
	}
	return f.cmd.Process.Signal(syscall.SIGHUP)
}

func (f *nginxFront) keepsClients() bool { return false }

// haproxyFront is HAProxy. Its endpoints are changed by its runtime API, without a reload. The
// configuration has haproxyServers disabled servers, and each new endpoint gets one of them.
// A server that is no longer needed is put into maintenance: it gets no new requests, and
// HAProxy finishes the requests that it has.
type haproxyFront struct {
	*proxy
	servers []string // the addresses of the servers that have been given an endpoint, in order; "" if the server is in maintenance
}

const haproxyServers = 200

func startHAProxy(dir, listen string, keepAlive bool, endpoints []string) (front, error) {
	mode := "http-keep-alive"
	if !keepAlive {
		mode = "http-server-close"
	}
	p, err := startProxy(dir, listen, fmt.Sprintf(`
global
	stats socket %s/socket mode 600 level admin
	nbthread 1
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	retries 0
	no option redispatch
	option %s
frontend clients
	bind %s backlog 4096
	default_backend app
backend app
	balance roundrobin
	server-template s 1-%d 127.0.0.1:1 disabled
`, dir, mode, listen, haproxyServers), "haproxy", "-db", "-f", filepath.Join(dir, "config"))
	if err != nil {
		return nil, err
	}
	f := &haproxyFront{proxy: p}
	return f, f.setEndpoints(endpoints)
}

// setEndpoints adds the new endpoints before it removes the old ones.
func (f *haproxyFront) setEndpoints(addrs []string) error {
	for _, addr := range addrs {
		if slices.Contains(f.servers, addr) {
			continue
		}
		f.servers = append(f.servers, addr)
		host, port, _ := net.SplitHostPort(addr)
		server := fmt.Sprint("app/s", len(f.servers))
		if err := f.command(fmt.Sprintf("set server %s addr %s port %s; set server %[1]s state ready", server, host, port)); err != nil {
			return err
		}
	}
	for i, addr := range f.servers {
		if addr == "" || slices.Contains(addrs, addr) {
			continue
		}
		f.servers[i] = ""
		if err := f.command(fmt.Sprintf("set server app/s%d state maint", i+1)); err != nil {
			return err
		}
	}
	return nil
}

// command sends a command of the runtime API.
func (f *haproxyFront) command(text string) error {
	var conn net.Conn
	// startProxy has waited until HAProxy listens for clients. HAProxy listens for commands a
	// moment later.
	if err := retry(func() (err error) {
		conn, err = net.Dial("unix", filepath.Join(f.dir, "socket"))
		return err
	}); err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(loadTimeout))
	if _, err := fmt.Fprintln(conn, text); err != nil {
		return err
	}
	reply, err := io.ReadAll(conn)
	if text := strings.TrimSpace(string(reply)); err == nil && text != "" && !strings.Contains(text, "changed from") {
		err = fmt.Errorf("HAProxy: %s", text)
	}
	return err
}

func (f *haproxyFront) keepsClients() bool { return true }
