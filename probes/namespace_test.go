package probes

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// runsInNamespace runs the calling test again in a new process, in a new network and a new
// mount namespace. It returns true in the new process. There the loopback device is up, and
// /etc/resolv.conf contains the text resolv. In the old process runsInNamespace returns false
// after the new process has passed the test, and otherwise fails or skips the test.
func runsInNamespace(t *testing.T, resolv string) bool {
	t.Helper()
	ip, err := exec.LookPath("ip")
	if err != nil {
		skip(t, "needs the command ip")
	}
	if !runsInChild(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS) {
		return false
	}
	require.NoError(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	path := filepath.Join(t.TempDir(), "resolv.conf")
	require.NoError(t, os.WriteFile(path, []byte(resolv), 0o644))
	require.NoError(t, unix.Mount(path, "/etc/resolv.conf", "", unix.MS_BIND, ""))
	run(t, ip, "link", "set", "lo", "up")
	return true
}

// run runs a command that must succeed.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
}

// addDevice adds a network device with an IPv4 and an IPv6 address. No other host exists on
// the networks of the device.
func addDevice(t *testing.T) {
	t.Helper()
	run(t, "ip", "link", "add", "here", "type", "veth", "peer", "name", "there")
	run(t, "ip", "addr", "add", "10.9.9.1/24", "dev", "here")
	run(t, "ip", "-6", "addr", "add", "fd09::1/64", "dev", "here", "nodad")
	run(t, "ip", "link", "set", "here", "up")
	run(t, "ip", "link", "set", "there", "up")
}

// Some of the targets' addresses are behind a network device that drops their packets, some
// have a route that rejects packets, and one has no route.
func TestUnreachableAddressesFailAndDoNotBlockOthers(t *testing.T) {
	if !runsInNamespace(t, "") {
		return
	}
	addDevice(t)
	run(t, "ip", "neigh", "add", "10.9.9.9", "lladdr", "02:00:00:00:00:09", "dev", "here")
	run(t, "ip", "neigh", "add", "fd09::9", "lladdr", "02:00:00:00:00:09", "dev", "here")
	run(t, "ip", "route", "add", "unreachable", "10.9.8.0/24")
	run(t, "ip", "route", "add", "prohibit", "10.9.7.0/24")

	for _, kind := range []string{"tcp://%s:80", "expect=x tcp://%s:80", "http://%s/", "https://%s/", "grpc://%s:80", "grpcs://%s:80/x"} {
		ask := func(host string, limit time.Duration) error {
			return parse(t, fmt.Sprintf(kind, host), ForWait).Probe.Ask(t.Context(), Attempt{Timeout: limit})
		}
		assert.EqualError(t, ask("10.9.9.9", shortTimeout), "timed out after 200ms", kind)
		assert.EqualError(t, ask("[fd09::9]", shortTimeout), "timed out after 200ms", kind)
		assert.EqualError(t, ask("10.9.8.1", time.Minute), "no route to host", kind)
		assert.EqualError(t, ask("10.9.7.1", time.Minute), "permission denied", kind)
		assert.EqualError(t, ask("10.9.6.1", time.Minute), "network is unreachable", kind)
	}
	// Of the addresses below only the last one accepts a connection.
	l := listen(t, "tcp", "127.0.0.1:0", readUntilClosed)
	target := parse(t, fmt.Sprintf("tcp://db:%d", l.Addr().(*net.TCPAddr).Port), ForWait)
	all := resolverOf("10.9.9.9", "fd09::9", "10.9.8.1", "10.9.9.9", "10.9.6.1", "127.0.0.1")
	assert.NoError(t, target.Probe.Ask(t.Context(), Attempt{Timeout: 10 * time.Second, Resolver: all}))
}

// The name db has addresses of one family only. Either the server listens only on an address of
// the other family, or there is no route to the addresses, or IPv6 is turned off.
func TestHintsForNamesWithOneAddressFamily(t *testing.T) {
	if !runsInNamespace(t, "") {
		return
	}
	addDevice(t)
	port4 := listen(t, "tcp4", "0.0.0.0:0", readUntilClosed).Addr().(*net.TCPAddr).Port
	port6 := listen(t, "tcp", "[::1]:0", readUntilClosed).Addr().(*net.TCPAddr).Port
	check := func(port int, addr, err, hint string) {
		t.Helper()
		for _, kind := range []string{"tcp", "http", "redis", "grpc"} {
			target := parse(t, fmt.Sprintf("%s://db:%d", kind, port), ForWait)
			got := target.Probe.Ask(t.Context(), Attempt{Timeout: longTimeout, Resolver: resolverOf(addr, addr)})
			assert.EqualError(t, got, err, addr)
			assert.Equal(t, hint, Hint(got), addr)
		}
	}
	check(port4, "fd09::1", "connection refused", hintRefusedIPv6)
	check(port4, "::1", "connection refused", hintLocalhostIPv6)
	check(port6, "127.0.0.1", "connection refused", hintLocalhostIPv4)
	check(port6, "10.9.9.1", "connection refused", hintRefused)
	check(port4, "2001:db8::1", "network is unreachable", hintOnlyIPv6)
	check(port4, "192.0.2.1", "network is unreachable", hintOnlyIPv4)
	// Docker turns IPv6 off in this way for a container whose network has no IPv6.
	require.NoError(t, os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0))
	check(port4, "2001:db8::1", "cannot assign requested address", hintOnlyIPv6)
	check(port4, "::1", "cannot assign requested address", hintOnlyIPv6)
}

