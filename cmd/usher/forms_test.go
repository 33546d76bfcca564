package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

// runProbe runs "usher --probe …" and returns its exit status and its log.
func runProbe(t *testing.T, env []string, targets ...string) (int, string) {
	t.Helper()
	argv := []string{binary(t)}
	for _, target := range targets {
		argv = append(argv, "--probe", target)
	}
	stdout, stderr, code := launcher{hostPID: true, vars: env}.run(t, argv...)
	assert.Empty(t, stdout)
	return code, stderr
}

func TestProbeProbesEachTargetOnce(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.WriteHeader(map[string]int{"/ready": 200, "/not": 503}[r.URL.Path])
	}))
	defer server.Close()

	code, log := runProbe(t, []string{"USHER_WAIT=nonsense://", "USHER_PROBE=false"}, "timeout=60s "+server.URL+"/ready", "timeout=60s true")
	assert.Equal(t, 0, code)
	assert.Empty(t, log)
	assert.EqualValues(t, 1, requests.Load())

	code, log = runProbe(t, nil, "timeout=60s "+server.URL+"/ready", "timeout=60s name=api "+server.URL+"/not?token=hunter2", "timeout=60s sh -c 'echo noise; exit 3'")
	assert.Equal(t, 1, code)
	assert.Equal(t, "usher: error: probe: api: status 503\nusher: error: probe: sh: exit status 3\n", log)
	assert.EqualValues(t, 3, requests.Load())
}

// Both probes hang: one waits for a response, the other for a shell whose child sleeps.
func TestProbeTimesOutAfterASecond(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections, and no process responds
	require.NoError(t, err)
	defer listener.Close()
	code, log := runProbe(t, nil, "http://"+listener.Addr().String(), "sh -c 'sleep 1000; true'")
	assert.Equal(t, 1, code)
	assert.Equal(t, fmt.Sprintf("usher: error: probe: http://%s: timed out after 1s\nusher: error: probe: sh: timed out after 1s\n", listener.Addr()), log)
}

func TestProbeIsStoppedBySIGTERM(t *testing.T) {
	r := launcher{}.usher(t, "--verbose", "--probe", "timeout=0 sh -c 'echo begun; exec sleep 1000'")
	r.stderr.expect("begun")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 143, r.code())
}

// Processes that a probe's command leaves running are killed. Otherwise they would
// accumulate, because a HEALTHCHECK may run every few seconds for months.
func TestProbeLeavesNoProcessRunning(t *testing.T) {
	t.Parallel()
	own := hold(t)
	r := launcher{hostPID: true}.usher(t, "--probe", `timeout=10s sh -c '(trap "" TERM; exec sleep 100000) >`+own.path+` & wait'`)
	eventually(t, own.isHeld, func() string { return "the command has started no process" })
	assert.Equal(t, 1, r.code())
	eventually(t, func() bool { return !own.isHeld() }, func() string { return "a process is still running" })
}

// ---- the termination log

