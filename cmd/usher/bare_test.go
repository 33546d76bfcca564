package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests in this file run usher without things that a container may lack: files, mounts,
// capabilities, system calls, descriptors, threads, memory or a reader of usher's log.

// bare returns a launcher that makes root the root directory of its process. bareRoot makes
// such a directory. mounts says what to mount: "proc" and "dev" mount a file system below
// root, "readonly" makes root itself read-only. inherit holds further options of "puppet
// launch", the program that starts the process (see launcher).
func bare(root string, mounts []string, inherit ...string) launcher {
	options := []string{"bind=" + root}
	for _, mount := range mounts {
		options = append(options, mount+"="+filepath.Join(root, mountPoints[mount]))
	}
	options = append(options, "chroot="+root)
	return launcher{mounts: true, inherit: append(options, inherit...), env: []string{"PATH=/bin:/usr/bin"}}
}

// mountPoints maps the names in bare's parameter mounts to mount points relative to root.
var mountPoints = map[string]string{"proc": "proc", "dev": "dev", "readonly": ""}

// bareRoot makes the root directory for bare: usher, a static busybox, and links for
// some of its commands.
func bareRoot(t *testing.T) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		skip(t, "no busybox on this machine (Debian: busybox-static)")
	}
	root := t.TempDir()
	require.NoError(t, os.Chmod(root, 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(root, "bin"), 0o755))
	for to, from := range map[string]string{"usher": binary(t), "bin/busybox": busybox} {
		data, err := os.ReadFile(from)
		require.NoError(t, err)
		writeProgram(t, filepath.Join(root, to), string(data))
	}
	for _, name := range []string{"sh", "true", "cat", "sleep", "setsid", "kill", "yes", "seq", "ps"} {
		require.NoError(t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
	}
	return root
}

// orphan is a shell command that makes an orphan: a process that kills its own parent,
// and exits once the parent is gone. It does not use "&", because with "&" the shell opens
// /dev/null as the child's stdin, and the container may have no /dev.
const orphan = `(sh -c "kill -PIPE \$PPID; while kill -0 \$PPID 2>&-; do :; done"; :); `

// Probes and hooks of every phase work although the container lacks files, rights or system
// calls.
func TestUsherInABareContainer(t *testing.T) {
	needRoot(t)
	forbid := func(errno syscall.Errno) string { return fmt.Sprintf("forbid=%d", errno) }
	for name, c := range map[string]struct{ mounts, inherit []string }{
		"no /proc, /dev, /tmp, /etc":            {},
		"with /proc and /dev":                   {[]string{"proc", "dev"}, nil},
		"a read-only root":                      {[]string{"readonly"}, nil},
		"uid 65534, no capability":              {nil, []string{"user=65534", "nonewprivs=1"}},
		"seccomp: EPERM":                        {nil, []string{forbid(syscall.EPERM)}},
		"seccomp: ENOSYS, as an old kernel has": {nil, []string{forbid(syscall.ENOSYS)}},
		"SIGCHLD ignored":                       {nil, []string{"ignore=17"}},
		"all of these":                          {[]string{"readonly"}, []string{"user=65534", "ignore=17", forbid(syscall.EPERM)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := bare(bareRoot(t), c.mounts, c.inherit...).start(t, "/usher", "--verbose", "--grace", "20s", "--health", freeAddress(t),
				"--wait", "file:///usher", "--wait", "name=asked sh -c '"+orphan+"exit 0'",
				"--wait", "name=nowhere optional=0.05s interval=0.01s tcp://127.0.0.1:1",
				"--pre-start", "name=begin sh -c 'echo before; "+orphan+"exit 0'",
				"--ready", "file:///bin/sh", "--post-start", "name=after sh -c 'echo comes up'",
				"--drain", "name=bad sh -c 'echo $USHER_SIGNAL; exit 4'", "--drain", "name=url http://127.0.0.1:1/",
				"--post-stop", "name=last sh -c 'echo code $USHER_EXIT_CODE'",
				"--", "sh", "-c", orphan+orphan+`
					(setsid sh -c 'kill -PIPE $PPID; trap "echo flushed; exit" TERM; echo child; while read line; do :; done'; :)
					trap "echo USR1" USR1; trap "exit 7" TERM; echo ready
					while :; do read line; done`)
			r.stdout.expectAll("child", "ready")
			r.stderr.expect("post-start: hook after finished")
			r.signal(syscall.SIGUSR1)
			r.stdout.expect("USR1")
			r.signal(syscall.SIGTERM)
			assert.Equal(t, 7, r.code())
			assertPrinted(t, r.stdout.rest(), "flushed") // a leftover prints this after SIGTERM, so usher gave it time to exit
			log := r.stderr.rest()
			assertPrinted(t, r.stderr.all[0], "listening for health checks on ")
			for _, fact := range []string{"pre-start begin| before\n", "post-start after| comes up\n",
				"drain bad| SIGTERM\n", "drain: hook bad failed after", "exit status 4", "drain: hook url failed after", "connection refused",
				"leftovers: sent SIGTERM to ", "post-stop last| code 7\n", "app exited 7 after", "warning: wait: optional nowhere not ready after "} {
				assertPrinted(t, log, fact)
			}
			assert.GreaterOrEqual(t, strings.Count(log, ": reaped orphan "), 4, lastLines(log))
			for _, line := range r.stderr.all {
				assert.True(t, strings.HasPrefix(line, "usher: "), "a line without usher's name: %s", line)
			}
		})
	}
}

