package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Libraries may print through package log, depending on GODEBUG, which is meant for the
// app. The test uses a binary without the entry point of package signals, because that
// would hide GODEBUG from the runtime.
func TestLibrariesPrintNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(respondReady))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()

	var stdout, stderr strings.Builder
	cmd := exec.Command(buildFor(t, runtime.GOARCH, "-s -w"), "--probe", "grpc://"+server.Listener.Addr().String())
	cmd.Env = append(os.Environ(), "GODEBUG=http2debug=2")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Run(), "%s", &stderr)
	assert.Empty(t, stdout.String())
	assert.Empty(t, stderr.String())
}