func TestTerminationLogContainsTheErrorsOfUsher(t *testing.T) {
	t.Parallel()
	const ignoresTERM = `trap "" TERM; echo ready; while :; do sleep 0.1; done`
	long := "name=" + strings.Repeat("é", 3000)
	for name, c := range map[string]struct {
		args []string
		stop bool // the test sends SIGTERM once the app has printed "ready"
		want []string
	}{
		"a wait that times out":              {[]string{"--wait-timeout", "0.1", "--wait", "name=db tcp://127.0.0.1:1", "app"}, false, []string{"wait: timed out after 100ms, 1 target pending\nwait: db is not ready after "}},
		"a --ready target that times out":    {[]string{"--grace", "5", "--ready", "within=0.1s name=self tcp://127.0.0.1:1", "sleep", "1000"}, false, []string{"ready: self was not ready within 100ms, 1 target pending\n", "ready: self is not ready after "}},
		"a pre-start hook that fails":        {[]string{"--pre-start", "name=migrate false", "app"}, false, []string{"pre-start: hook migrate failed: exit status 1\n"}},
		"a post-start hook that fails":       {[]string{"--grace", "5", "--post-start", "name=register false", "sleep", "1000"}, false, []string{"post-start: hook register failed: exit status 1\n"}},
		"a command that is not found":        {[]string{"no-such-command"}, false, []string{"cannot run no-such-command: not found\n"}},
		"a wrong flag":                       {[]string{"--grace", "x", "app"}, false, []string{"--grace: ", "nothing was started"}},
		"SIGKILL at the deadline":            {[]string{"--grace", "1s", "sh", "-c", ignoresTERM}, true, []string{"stop: sh did not exit within "}},
		"a text that is too long is cut":     {[]string{"--pre-start", long + " false", "app"}, false, []string{"éé…\n"}},
		"nothing if the app exits by itself": {[]string{"--grace", "5", "sh", "-c", "exit 3"}, false, nil},
		"nothing after a stop signal":        {[]string{"--grace", "5", "sh", "-c", "echo ready; exec sleep 1000"}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "log")
			require.NoError(t, os.WriteFile(file, nil, 0o644))
			r := launcher{}.usher(t, append([]string{"--quiet", "--termination-log", file}, c.args...)...)
			if c.stop {
				r.stdout.expect("ready")
				r.signal(syscall.SIGTERM)
			}
			r.code()
			got, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, text := range c.want {
				assert.Contains(t, string(got), text)
			}
			if c.want == nil {
				assert.Empty(t, string(got))
			}
			assert.LessOrEqual(t, len(got), 4096)
		})
	}
}

// usher does not overwrite a message of the app in the termination log, and does not create
// the termination log.
func TestTerminationLogIsWrittenOnlyIfItExistsAndIsEmpty(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "log")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	r := launcher{}.usher(t, "--termination-log", file, "--grace", "1s", "sh", "-c", `trap "" TERM; echo out of disk >`+file+`; echo ready; while :; do sleep 0.1; done`)
	r.stdout.expect("ready")
	r.signal(syscall.SIGTERM)
	assert.Equal(t, 137, r.code())
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "out of disk\n", string(got))

	// --probe and --install do not write the termination log, because they may run in the
	// container of another usher, which writes it.
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, args := range [][]string{{"--probe", "bogus:1"}, {"--probe", "tcp://127.0.0.1:1"}, {"--install="}} {
		launcher{hostPID: true}.run(t, slices.Concat([]string{binary(t)}, args, []string{"--termination-log", file})...)
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Empty(t, string(got), "%q", args)
	}
	_, err = parseOptions([]string{"--termination-log", "log", "app"}, nil)
	assert.ErrorContains(t, err, "--termination-log: needs an absolute path")

	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o644))
	for _, file := range []string{filepath.Join(dir, "missing"), dir, fifo, "/proc/version", "/dev/full"} {
		r := launcher{}.usher(t, "--termination-log", file, "no-such-command")
		assert.Equal(t, 127, r.code(), file)
		assert.Equal(t, "usher: error: cannot run no-such-command: not found", r.stderr.rest(), "there must be no error about %s", file)
	}
	assert.NoFileExists(t, filepath.Join(dir, "missing"))
}

// ---- --install

// runInstall runs "usher --install path". If wrapper is given, it is a command that gets
// "usher --install path" as further arguments and executes it.
func runInstall(t *testing.T, path string, wrapper ...string) (int, string) {
	t.Helper()
	out, _, code := launcher{hostPID: true, merged: true}.run(t, append(wrapper, binary(t), "--install", path)...)
	return code, out
}

func TestInstallCopiesItself(t *testing.T) {
	dir := t.TempDir()
	want, err := os.ReadFile(binary(t))
	require.NoError(t, err)
	for path, file := range map[string]string{dir: dir + "/usher", dir + "/": dir + "/usher", dir + "/init": dir + "/init"} {
		require.NoError(t, os.WriteFile(file, []byte("an older one"), 0o444))
		code, log := runInstall(t, path, "sh", "-c", `umask 077; exec "$@"`, "sh")
		assert.Equal(t, 0, code, log)
		assert.Equal(t, "usher: installed "+file+"\n", log)
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.True(t, string(want) == string(got), "the copy differs")
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o755), info.Mode())
	}
	assert.ElementsMatch(t, []string{"usher", "init"}, names(t, dir))
	assert.Equal(t, "works\n", outputOf(t, dir+"/init", "--", "echo", "works"))
}

