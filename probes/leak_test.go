package probes

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// assertNothingLeft waits until there are as few descriptors and goroutines as before.
func assertNothingLeft(t *testing.T, fds, goroutines int) {
	t.Helper()
	assert.Eventually(t, func() bool {
		return countDescriptors(t) <= fds+2 && runtime.NumGoroutine() <= goroutines+2 // 2: those of the network poller and of Eventually
	}, 30*time.Second, 10*time.Millisecond)
}

// 2000 attempts leave no descriptors and goroutines. The servers run in this process too, so
// they are closed first.
func TestHTTPLeavesNoDescriptorsOrGoroutines(t *testing.T) {
	// The garbage collector would close leaked connections.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	fds, goroutines := countDescriptors(t), runtime.NumGoroutine()
	ok := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200 + int(r.ContentLength)*303) // 503 for a body of one byte
		io.WriteString(w, strings.Repeat("x", 20<<10))
	}))
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	tests := []struct {
		text     string
		attempts int
	}{
		{ok.URL, 2000},
		{"body=x " + ok.URL, 200},
		{"tcp://" + strings.TrimPrefix(ok.URL, "http://"), 200},
		{secure.URL, 100},
		{strings.Replace(secure.URL, "127.0.0.1", "localhost", 1), 100},
		{"unix:///no/such", 200},
		{"file:///", 200},
	}
	for _, test := range tests {
		target := parse(t, test.text, ForWait)
		for range test.attempts {
			target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout})
		}
	}
	ok.Close()
	secure.Close()
	assertNothingLeft(t, fds, goroutines)
}

// No descriptors and goroutines are left, however many attempts there are.
func TestServerLeavesNoDescriptorsOrGoroutines(t *testing.T) {
	var words atomic.Value
	address := serveBytes(t, func(w io.Writer) { io.WriteString(w, words.Load().(string)) })
	round := func() {
		for _, test := range serverResponses {
			if strings.Contains(test.words, "mysql_native_password") {
				continue // the server is ready, and then closes late
			}
			words.Store(test.words)
			ask(t, test.scheme+"://"+address, ForWait)
		}
	}
	round()
	fds, goroutines := countDescriptors(t), runtime.NumGoroutine()
	for range 5 {
		round()
	}
	require.Eventually(t, func() bool {
		return countDescriptors(t) <= fds+2 && runtime.NumGoroutine() <= goroutines+2 // 2: those of the listener and of Eventually
	}, 30*time.Second, time.Millisecond)
}

// 2000 attempts of each kind, against good and hostile servers.
func TestNoKindLeavesDescriptorsOrGoroutines(t *testing.T) {
	// The garbage collector would close leaked connections.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	fds, goroutines := countDescriptors(t), runtime.NumGoroutine()
	servers := startLeakServers(t)
	for text, n := range servers.targets {
		target := parse(t, text, ForWait)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range n / 8 {
					target.Probe.Ask(t.Context(), Attempt{Timeout: 50 * time.Millisecond, Resolver: servers.names})
				}
			})
		}
		all.Wait()
	}
	servers.close()
	assertNothingLeft(t, fds, goroutines)
}

// Live memory does not grow with the number of attempts.
func TestMemoryDoesNotGrow(t *testing.T) {
	servers := startLeakServers(t)
	defer servers.close()
	live := func() int64 {
		runtime.GC()
		runtime.GC() // a sync.Pool survives the first
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for text, n := range servers.targets {
		target := parse(t, text, ForWait)
		ask := func(n int) {
			for range n {
				target.Probe.Ask(t.Context(), Attempt{Timeout: 50 * time.Millisecond, Resolver: servers.names})
			}
		}
		ask(n/8 + 1)
		before := live()
		ask(n / 2)
		assert.Less(t, live()-before, int64(n/2*100+100<<10), "%s: %d attempts", text, n/2)
	}
}

// startServers starts good and hostile servers of every kind.
type leakServers struct {
	targets map[string]int // and the number of attempts
	names   *Resolver
	closes  []func()
}

func (s *leakServers) close() {
	for _, close := range s.closes {
		close()
	}
}

func startLeakServers(t *testing.T) *leakServers {
	t.Helper()
	s := &leakServers{names: resolverOf("127.0.0.1")}
	listen := func(f func(net.Conn)) string {
		l := listen(t, "tcp", "127.0.0.1:0", f)
		s.closes = append(s.closes, func() { l.Close() })
		return l.Addr().String()
	}
	plain := httptest.NewUnstartedServer(http.HandlerFunc(respondHealth))
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Config.Protocols.SetHTTP1(true)
	plain.Start()
	secure := httptest.NewUnstartedServer(http.HandlerFunc(respondHealth))
	secure.EnableHTTP2 = true
	secure.TLS = hostileConfig(t)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	s.closes = append(s.closes, plain.Close, secure.Close)
	_, port, err := net.SplitHostPort(plain.Listener.Addr().String())
	require.NoError(t, err)
	bigHeader := listen(func(conn net.Conn) { sendForever(conn, "HTTP/1.1 200 OK\r\nA: ", "x"); conn.Close() })
	settings := listen(func(conn net.Conn) { sendForever(conn, "", "\x00\x00\x00\x04\x00\x00\x00\x00\x00"); conn.Close() })
	silent := listen(readUntilClosed)
	hello := listen(func(conn net.Conn) { io.WriteString(conn, "hello\r\n"); conn.Close() })
	tls := secure.Listener.Addr().String()
	s.targets = map[string]int{
		"dns://db": 2000, "tcp://db:" + port: 2000, "http://db:" + port: 2000, "grpc://db:" + port: 2000, "grpc://db:" + port + "/down": 2000,
		"insecure=true https://" + tls: 200, "insecure=true grpcs://" + tls: 200,
		"grpcs://" + tls:             200, // it is self-signed
		"ca=/no/such https://" + tls: 2000, "expect=^hello tcp://" + hello: 2000, "expect=NO tcp://" + hello: 2000,
		"grpc://" + hello: 2000, "http://" + hello: 2000, "grpc://127.0.0.1:1": 2000,
		"http://" + bigHeader: 80, "grpc://" + settings: 80, "http://" + silent: 32, "grpc://" + silent: 32, "https://" + silent: 32,
	}
	return s
}