// In a bare container usher exits with the usual codes. If a command or a host is missing,
// the error names it.
func TestErrorsInABareContainer(t *testing.T) {
	needRoot(t)
	root := bareRoot(t)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--", "no-such-command"}, 127, "cannot run no-such-command: not found"},
		{[]string{"--pre-start", "no-such-command", "--", "true"}, 125, "cannot run no-such-command: not found"},
		{[]string{"--wait-timeout", "0.2s", "--wait", "http://no-such-host.invalid/", "--", "true"}, 124, "error: wait: http://no-such-host.invalid/ is not ready after "},
		{[]string{"--version"}, 0, ""},
		{[]string{"--wait", "file:///bin"}, 0, ""},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			argv := append([]string{"/usher"}, c.args...)
			r := bare(root, []string{"readonly"}, "user=65534", fmt.Sprintf("forbid=%d", syscall.EPERM)).start(t, argv...)
			assert.Equal(t, c.code, r.code())
			log := r.stderr.rest()
			assertPrinted(t, log, c.want)
			assertNotPrinted(t, log, "goroutine")
		})
	}
}

// Usher waits for many targets and copies much output in a container with 16 MiB of memory
// and a limit of ten processes and threads. With file targets the limit is twelve, because
// usher needs two more threads for them (probes.MaxFileThreads).
func TestDockerTightLimits(t *testing.T) {
	needDocker(t)
	t.Parallel()
	image := usherImage(t, busyboxImage(t), `ENTRYPOINT ["/usher"]`)
	t.Run("without file targets", func(t *testing.T) { testTightLimits(t, image, "10", false) })
	t.Run("with file targets", func(t *testing.T) { testTightLimits(t, image, "12", true) })
}

