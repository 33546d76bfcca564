package supervisor

import (
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two processes read the output of a third one from the same pipe. Both are filters.
func TestAllReadersOfAPipeAreFilters(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	start := func(stdin io.Reader, stdout io.Writer) proc {
		cmd := exec.Command("sleep", "100000")
		cmd.Stdin, cmd.Stdout = stdin, stdout
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return proc{procID: procID{pid: cmd.Process.Pid}, own: true}
	}
	var filters []bool
	for _, p := range markFilters(t.Context(), []proc{start(r, nil), start(nil, w), start(r, nil)}) {
		filters = append(filters, p.filter)
	}
	assert.Equal(t, []bool{true, false, true}, filters)
}
