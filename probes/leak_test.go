package probes

import (
	"crypto/tls"
	"io"
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

// assertNoLeaks waits, for at most 30 s, until the process has no more than fds+2 descriptors
// and goroutines+2 goroutines. The margin of 2 is for the descriptors of the network poller and
// the goroutines of Eventually.
func assertNoLeaks(t *testing.T, fds, goroutines int) {
	t.Helper()
	assert.Eventually(t, func() bool {
		return countDescriptors(t) <= fds+2 && runtime.NumGoroutine() <= goroutines+2
	}, 30*time.Second, 10*time.Millisecond)
}

// The servers run in this process too, so the test closes them before the last count of
// descriptors and goroutines.
func TestHTTPLeavesNoDescriptorsOrGoroutines(t *testing.T) {
	// The garbage collector is off, because it closes connections that nothing refers to, and so
	// would hide a leak.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	fds, goroutines := countDescriptors(t), runtime.NumGoroutine()
	ok := startHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200 + int(r.ContentLength)*303) // 200 for a request without a body, 503 for one with a body of one byte
		io.WriteString(w, strings.Repeat("x", 20<<10))
	}), nil)
	secure := startHTTP(t, http.NotFoundHandler(), func(s *httptest.Server) { s.TLS = new(tls.Config) })
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
	assertNoLeaks(t, fds, goroutines)
}

func TestServerLeavesNoDescriptorsOrGoroutines(t *testing.T) {
	var response atomic.Value
	address := serveBytes(t, func(w io.Writer) { io.WriteString(w, response.Load().(string)) })
	round := func() {
		for _, test := range serverResponses {
			if strings.Contains(test.response, "mysql_native_password") {
				continue // skipped, because the probe would wait up to lingerTimeout for the result of its login
			}
			response.Store(test.response)
			ask(t, test.scheme+"://"+address, ForWait)
		}
	}
	round()
	fds, goroutines := countDescriptors(t), runtime.NumGoroutine()
	for range 5 {
		round()
	}
	assertNoLeaks(t, fds, goroutines)
}

func TestNoKindLeavesDescriptorsOrGoroutines(t *testing.T) {
	// The garbage collector is off, because it closes connections that nothing refers to, and so
	// would hide a leak.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	fds, goroutines := countDescriptors(t), runtime.NumGoroutine()
	servers := startLeakServers(t)
	for text, n := range servers.targets {
		target := parse(t, text, ForWait)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range n / 8 {
					target.Probe.Ask(t.Context(), Attempt{Timeout: 50 * time.Millisecond, Resolver: servers.resolver})
				}
			})
		}
		all.Wait()
	}
	servers.close()
	assertNoLeaks(t, fds, goroutines)
}

func TestMemoryDoesNotGrowWithTheNumberOfAttempts(t *testing.T) {
	servers := startLeakServers(t)
	defer servers.close()
	live := func() int64 {
		runtime.GC()
		runtime.GC() // two calls, because the values of a sync.Pool survive the first collection
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for text, n := range servers.targets {
		target := parse(t, text, ForWait)
		ask := func(n int) {
			for range n {
				target.Probe.Ask(t.Context(), Attempt{Timeout: 50 * time.Millisecond, Resolver: servers.resolver})
			}
		}
		ask(n/8 + 1)
		before := live()
		ask(n / 2)
		// The servers may still need some time to end the last connections.
		limit := before + int64(n/2*100+100<<10)
		assert.Eventually(t, func() bool { return live() < limit }, 30*time.Second, 10*time.Millisecond, "%s: %d attempts", text, n/2)
	}
}

// leakServers are servers for targets of many kinds. Some respond correctly. Others respond
// with invalid or endless data, or not at all.
type leakServers struct {
	targets  map[string]int // for each target: about how many attempts a test makes
	resolver *Resolver
	closers  []func()
}

func (s *leakServers) close() {
	for _, close := range s.closers {
		close()
	}
}

func startLeakServers(t *testing.T) *leakServers {
	t.Helper()
	s := &leakServers{resolver: resolverOf("127.0.0.1")}
	start := func(handle func(net.Conn)) string {
		l := listen(t, "tcp", "127.0.0.1:0", handle)
		s.closers = append(s.closers, func() { l.Close() })
		return l.Addr().String()
	}
	plain := startHTTP(t, http.HandlerFunc(respondHealth), func(s *httptest.Server) {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Config.Protocols.SetHTTP1(true)
	})
	secure := startHTTP(t, http.HandlerFunc(respondHealth), func(s *httptest.Server) {
		s.TLS, s.EnableHTTP2 = hostileConfig(t), true
	})
	s.closers = append(s.closers, plain.Close, secure.Close)
	_, port, err := net.SplitHostPort(plain.Listener.Addr().String())
	require.NoError(t, err)
	bigHeader := start(func(conn net.Conn) { sendForever(conn, "HTTP/1.1 200 OK\r\nA: ", "x"); conn.Close() })
	settings := start(func(conn net.Conn) { sendForever(conn, "", "\x00\x00\x00\x04\x00\x00\x00\x00\x00"); conn.Close() })
	silent := start(readUntilClosed)
	hello := start(func(conn net.Conn) { io.WriteString(conn, "hello\r\n"); conn.Close() })
	tls := secure.Listener.Addr().String()
	s.targets = map[string]int{
		"dns://db": 2000, "tcp://db:" + port: 2000, "http://db:" + port: 2000, "grpc://db:" + port: 2000, "grpc://db:" + port + "/not-serving": 2000,
		"insecure=true https://" + tls: 200, "insecure=true grpcs://" + tls: 200,
		"grpcs://" + tls:             200, // fails, because the certificate is self-signed
		"ca=/no/such https://" + tls: 2000, "expect=^hello tcp://" + hello: 2000, "expect=NO tcp://" + hello: 2000,
		"grpc://" + hello: 2000, "http://" + hello: 2000, "grpc://127.0.0.1:1": 2000,
		"http://" + bigHeader: 80, "grpc://" + settings: 80, "http://" + silent: 32, "grpc://" + silent: 32, "https://" + silent: 32,
	}
	return s
}
