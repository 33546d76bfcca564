package main

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

// If GODEBUG is set, libraries may print through package log. Users set GODEBUG for the
// app, so usher must not print these lines. The Makefile builds usher with its own entry point
// (-E), with which the runtime ignores GODEBUG. So the test builds usher without it.
func TestLibrariesPrintNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(respondReady))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()

	out, _, code := launcher{hostPID: true, merged: true, vars: []string{"GODEBUG=http2debug=2"}}.run(t,
		buildFor(t, runtime.GOARCH, "-s -w"), "--probe", "timeout=1m grpc://"+server.Listener.Addr().String())
	assert.Equal(t, 0, code)
	assert.Empty(t, lastLines(out))
}