// A nameServer is a name server over UDP.
type nameServer struct {
	// respond returns the rcode and the records for a name, or ok=false if the server must not
	// respond. query is 1 for the first query for a name and type, 2 for the second, and so on.
	// Each record is an address, or "PORT HOST" for an SRV record.
	respond func(name string, query int) (rcode byte, records []string, ok bool)

	mu      sync.Mutex
	queries map[string]int // the number of queries; a key is a name and a type, such as "db.test 28" for AAAA
}

func (s *nameServer) start(t *testing.T, address string) {
	t.Helper()
	s.queries = map[string]int{}
	conn, err := net.ListenPacket("udp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		for b := make([]byte, 1500); ; {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if message := s.reply(b[:n]); message != nil {
				conn.WriteTo(message, from)
			}
		}
	}()
}

// reply returns the response to a query in the format of RFC 1035, section 4, or nil if the
// server must not respond.
func (s *nameServer) reply(question []byte) []byte {
	end := 12
	var labels []string
	for question[end] != 0 {
		labels = append(labels, string(question[end+1:end+1+int(question[end])]))
		end += 1 + int(question[end])
	}
	name, kind := strings.Join(labels, "."), binary.BigEndian.Uint16(question[end+1:])
	end += 5
	s.mu.Lock()
	s.queries[fmt.Sprint(name, " ", kind)]++
	query := s.queries[fmt.Sprint(name, " ", kind)]
	s.mu.Unlock()
	rcode, list, ok := s.respond(name, query)
	if !ok {
		return nil
	}
	b := append([]byte{}, question[:end]...)
	copy(b[2:], []byte{0x81, 0x80 | rcode, 0, 1, 0, 0, 0, 0, 0, 0})
	for _, text := range list {
		if port, host, isSRV := strings.Cut(text, " "); isSRV {
			if number, _ := strconv.Atoi(port); kind == 33 {
				b[7]++
				data := binary.BigEndian.AppendUint16(make([]byte, 4), uint16(number)) // priority, weight, port
				for label := range strings.SplitSeq(host+".", ".") {
					data = append(append(data, byte(len(label))), label...)
				}
				b = append(b, 0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 0, 0, byte(len(data)))
				b = append(b, data...)
			}
			continue
		}
		addr := netip.MustParseAddr(text)
		if addr.Is4() != (kind == 1) {
			continue
		}
		b[7]++
		b = append(b, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(addr.BitLen()/8))
		b = append(b, addr.AsSlice()...)
	}
	return b
}

// countLookups returns how often a name was looked up. Each lookup sends a query for IPv4 and
// one for IPv6. The larger number of queries counts, because the current lookup may have sent
// only one of its two queries.
func (s *nameServer) countLookups(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.queries[name+" 1"], s.queries[name+" 28"])
}

const (
	noError  = 0
	servFail = 2
	nxDomain = 3
	refuses  = 5
)

