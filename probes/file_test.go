package probes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFileIsReadyWhenItExists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b")
	text := "file://" + strings.ReplaceAll(path, " ", "%20")
	err := ask(t, text, ForWait)
	assert.EqualError(t, err, "no such file")
	assert.True(t, classify(err).isCheap())
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	assert.NoError(t, ask(t, text, ForWait))
	assert.EqualError(t, ask(t, text+"/x", ForWait), "no such file")
	assert.NoError(t, ask(t, "file://"+filepath.Dir(path), ForWait), "a directory is ready too")
}
