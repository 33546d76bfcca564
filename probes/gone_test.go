package probes

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// assertAsk probes a target once. If want is empty, the target must be ready. Otherwise want
// is the expected error.
func assertAsk(t *testing.T, want string, text string, a Attempt) {
	t.Helper()
	err := parse(t, text, ForWait).Probe.Ask(t.Context(), a)
	if want == "" {
		assert.NoError(t, err, text)
	} else {
		assert.EqualError(t, err, want, text)
	}
}

func TestGoneIsReadyOnlyIfTheTargetIsCertainlyNotThere(t *testing.T) {
	dir := t.TempDir()
	closed, open := "127.0.0.1:"+unusedPort(t), listen(t, "tcp", "127.0.0.1:0", readUntilClosed).Addr().String()
	_, openPort, _ := net.SplitHostPort(open)
	_, closedPort, _ := net.SplitHostPort(closed)
	drops := listenWithFullBacklog(t, [4]byte{127, 0, 0, 2}).String()
	_, dropsPort, _ := net.SplitHostPort(drops)
	listen(t, "unix", dir+"/open", readUntilClosed)
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/left", Net: "unix"})
	require.NoError(t, err)
	left.SetUnlinkOnClose(false)
	left.Close()
	writeFile(t, dir+"/file", nil)
	require.NoError(t, os.Symlink("nothing", dir+"/dangling"))
	require.NoError(t, os.Symlink("loop", dir+"/loop"))
	lookup := &Resolver{LookupNetIP: func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "missing":
			return nil, errNoSuchHost
		case "empty":
			return nil, nil
		case "fails":
			return nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
		case "slow":
			return nil, &net.DNSError{Err: "i/o timeout", IsTimeout: true}
		case "mixed":
			return parseAddrs("127.0.0.1", "127.0.0.2"), nil
		case "two":
			return parseAddrs("127.0.0.1", "127.0.0.3"), nil
		}
		return parseAddrs("127.0.0.1"), nil
	}}
	_, port, _ := net.SplitHostPort(listen(t, "tcp", "127.0.0.3:0", readUntilClosed).Addr().String())
	status := serveBytes(t, func(w io.Writer) { io.WriteString(w, "HTTP/1.1 404 Not Found\r\n\r\n") })
	closes := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { conn.Close() }).Addr().String()

	for text, want := range map[string]string{
		"tcp://" + closed:                        "",
		"tcp://localhost:" + closedPort:          "",
		"tcp://" + open:                          "still accepts connections",
		"tcp://localhost:" + openPort:            "still accepts connections",
		"timeout=200ms tcp://" + drops:           "timed out after 200ms",
		"tcp://two:" + port:                      "still accepts connections", // one address of the name refuses, the other accepts
		"tcp://two:" + closedPort:                "",
		"timeout=200ms tcp://mixed:" + dropsPort: "timed out after 200ms", // one address of the name refuses, the other drops packets
		"tcp://missing:1":                        "",
		"tcp://empty:1":                          "",
		"tcp://fails:1":                          "cannot look up name: the name server failed",
		"tcp://slow:1":                           "cannot look up name: the name server timed out",
		"http://" + closed + "/x":                "",
		"https://" + closed:                      "",
		"http://missing/x":                       "",
		"http://fails/x":                         "cannot look up name: the name server failed",
		"http://" + status + "/x":                "still accepts connections", // the server responds with 404, so it is there
		"https://" + status + "/x":               "still accepts connections",
		"http://" + closes:                       "still accepts connections",
		"timeout=200ms http://" + drops:          "timed out after 200ms",
		"unix://" + dir + "/open":                "still accepts connections",
		"unix://" + dir + "/left":                "", // the socket of a server that has exited
		"unix://" + dir + "/none":                "",
		"unix://" + dir + "/none/x":              "",
		"unix://" + dir + "/loop":                "too many levels of symbolic links",
		"file://" + dir + "/file":                "still exists",
		"file://" + dir:                          "still exists",
		"file://" + dir + "/none":                "",
		"file://" + dir + "/file/x":              "",
		"file://" + dir + "/dangling":            "",
		"file://" + dir + "/loop":                "too many levels of symbolic links",
		"dns://missing":                          "",
		"dns://empty":                            "",
		"dns://db":                               "still resolves",
		"dns://localhost":                        "still resolves",
		"dns://x.localhost":                      "still resolves",
		"dns://fails":                            "cannot look up name: the name server failed",
		"dns://slow":                             "cannot look up name: the name server timed out",
	} {
		target := parse(t, "gone=true "+text, ForWait)
		timeout := longTimeout
		if target.TimeoutWritten {
			timeout = target.Timeout
		}
		assertAsk(t, want, "gone=true "+text, Attempt{Timeout: timeout, Resolver: lookup})
	}
	err = parse(t, "gone=true tcp://"+drops, ForWait).Probe.Ask(t.Context(), Attempt{Timeout: shortTimeout})
	assert.Equal(t, hintGone, Hint(err))
	assert.Equal(t, timedOut, classify(err))
	assert.Equal(t, hintPresent, Hint(parse(t, "gone=true tcp://"+open, ForWait).Probe.Ask(t.Context(), Attempt{})))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.EOF)
	for _, text := range []string{"tcp://" + drops, "dns://other"} { // not unix and file: their system call may have ended before the attempt notices that ctx has
		assert.Error(t, parse(t, "gone=true "+text, ForWait).Probe.Ask(ctx, Attempt{Resolver: &Resolver{LookupNetIP: func(ctx context.Context, _ string) ([]netip.Addr, error) {
			return parseAddrs("127.0.0.1"), nil
		}}}), text)
	}
	assertAsk(t, "", "gone=false file://"+dir, Attempt{})
}