// names lists the names of the files in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// Several init containers may install at the same time. At any moment the file is
// missing, or complete and executable.
func TestInstallIsAtomic(t *testing.T) {
	dir := t.TempDir()
	info, err := os.Stat(binary(t))
	require.NoError(t, err)
	var installing sync.WaitGroup
	var runs atomic.Int32 // of the installed file
	begun := time.Now()
	for range 4 {
		installing.Go(func() {
			for n := 0; n < 10 || runs.Load() <= 10 && !t.Failed() && time.Since(begun) < patience; n++ {
				code, log := runInstall(t, dir)
				assert.Equal(t, 0, code, log)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		installing.Wait()
		close(done)
	}()
	for {
		if seen, err := os.Stat(dir + "/usher"); err == nil {
			runs.Add(1)
			out, _, code := launcher{hostPID: true, merged: true}.run(t, dir+"/usher", "--version")
			if !assert.Equal(t, 0, code, lastLines(out)) || !assert.Equal(t, info.Size(), seen.Size()) {
				<-done
				return
			}
		}
		select {
		case <-done:
			assert.Equal(t, []string{"usher"}, names(t, dir))
			assert.Greater(t, runs.Load(), int32(10))
			return
		default:
		}
	}
}

// --install replaces a regular file. It does not change a file of any other type.
func TestInstallReplacesRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/file", []byte("kept"), 0o644))
	require.NoError(t, os.Mkdir(dir+"/dir", 0o755))
	require.NoError(t, os.MkdirAll(dir+"/taken/usher", 0o755))
	require.NoError(t, syscall.Mkfifo(dir+"/fifo", 0o600))
	l, err := net.Listen("unix", dir+"/socket")
	require.NoError(t, err)
	defer l.Close()
	for link, to := range map[string]string{"link": "file", "dangling": "missing", "tofifo": "fifo", "todir": "dir"} {
		require.NoError(t, os.Symlink(to, dir+"/"+link))
	}
	before := names(t, dir)
	for path, want := range map[string]string{
		dir + "/taken":    "cannot write " + dir + "/taken/usher: it is a directory, and only a regular file is replaced",
		dir + "/fifo":     "cannot write " + dir + "/fifo: it is a named pipe, and only a regular file is replaced",
		dir + "/socket":   "cannot write " + dir + "/socket: it is a socket, and only a regular file is replaced",
		dir + "/link":     "cannot write " + dir + "/link: it is a symbolic link: write the path of the file itself, or remove the link",
		dir + "/dangling": "cannot write " + dir + "/dangling: it is a symbolic link: ",
		dir + "/tofifo":   "cannot write " + dir + "/tofifo: it is a symbolic link: ",
	} {
		code, log := runInstall(t, path)
		assert.Equal(t, 125, code)
		assert.True(t, strings.HasPrefix(log, "usher: error: install: "+want), log)
	}
	// The device is on a tmpfs in a new mount namespace, so a bug cannot damage the devices
	// of the machine.
	if os.Geteuid() == 0 {
		out, _, code := launcher{hostPID: true, mounts: true, merged: true}.run(t, "sh", "-c",
			`mount -t tmpfs tmpfs "$0" && cd "$0" && mknod null c 1 3 && $usher --install "$0/null"; code=$?; test -c null && exit $code`, dir+"/dir")
		assert.Equal(t, 125, code)
		assert.Equal(t, "usher: error: install: cannot write "+dir+"/dir/null: it is a device, and only a regular file is replaced\n", out)
	}
	code, log := runInstall(t, dir+"/todir")
	assert.Equal(t, 0, code, log)
	assert.Equal(t, "usher: installed "+dir+"/todir/usher\n", log)
	assert.FileExists(t, dir+"/dir/usher")

	assert.ElementsMatch(t, before, names(t, dir))
	kept, err := os.ReadFile(dir + "/file")
	require.NoError(t, err)
	assert.Equal(t, "kept", string(kept))
}

// SIGTERM, SIGINT and SIGHUP end --install even if a system call on the file system does not
// return. usher removes the temporary file.
func TestInstallIsStoppedByASignal(t *testing.T) {
	needRoot(t)
	whole, err := os.Stat(binary(t))
	require.NoError(t, err)
	for name, call := range map[string]uint32{"copying": unix.SYS_COPY_FILE_RANGE, "syncing": unix.SYS_FSYNC} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
			t.Run(fmt.Sprint(name, " ", sig), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				r := launcher{inherit: []string{fmt.Sprint("hang=", call)}}.start(t, binary(t), "--install", dir)
				eventually(t, func() bool {
					files := names(t, dir)
					if len(files) == 0 {
						return false
					}
					info, err := os.Stat(filepath.Join(dir, files[0]))
					return err == nil && (call != unix.SYS_FSYNC || info.Size() == whole.Size())
				}, func() string { return "the temporary file has not been created or is incomplete" })
				r.signal(sig)
				assert.Equal(t, 128+int(sig), r.code())
				assert.Equal(t, "usher: error: install: stopped by "+signals.Name(sig), r.stderr.rest())
				assert.Empty(t, names(t, dir))
			})
		}
	}
}

