package probes

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startLineServer starts a server that sends a greeting and then reads lines. It answers PING
// with +PONG in two writes, closes the connection for QUIT, answers FLOOD with 24,000 bytes, and
// for REPORT sends the line to the channel reported. startLineServer returns its address.
func startLineServer(t *testing.T, network, address string, reported chan<- string) string {
	t.Helper()
	return listen(t, network, address, func(conn net.Conn) {
		defer conn.Close()
		io.WriteString(conn, "220 ready\r\n")
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			switch lines.Text() {
			case "PING":
				io.WriteString(conn, "+PO")
				io.WriteString(conn, "NG\r\n")
			case "QUIT":
				return
			case "FLOOD":
				io.WriteString(conn, strings.Repeat("CANARY", 4000))
			case "REPORT":
				reported <- lines.Text()
			}
		}
	}).Addr().String()
}

func TestSendAndExpectOverTCPAndUnix(t *testing.T) {
	reported := make(chan string, 1)
	path := filepath.Join(t.TempDir(), "s")
	startLineServer(t, "unix", path, reported)
	for _, url := range []string{"tcp://" + startLineServer(t, "tcp", "127.0.0.1:0", reported), "unix://" + path} {
		for _, test := range []struct {
			options string
			limit   time.Duration
			want    string
		}{
			{`expect='^220 '`, time.Minute, ""},
			{`send='PING\r\n' expect='\+PONG\r\n$'`, time.Minute, ""},
			{`send='PI\x4e\u0047\012' expect=PONG`, time.Minute, ""},
			{`send='QUIT\n' expect=PONG`, time.Minute, "the connection was closed, and what was received does not match expect="},
			{`send='FLOOD\n' expect=PONG`, time.Minute, "the first 10 KiB do not match expect="},
			{`expect=PONG`, shortTimeout, "timed out after 200ms"},
			{`send='PING\r\n' expect=NEVER`, shortTimeout, "timed out after 200ms"},
		} {
			err := parse(t, test.options+" "+url, ForWait).Probe.Ask(t.Context(), Attempt{Timeout: test.limit})
			if test.want == "" {
				assert.NoError(t, err, test.options)
			} else {
				assert.EqualError(t, err, test.want, test.options)
			}
		}
		// Without expect= a hook closes the connection after it has written send=, and does not
		// wait for a response. The server must receive the data nevertheless.
		require.NoError(t, RunHook(t.Context(), parse(t, `send='REPORT\n' `+url, ForEnd), Attempt{}))
		assert.Equal(t, "REPORT", <-reported)
	}
	closing := listen(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { conn.Close() })
	assert.EqualError(t, ask(t, "expect=x tcp://"+closing.Addr().String(), ForWait), "the connection was closed before anything was received")
}

func TestSendHasTheEscapesOfGo(t *testing.T) {
	for text, want := range map[string]string{
		``:                             ``,
		`plain "quotes' ünd`:           `plain "quotes' ünd`,
		"raw\n\xff":                    "raw\n\xff",
		`\r\n\t\a\\\"\'`:               "\r\n\t\a\\\"'",
		`\x00\xff\377\u00fc\U0001F600`: "\x00\xff\xffü😀",
	} {
		got, ok := unescapeGo(text)
		assert.True(t, ok, text)
		assert.Equal(t, want, string(got))
	}
	for _, text := range []string{`\`, `\q`, `\x1`, `\400`, `\ud800`, `a\`} {
		_, ok := unescapeGo(text)
		assert.False(t, ok, text)
	}
}