// If the user may not search a directory, a file or socket in it does not count as gone.
func TestGoneIsNotReadyWithoutPermission(t *testing.T) {
	if os.Getuid() == 0 && !runsInChildAsNobody(t) {
		return
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("usher-gone-%d", os.Getpid()))
	require.NoError(t, os.Mkdir(dir, 0o000))
	defer os.Remove(dir)
	for _, text := range []string{"file://" + dir + "/none", "unix://" + dir + "/none"} {
		assertAsk(t, "permission denied", "gone=true "+text, Attempt{})
	}
}

// runsInChildAsNobody runs the calling test again in a new process, as the user nobody (65534).
// It returns true in the new process, and false in the old process after the new one has
// passed the test.
func runsInChildAsNobody(t *testing.T) bool {
	t.Helper()
	if !runsInChild(t, 0) {
		return false
	}
	require.NoError(t, syscall.Setgroups(nil))
	require.NoError(t, syscall.Setresgid(65534, 65534, 65534))
	require.NoError(t, syscall.Setresuid(65534, 65534, 65534))
	return true
}

func TestGoneIsRejectedWhereItHasNoMeaning(t *testing.T) {
	for text, want := range map[string]string{
		"gone=true status=404 http://a/":                     "gone=true and status= cannot be combined",
		"gone=true match=x http://a/":                        "gone=true and match= cannot be combined",
		"gone=true header='Authorization: CANARY' http://a/": "gone=true and header= cannot be combined",
		"gone=true insecure=true https://a/":                 "gone=true and insecure= cannot be combined",
		"send=CANARY gone=true tcp://a:1":                    "gone=true and send= cannot be combined",
		"expect=CANARY gone=true unix:///a":                  "gone=true and expect= cannot be combined",
		"gone=yes tcp://a:1":                                 "gone= is neither true nor false: write gone=true",
		"gone= file:///a":                                    "gone= is neither true nor false",
		"gone=true gone=true file:///a":                      "gone= is given twice",
		"gone=true redis://a":                                "gone= is for tcp, unix, http, https, file and dns, not for redis",
		"gone=true grpc://a:1":                               "not for grpc",
		"gone=true pgrep app":                                "not for command",
	} {
		_, err := Parse(text, ForWait)
		require.ErrorContains(t, err, want, text)
		assert.NotContains(t, err.Error(), "CANARY")
	}
	for _, use := range []Use{ForStart, ForEnd} {
		_, err := Parse("gone=true tcp://a:1", use)
		assert.ErrorContains(t, err, "gone= is for --wait and --ready and --probe only, not for "+use.String())
	}
	for text, name := range map[string]string{
		"gone=true tcp://a:1": "tcp://a:1 (gone)", "gone=true successes=3 timeout=1 interval=2 within=9 http://u:p@a/x?y": "http://a/x (gone)",
		"gone=true name=x file:///a": "x", "gone=false tcp://a:1": "tcp://a:1",
	} {
		assert.Equal(t, name, parse(t, text, ForWait).Name)
	}
	target, err := parserWith("tcp://db:1").Parse("gone=true env:URL", ForProbe)
	require.NoError(t, err)
	assert.Equal(t, "env:URL (gone)", target.Name)
}