func TestInstallRemovesTheTemporaryFileWhenItsContextEnds(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancelCause(t.Context())
	stop(supervisor.StopError{Signal: syscall.SIGTERM})
	i := installer{path: dir}
	assert.Equal(t, supervisor.StopError{Signal: syscall.SIGTERM}, i.run(ctx))
	require.NotNil(t, i.temp.Load(), "no temporary file was created")
	assert.Empty(t, names(t, dir))
}

func TestInstallReportsTheReasonOfAFailure(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(dir+"/dir", 0o755))
	require.NoError(t, os.MkdirAll(dir+"/taken/usher/full", 0o755))
	require.NoError(t, os.WriteFile(dir+"/file", nil, 0o644))
	for path, want := range map[string]string{
		dir + "/missing/usher": "cannot write in " + dir + "/missing: no such file or directory",
		dir + "/file/usher":    "cannot write in " + dir + "/file: not a directory",
		dir + "/taken":         "cannot write " + dir + "/taken/usher: ",
	} {
		code, log := runInstall(t, path)
		assert.Equal(t, 125, code)
		assert.True(t, strings.HasPrefix(log, "usher: error: install: "+want), log)
	}
	assert.Equal(t, []string{"usher"}, names(t, dir+"/taken"))

	needRoot(t)
	// mounted runs script and then "usher --install" in a new mount namespace. script
	// mounts file systems.
	mounted := func(script string) (int, string) {
		out, _, code := launcher{hostPID: true, mounts: true, merged: true}.run(t, "sh", "-c",
			script+`; cd "$0"; $usher --install "$1"; code=$?; ls -A "$1"; exit $code`, filepath.Dir(binary(t)), dir+"/dir")
		return code, out
	}
	code, log := mounted("mount -t tmpfs -o size=1m tmpfs " + dir + "/dir")
	assert.Equal(t, 125, code)
	assert.Equal(t, "usher: error: install: cannot write "+dir+"/dir/usher: no space left on device\n", log)

	code, log = mounted("mount -t tmpfs -o ro tmpfs " + dir + "/dir")
	assert.Equal(t, 125, code)
	assert.Equal(t, "usher: error: install: cannot write in "+dir+"/dir: read-only file system\n", log)

	code, log = mounted("mount -t tmpfs tmpfs " + dir + "/dir; mount -t tmpfs tmpfs /proc")
	assert.Equal(t, 0, code, log)
	assert.Equal(t, "usher: installed "+dir+"/dir/usher\nusher\n", log)
}