func testTightLimits(t *testing.T, image, limit string, files bool) {
	t.Parallel()
	const printed = 300_000
	words := []string{"--read-only", "--user", "65534:65534", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--pids-limit", limit, "--memory", "16m", "--memory-swap", "16m", image, "--grace", "60s", "--quiet"}
	for i := range 200 {
		words = append(words, "--wait", fmt.Sprintf("optional=0.5s tcp://127.0.0.1:%d", i+1))
		if files {
			words = append(words, "--wait", "file:///usher")
		}
	}
	app := startContainer(t, append(words, "--pre-start", fmt.Sprint("name=loud seq ", printed), "--drain", "http://127.0.0.1:1/", "--drain", "name=begin echo drained",
		"--post-stop", "name=last echo last", "--", "sh", "-c", "echo up; exec sleep 100000")...)
	app.stdout().expect("up")
	// If Docker reads the log slowly, usher drops lines, and before its exit it waits only
	// briefly for Docker to read the remaining ones. So the test stops the container only
	// when each line of the pre-start hook is in the log or counted in a warning about
	// dropped lines.
	log, dropped := app.all(), regexp.MustCompile(`usher: warning: (\d+) lines? dropped`)
	for seen := 0; seen < printed; {
		line, ok := log.next()
		require.True(t, ok, "the log ended after %d lines", seen)
		if strings.Contains(line, "usher: pre-start loud| ") {
			seen++
		} else if m := dropped.FindStringSubmatch(line); m != nil {
			n, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			seen += n
		}
	}
	app.stop("--time", "60")
	assert.Equal(t, 143, app.exitCode())
	_, stderr := app.logs()
	assertPrinted(t, stderr, "usher: drain begin| drained\n")
	assertPrinted(t, stderr, "usher: post-stop last| last\n")
	killed := app.run(t, nil, "inspect", "--format", "{{.State.OOMKilled}}", app.id)
	assert.Equal(t, "false\n", killed)
}

// exitWithOpen is a shell command. Its exit code is 64, plus 1 if descriptor 0 is open, plus
// 2 for descriptor 1, plus 4 for descriptor 2. The command tries to duplicate each
// descriptor, because that needs no /dev.
const exitWithOpen = `n=64; true 9<&0 && n=$((n+1)); true 9<&1 && n=$((n+2)); true 9<&2 && n=$((n+4)); exit $n`

func TestClosedDescriptorsStayClosed(t *testing.T) {
	needRoot(t)
	root := bareRoot(t)
	withDev := bareRoot(t)
	for open := range 8 {
		var closed []string
		for fd := range 3 {
			if open&(1<<fd) == 0 {
				closed = append(closed, fmt.Sprint(fd))
			}
		}
		numbers := strings.Join(closed, ",")
		for name, l := range map[string]launcher{
			"no /dev":   bare(root, nil, "close="+numbers),
			"with /dev": bare(withDev, []string{"proc", "dev"}, "close="+numbers),
		} {
			t.Run(fmt.Sprintf("closed %s, %s", numbers, name), func(t *testing.T) {
				t.Parallel()
				require.Equal(t, 64+open, l.start(t, "/bin/busybox", "sh", "-c", exitWithOpen).code(), "the app without usher")
				assert.Equal(t, 64+open, l.start(t, "/usher", "--", "sh", "-c", exitWithOpen).code())

				// For hooks usher opens pipes and /dev/null, which may get the numbers of
				// the closed descriptors. The app must not inherit these files.
				mark := fmt.Sprintf("/mark%d", open)
				assert.Equal(t, 64+open, l.start(t, "/usher", "--verbose", "--grace", "20s",
					"--wait", "sh -c 'true'", "--pre-start", "sh -c 'echo begin'",
					"--post-stop", "sh -c 'seq 1000; read line || echo $USHER_EXIT_CODE >"+mark+"'",
					"--", "sh", "-c", exitWithOpen).code(), "with hooks")
				dir := map[string]string{"no /dev": root, "with /dev": withDev}[name]
				got, err := os.ReadFile(dir + mark)
				require.NoError(t, err)
				assert.Equal(t, fmt.Sprintln(64+open), string(got), "USHER_EXIT_CODE of the post-stop hook")
			})
		}
	}
}

// Usher exits with the usual codes if stderr is a pipe that is full from the beginning, or
// a pipe whose reading end is closed.
func TestUnwritableStderr(t *testing.T) {
	for name, stderr := range map[string]func(*testing.T) *os.File{"full": fullPipe, "broken": broken} {
		for _, log := range []string{"text", "json"} {
			t.Run(name+" "+log, func(t *testing.T) {
				t.Parallel()
				for _, c := range []struct {
					code int
					stop bool
					args []string
				}{
					{0, false, []string{"--", "true"}},
					{127, false, []string{"--", "/no/such/command"}},
					{125, false, []string{"--no-such-flag"}},
					{124, false, []string{"--wait-timeout", "0.1s", "--wait", "tcp://127.0.0.1:1", "--", "true"}},
					{9, true, []string{"--grace", "20s", "--drain", "seq 100000", "--post-stop", "echo bye", "--",
						"sh", "-c", exitOnTERM(9)}},
				} {
					r := launcher{stderr: stderr(t)}.start(t, append([]string{binary(t), "--verbose", "--log", log}, c.args...)...)
					if c.stop {
						r.stdout.expect("ready")
						r.signal(syscall.SIGTERM)
					}
					assert.Equal(t, c.code, r.code(), c.args)
				}
			})
		}
	}
}

// broken returns the writing end of a pipe whose reading end is closed.
func broken(t *testing.T) *os.File {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}