// A name is gone only if no query of its lookup fails or times out. The name "half" is not
// gone: its lookup begins with half.a.test (see search in resolv.conf), for which the name
// server returns SERVFAIL. The next names, half.b.test and half, do not exist.
func TestGoneWithFailingAndSilentNameServers(t *testing.T) {
	if !runsInNamespace(t, "nameserver 127.0.0.2\nsearch a.test b.test\noptions timeout:5 attempts:1\n") {
		return
	}
	server := &nameServer{respond: func(name string, query int) (byte, []string, bool) {
		switch name {
		case "half.a.test", "failing.test":
			return servFail, nil, true
		case "silent.b.test":
			return 0, nil, false
		case "here.b.test":
			return noError, []string{"127.0.0.1"}, true
		case "stops.test":
			return map[bool]byte{true: nxDomain, false: servFail}[query > 1], nil, true
		case "unreachable.test":
			return noError, []string{"198.51.100.1"}, true
		case "breaks.test": // the first lookup succeeds, and then the name server fails
			if query > 1 {
				return servFail, nil, true
			}
			return noError, []string{"127.0.0.1"}, true
		}
		return nxDomain, nil, true
	}}
	server.start(t, "127.0.0.2:53")
	const failed, silent = "cannot look up name: the name server failed", "cannot look up name: the name server timed out"
	resolver := new(Resolver)
	for text, want := range map[string]string{
		"none": "", "none.test": "", "half": failed, "failing.test": failed, "silent": silent, "here": "still resolves",
	} {
		assertAsk(t, want, "gone=true dns://"+text, Attempt{Resolver: resolver, Timeout: longTimeout})
		if text != "here" {
			assertAsk(t, want, "gone=true tcp://"+text+":1", Attempt{Resolver: resolver, Timeout: longTimeout})
			assertAsk(t, want, "gone=true http://"+text+"/", Attempt{Resolver: resolver, Timeout: longTimeout})
		}
	}
	assert.EqualError(t, ask(t, "dns://half", ForWait), "name does not resolve", "without gone=true, the answer for the last name counts")
	assertAsk(t, "network is unreachable", "gone=true tcp://unreachable.test:1", Attempt{Resolver: resolver, Timeout: longTimeout})
	assertAsk(t, "", "gone=true tcp://here:1", Attempt{Resolver: resolver, Timeout: longTimeout})
	// The first lookup succeeds, and its address refuses the connection, so the target is gone.
	// When the name server fails later, it is unknown whether the name still has that address.
	// Then a refused connection to it does not show that the target is gone.
	assertAsk(t, "", "gone=true tcp://breaks.test:1", Attempt{Resolver: resolver, Timeout: longTimeout})
	resolver.mu.Lock()
	resolver.names[strictPrefix+"breaks.test"].nextAt = time.Time{} // allows a new lookup at once, as after lookupInterval
	resolver.mu.Unlock()
	assertAsk(t, failed, "gone=true tcp://breaks.test:1", Attempt{Resolver: resolver, Timeout: longTimeout})

	// In a container without IPv6, the address ::1 does not exist. A port of localhost is
	// then gone if 127.0.0.1 refuses connections.
	writeFile(t, "/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"))
	assertAsk(t, "", "gone=true tcp://localhost:1", Attempt{Timeout: longTimeout})
	assertAsk(t, "", "gone=true tcp://[::1]:1", Attempt{Timeout: longTimeout})

	// For stops.test the name server first returns SERVFAIL, and then NXDOMAIN, on which Wait
	// returns.
	assert.NoError(t, Wait(t.Context(), []Target{parse(t, "gone=true within=30s dns://stops.test", ForWait)}, Attempt{Resolver: new(Resolver)}, nil))
	assert.GreaterOrEqual(t, server.countLookups("stops.test"), 2)
}
