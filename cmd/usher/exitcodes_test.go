package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExitCodesOfTheApp(t *testing.T) {
	for code := range 256 {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, code, launcher{}.usher(t, "--", "sh", "-c", fmt.Sprintf("exit %d", code)).code())
		})
	}
}

func TestExitCodesOfDeathsBySignal(t *testing.T) {
	for _, sig := range []int{1, 2, 3, 6, 9, 10, 11, 13, 14, 15, 24, 31, 40, 64} {
		t.Run(fmt.Sprint(sig), func(t *testing.T) {
			t.Parallel()
			// A shell sends the signal to itself. The shell is not PID 1 and has no handler,
			// so the signal kills it.
			r := launcher{}.usher(t, "--", "sh", "-c", fmt.Sprintf("kill -%d $$; read line", sig))
			assert.Equal(t, 128+sig, r.code())
		})
	}
}

func TestExitCodesOfACommandThatDoesNotRun(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin") // if PATH had a directory that usher may not search, the error would be EACCES, with code 126 instead of 127
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	for _, c := range []struct {
		command string
		code    int
		want    string
	}{
		{"no-such-command", 127, "usher: error: cannot run no-such-command: not found"},
		{"/no/such/command", 127, "usher: error: cannot run /no/such/command: not found"},
		{write("plain", "x", 0o644), 126, "permission denied"},
		{dir, 126, "is a directory"},
		{write("orphaned", "#!/no/such/interpreter\n", 0o755), 126, "/no/such/interpreter: no such file"},
		{write("no-hash-bang", "exit 5\n", 0o755), 5, ""},
	} {
		r := launcher{}.usher(t, "--", c.command)
		assert.Equal(t, c.code, r.code(), c.command)
		log := r.stderr.rest()
		assertPrinted(t, log, c.want)
		assert.LessOrEqual(t, len(r.stderr.all), 1, "more than one line:\n%s", lastLines(log))
	}
}
