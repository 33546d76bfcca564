package probes

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUnixIsReadyWhenTheSocketAccepts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	assert.EqualError(t, ask(t, "unix://"+path, ForWait), "no such socket")
	l := listen(t, "unix", path, readUntilClosed)
	assert.NoError(t, ask(t, "unix://"+path, ForWait))
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	err := ask(t, "unix://"+path, ForWait)
	assert.EqualError(t, err, "connection refused")
	assert.True(t, classify(err).isCheap())
}