func TestLookupsWithFailingAndSilentNameServers(t *testing.T) {
	if !runsInNamespace(t, "nameserver 127.0.0.2\nnameserver 127.0.0.3\noptions timeout:3 attempts:1\n") {
		return
	}
	l6 := listen(t, "tcp", "[::1]:0", readUntilClosed)
	l4 := listen(t, "tcp", "127.0.0.1:0", readUntilClosed)
	port4, port6 := l4.Addr().(*net.TCPAddr).Port, l6.Addr().(*net.TCPAddr).Port
	first := &nameServer{respond: func(name string, query int) (byte, []string, bool) {
		switch name {
		case "first-silent.test", "both-silent.test":
			return 0, nil, false
		case "first-fails.test", "both-fail.test":
			return servFail, nil, true
		case "first-refuses.test":
			return refuses, nil, true
		case "none.test":
			return nxDomain, nil, true
		case "empty.test":
			return noError, nil, true
		case "only6.test":
			return noError, []string{"::1"}, true
		case "later.test": // first the name does not exist, then the lookup fails, then the name exists
			switch {
			case query == 1:
				return nxDomain, nil, true
			case query == 2:
				return servFail, nil, true
			}
		case "goes.test":
			if query > 1 {
				return nxDomain, nil, true
			}
		case "breaks.test":
			if query > 1 {
				return servFail, nil, true
			}
		}
		return noError, []string{"127.0.0.1"}, true
	}}
	second := &nameServer{respond: func(name string, query int) (byte, []string, bool) {
		switch name {
		case "both-silent.test":
			return 0, nil, false
		case "both-fail.test", "later.test", "breaks.test":
			return servFail, nil, true
		}
		return noError, []string{"127.0.0.1"}, true
	}}
	first.start(t, "127.0.0.2:53")
	second.start(t, "127.0.0.3:53")
	resolver := new(Resolver)
	attempt := func() Attempt { return Attempt{Timeout: longTimeout, Resolver: resolver} }
	tcp := func(name string, port int) string { return fmt.Sprintf("tcp://%s:%d", name, port) }

	var all sync.WaitGroup
	for text, want := range map[string]string{
		tcp("plain.test", port4):         "",
		tcp("first-silent.test", port4):  "",
		"dns://first-silent.test":        "",
		tcp("first-fails.test", port4):   "",
		tcp("first-refuses.test", port4): "",
		"dns://first-refuses.test":       "",
		tcp("only6.test", port6):         "",
		"dns://only6.test":               "",
		tcp("only6.test", port4):         "connection refused",
		"dns://none.test":                "name does not resolve",
		"http://none.test/":              "name does not resolve",
		"grpc://none.test:1":             "name does not resolve",
		"dns://empty.test":               "name does not resolve",
		"dns://both-fail.test":           "cannot look up name: the name server failed",
		"https://both-fail.test":         "cannot look up name: the name server failed",
		"dns://both-silent.test":         "cannot look up name: the name server timed out",
		tcp("both-silent.test", port4):   "cannot look up name: the name server timed out",
	} {
		target := parse(t, text, ForWait)
		all.Go(func() {
			err := target.Probe.Ask(t.Context(), attempt())
			if want == "" {
				assert.NoError(t, err, text)
			} else {
				assert.EqualError(t, err, want, text)
			}
		})
	}
	all.Wait()
	assert.Positive(t, second.countLookups("first-silent.test"))

	// A lookup continues after the attempt that started it has timed out. So the lookup reaches
	// the second name server, and the target becomes ready.
	target := parse(t, "timeout=100ms within=30s "+tcp("first-silent.test", port4), ForWait)
	assert.NoError(t, Wait(t.Context(), []Target{target}, Attempt{Resolver: new(Resolver)}, nil))
	target = parse(t, "timeout=100ms within=30s dns://first-silent.test", ForWait)
	var tried []error
	assert.NoError(t, Wait(t.Context(), []Target{target}, Attempt{Resolver: new(Resolver)}, func(u Update) {
		if u.Kind == TargetTried {
			tried = append(tried, u.Status.Last)
		}
	}))
	require.NotEmpty(t, tried)
	assert.EqualError(t, tried[0], "timed out after 100ms")

	// A hundred targets use one name, which is looked up at most once a second.
	var targets []Target
	for range 50 {
		targets = append(targets, parse(t, tcp("later.test", port4), ForWait), parse(t, "interval=50ms dns://later.test", ForWait))
	}
	begun := time.Now()
	require.NoError(t, Wait(t.Context(), targets, attempt(), nil))
	lookups, seconds := first.countLookups("later.test"), int(time.Since(begun)/time.Second)
	assert.GreaterOrEqual(t, lookups, 3)
	assert.LessOrEqual(t, lookups, seconds+1)

	// If a name does not exist any more, all its targets fail. If only the name server fails, a
	// tcp:// target is still probed at its earlier address. A dns:// target fails, because it
	// checks the lookup itself.
	for text, want := range map[string]string{
		tcp("goes.test", port4):   "name does not resolve",
		"dns://goes.test":         "name does not resolve",
		tcp("breaks.test", port4): "",
		"dns://breaks.test":       "cannot look up name: the name server failed",
	} {
		resolver := &Resolver{}
		target := parse(t, text, ForWait)
		name := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(text, fmt.Sprint(":", port4)), "tcp://"), "dns://")
		first.mu.Lock()
		clear(first.queries)
		first.mu.Unlock()
		require.NoError(t, target.Probe.Ask(t.Context(), Attempt{Resolver: resolver}), text)
		resolver.mu.Lock()
		resolver.names[name].nextAt = time.Time{} // the next lookup need not wait for lookupInterval
		resolver.mu.Unlock()
		_ = resolver.resolveNow(t.Context(), name, new(chan struct{}))
		err := target.Probe.Ask(t.Context(), Attempt{Resolver: resolver})
		if want == "" {
			assert.NoError(t, err, text)
		} else {
			assert.EqualError(t, err, want, text)
		}
	}
}

// Without a name server in resolv.conf the resolver sends queries to localhost, where no name
// server listens.
func TestLookupsWithoutANameServerFail(t *testing.T) {
	if !runsInNamespace(t, "options timeout:5 attempts:1\n") {
		return
	}
	assert.EqualError(t, ask(t, "dns://db", ForWait), "cannot look up name: the name server refused the connection")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	assert.NoError(t, parse(t, "dns://localhost", ForWait).Probe.Ask(ctx, Attempt{}))
}
