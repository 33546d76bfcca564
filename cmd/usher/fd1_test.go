package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// /proc/1/fd/1 and /proc/1/fd/2 are the container's stdout and stderr, and /proc/1/fd/0 is
// its stdin, as if the app were PID 1.
func TestDescriptorsOfPID1AreTheContainers(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for name, user := range map[string][]string{"root": nil, "uid 1000": {"setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, d := range []string{dir, filepath.Dir(dir)} { // so that the other user can search the directories of the log
				require.NoError(t, os.Chmod(d, 0o755))
			}
			log := filepath.Join(dir, "app.log") // in some images the app's log file is a link to /proc/1/fd/1
			require.NoError(t, os.Symlink("/proc/1/fd/1", log))
			script := `echo ready; read line; echo to the log >` + log + `; echo to stderr >/proc/1/fd/2; read more </proc/1/fd/0; echo "read $more"`
			argv := []string{binary(t), "--", "sh", "-c", script}
			if user != nil {
				// open(2) of /proc/1/fd/1 opens the pipe again, and checks the pipe's mode. So
				// chown makes the user the owner of the pipes.
				argv = append(append([]string{"sh", "-c", `chown 1000 /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; exec "$@"`, "sh"}, user...), argv...)
			}
			r := launcher{proc: true}.start(t, argv...)
			r.stdout.expect("ready")
			r.write("one\ntwo\n")
			assert.Equal(t, 0, r.code())
			assert.Equal(t, "ready\nto the log\nread two", r.stdout.rest())
			assert.Equal(t, "to stderr", r.stderr.rest())
		})
	}
}

// If the container has a terminal, /proc/1/fd/0 is the terminal.
func TestConsoleOfPID1(t *testing.T) {
	t.Parallel()
	ptm, pts := openPTY(t)
	screen := readLines(t, ptm)
	r := launcher{proc: true, tty: pts}.start(t, binary(t), "--", "sh", "-c", `read line; echo to the console >/proc/1/fd/0; readlink /proc/1/fd/0`)
	typed(t, ptm, "go\n")
	screen.expect("to the console")
	screen.expect(filepath.Base(pts.Name()))
	assert.Equal(t, 0, r.code())
}

// docker logs shows the lines that a process started by docker exec writes to /proc/1/fd/1
// or /proc/1/fd/2, as Kubernetes' preStop hooks and cron jobs often do. docker logs also
// shows the lines that the app writes to a log file that is a symbolic link to /proc/1/fd/1,
// as in some images.
func TestDockerLogsOfWritesToPID1(t *testing.T) {
	needDocker(t)
	t.Parallel()
	image := usherImage(t, busyboxImage(t), `ENTRYPOINT ["/usher", "--"]`)
	for _, options := range [][]string{{"--user=0"}, {"--user=1000"}, {"--tty"}} {
		t.Run(options[0], func(t *testing.T) {
			t.Parallel()
			app := startContainer(t, append(options, "--tmpfs=/logs:mode=1777", image, "sh", "-c",
				"ln -s /proc/1/fd/1 /logs/app.log; echo from the app >/logs/app.log; exec sleep 100000")...)
			app.stdout().expect("from the app")
			app.exec("sh", "-c", "echo to stdout >/proc/1/fd/1; echo to stderr >/proc/1/fd/2")
			app.stop()
			stdout, stderr := app.logs()
			assertPrinted(t, stdout, "to stdout")
			assertPrinted(t, stdout+stderr, "to stderr")
		})
	}
}

// If the container has a terminal, /proc/1/fd/0 is that terminal, so docker logs shows the
// lines that are written to it.
func TestDockerConsoleOfPID1(t *testing.T) {
	needDocker(t)
	t.Parallel()
	app := startContainer(t, "--tty", "--interactive", usherImage(t, busyboxImage(t), `ENTRYPOINT ["/usher", "--"]`),
		"sh", "-c", "echo up; exec sleep 100000")
	app.stdout().expect("up")
	app.exec("sh", "-c", "echo to the console >/proc/1/fd/0")
	app.stop()
	stdout, _ := app.logs()
	assertPrinted(t, stdout, "to the console")
}
