package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests of this file run the real binary as PID 1 of real containers. The
// images are made of Debian's packages (busybox-static, nginx-light) on this
// machine, nothing is pulled; the containers have no network but loopback,
// which some of them share, as those of a pod do.

// The init's part: codes, signals, zombies, hooks, and a locked-down container.
func TestDockerInit(t *testing.T) {
	needDocker(t)
	t.Parallel()
	image := usherImage(t, busyboxImage(t), `ENTRYPOINT ["/usher"]`)

	t.Run("exit code", func(t *testing.T) {
		for _, want := range []int{0, 1, 42, 255} {
			_, _, code := runContainer(t, image, "--", "sh", "-c", fmt.Sprintf("exit %d", want))
			assert.Equal(t, want, code)
		}
		_, stderr, code := runContainer(t, image, "--", "/no/such/program")
		assert.Equal(t, 127, code)
		assert.Contains(t, stderr, "/no/such/program")
	})

	t.Run("docker stop", func(t *testing.T) {
		app := startContainer(t, image, "--", "sh", "-c", "echo up; exec sleep 100000")
		app.stdout().wait("up")
		took := app.stop()
		// sleep has no handler, so as PID 1 it would be killed after 10 s: 137.
		assert.Equal(t, 143, app.exitCode())
		t.Logf("docker stop took %v", took)
	})

	t.Run("orphans are reaped", func(t *testing.T) {
		app := startContainer(t, image, "--", "sh", "-c",
			"for i in $(seq 200); do (true &); done; echo made; exec sleep 100000")
		app.stdout().wait("made")
		// "true" may still be on its way out when its shell is done, so ask until
		// usher, sleep and ps are alone. A zombie would stay for ever.
		var list string
		eventually(t, func() bool {
			list = app.exec("ps", "-o", "pid,stat,args")
			return strings.Count(list, "\n") == len([]string{"heading", "usher", "sleep", "ps"})
		}, func() string { return "processes left:\n" + list })
	})

	t.Run("hook output is in the log", func(t *testing.T) {
		app := startContainer(t, image,
			"--grace", "8s", "--drain", `sh -c 'echo draining: $USHER_REASON $USHER_SIGNAL'`,
			"--", "sh", "-c", "echo up; exec sleep 100000")
		app.stdout().wait("up")
		app.stop()
		assert.Equal(t, 143, app.exitCode())
		stdout, stderr := app.logs()
		assert.Equal(t, "up\n", stdout, "stdout is the app's alone")
		assert.Contains(t, stderr, "draining: signal SIGTERM")
	})

	t.Run("locked down", func(t *testing.T) {
		app := startContainer(t, "--read-only", "--user", "65534:65534", "--cap-drop", "ALL",
			"--security-opt", "no-new-privileges", "--pids-limit", "10", "--memory", "16m", image,
			"--grace", "8s", "--drain", "echo bye", "--", "sh", "-c", "echo up; exec sleep 100000")
		app.stdout().wait("up")
		app.stop()
		assert.Equal(t, 143, app.exitCode())
		_, stderr := app.logs()
		assert.Contains(t, stderr, "bye")
	})

	// A leak of processes is one of the reasons why a container is stopped. Then
	// not even a thread can be made, which ends a Go program that needs one.
	t.Run("pids limit filled by the app", func(t *testing.T) {
		app := startContainer(t, "--pids-limit", "24", image,
			"--grace", "8s", "--drain", "http://127.0.0.1:1/", "--drain", "echo bye", "--", "sh", "-c",
			`(while :; do sleep 100000 & done) 2>/dev/null; sleep 100000 & trap "exit 5" TERM; echo full; while :; do wait; done`)
		app.stdout().wait("full")
		app.stop()
		assert.Equal(t, 5, app.exitCode())
		_, stderr := app.logs()
		assert.Contains(t, stderr, "drain: hook echo failed after")
		assert.Contains(t, stderr, "connection refused")
	})
}

// Case B of KUBERNETES.md: a container is stopped in the middle of a download.
func TestDockerNoCutDownload(t *testing.T) {
	needDocker(t)
	base := nginxImage(t)
	const signals = `"--stop-on", "QUIT", "--stop-signal", "QUIT"`
	const drain = `"--grace", "25s", "--drain", "sh -c 'echo Stopping container now...'"`
	for _, c := range []struct {
		name, dockerfile string
		whole            bool
		code             int
	}{
		{"stop signal QUIT, as in nginx's images", `ENTRYPOINT ["/usher", ` + drain + `, ` + signals + `, "--"]` + "\nSTOPSIGNAL SIGQUIT", true, 0},
		{"stop signal TERM", `ENTRYPOINT ["/usher", ` + drain + `, ` + signals + `, "--"]`, true, 0},
		{"stop signal TERM, once it is idle", `ENTRYPOINT ["/usher", ` + drain + `, "--drain-idle", "1s", "--"]`, true, 0},
		// The counter-proof: without usher's doing, the very same stop cuts it.
		{"TERM straight to nginx", `ENTRYPOINT ["/usher", "--"]`, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			image := usherImage(t, base, c.dockerfile+"\n"+`CMD ["nginx", "-g", "daemon off;"]`)
			nginx := startContainer(t, image)
			got, err := stopInDownload(t, nginx, image, "--time", "30")
			assert.Equal(t, c.code, nginx.exitCode())
			if !c.whole {
				assert.Less(t, len(got), len(download), "this stop was to cut the download: the test proves nothing")
				return
			}
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(download, got), "the client got %d of %d bytes", len(got), len(download))
			_, stderr := nginx.logs()
			assert.Contains(t, stderr, "Stopping container now...")
		})
	}
}

// stopInDownload is docker stop in the middle of a download from nginx, and
// returns what the wget of another image got of it.
func stopInDownload(t *testing.T, nginx *container, other string, options ...string) (got []byte, err error) {
	t.Helper()
	client := startContainer(t, "--network=container:"+nginx.id, "--entrypoint=/bin/sleep", other, "100000")
	eventually(t, func() bool { // the small file is not throttled
		return client.try("wget", "-q", "-O", "-", "http://127.0.0.1/index.html")
	}, func() string { return "nginx does not serve" })

	wget := docker.command(deadline(t), "exec", client.id, "wget", "-q", "-O", "-", "http://127.0.0.1/download")
	body, err := wget.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, wget.Start())
	first := make([]byte, 1000)
	_, err = io.ReadFull(body, first)
	require.NoError(t, err, "the download does not begin")

	end := make(chan error, 1)
	go func() {
		rest, err := io.ReadAll(body)
		got = append(first, rest...)
		end <- errors.Join(err, wget.Wait())
	}()
	took := nginx.stop(options...)
	err = <-end
	t.Logf("the client got %d of %d bytes, docker stop took %v", len(got), len(download), took)
	return got, err
}

// Case A of KUBERNETES.md: a sidecar that may only start once nginx serves.
func TestDockerSidecarWaits(t *testing.T) {
	needDocker(t)
	t.Parallel()
	image := usherImage(t, nginxImage(t), `ENTRYPOINT ["/usher"]`)
	volume := "--volume=" + dockerVolume(t) + ":/usr/share/nginx/html"

	// The main container refuses connections, then answers 503 three times,
	// then refuses again until it is told to start nginx.
	main := startContainer(t, volume, image, "--", "sh", "-c", `
		mkfifo /go
		for i in 1 2 3; do
			nc -l -p 80 -e sh -c 'read -r request; echo "503 for $request" >&2
				printf "HTTP/1.1 503 Not yet\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"'
		done
		echo quiet
		read -r _ </go
		exec nginx -g "daemon off;"`)
	page := main.exec("cat", "/usr/share/nginx/html/index.html")

	sidecar := startContainer(t, volume, "--network=container:"+main.id, image,
		"--wait", "http://localhost:80/index.html", "--", "sh", "-c", `
		echo started
		n=0
		while true; do
			n=$((n+1))
			echo "line $n" >>/usr/share/nginx/html/index.html
			echo "wrote $n"
			sleep 1
		done`)
	lines, access := sidecar.stdout(), main.stdout()

	access.wait("quiet") // three times the sidecar asked, three times it heard no
	stdout, _ := sidecar.logs()
	assert.Empty(t, stdout, "the sidecar has started before nginx")
	assert.Equal(t, page, main.exec("cat", "/usr/share/nginx/html/index.html"))

	told := time.Now()
	main.exec("sh", "-c", "echo now >/go")
	served := access.wait(`"GET /index.html HTTP/1.1" 200`)
	started := lines.wait("started")
	// nginx writes its log once the answer has gone: the sidecar may be quicker.
	assert.False(t, started.Before(told), "the sidecar started at %v, nginx was told to at %v", started, told)
	t.Logf("the sidecar started %v after nginx's first answer", started.Sub(served.Time).Round(time.Millisecond))

	lines.wait("wrote 2")
	now := main.exec("wget", "-q", "-O", "-", "http://127.0.0.1/index.html")
	assert.Equal(t, page+"line 1\nline 2\n", now[:min(len(now), len(page)+14)])

	sidecar.stop()
	assert.Equal(t, 143, sidecar.exitCode())
	stdout, _ = sidecar.logs()
	assert.Equal(t, 1, strings.Count(stdout, "started"))
}

// ---- containers

// needDocker skips where no Docker daemon answers.
func needDocker(t *testing.T) {
	t.Helper()
	if out, err := docker.command(deadline(t), "version").CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("docker does not work here: %v\n%s", err, out))
	}
}

// deadline is only there to end a test that hangs.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// engine is the command that runs containers, with the words that come first.
type engine []string

var docker = engine{"docker"}

func (e engine) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, e[0], slices.Concat(e[1:], args)...)
}

// run runs one command, which must succeed, and returns its stdout.
func (e engine) run(t *testing.T, stdin io.Reader, args ...string) string {
	t.Helper()
	cmd := e.command(deadline(t), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	require.NoError(t, err, "%s\n%s\n%s", cmd, lastLines(stdout.String()), lastLines(stderr.String()))
	return stdout.String()
}

// cleanup runs a command at the end of the test, whatever it says.
func (e engine) cleanup(t *testing.T, args ...string) {
	t.Cleanup(func() { _ = e.command(context.Background(), args...).Run() })
}

// container is one that runs, or ran.
type container struct {
	*testing.T
	engine
	id string
}

// createContainer makes a container without a network of its own, removed at
// the end of the test. The words are those of docker create. The daemon may be
// configured to rotate logs: then "docker logs --follow" of Docker 20.10 misses
// what was written while the log was rotated twice.
func createContainer(t *testing.T, words ...string) *container {
	t.Helper()
	create := []string{"create", "--log-driver=json-file", "--log-opt=max-size=1g"}
	if !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "--network=") }) {
		create = append(create, "--network=none")
	}
	c := &container{t, docker, strings.TrimSpace(docker.run(t, nil, append(create, words...)...))}
	docker.cleanup(t, "rm", "--force", "--volumes", c.id)
	c.logsOnFailure(strings.Join(words, " "))
	return c
}

func (c *container) start() {
	c.Helper()
	c.run(c.T, nil, "start", c.id)
}

func startContainer(t *testing.T, words ...string) *container {
	t.Helper()
	c := createContainer(t, words...)
	c.start()
	return c
}

func (c *container) logsOnFailure(name string) {
	c.Cleanup(func() {
		if c.Failed() {
			stdout, stderr := c.logs()
			c.Logf("container %s\nstdout:\n%s\nstderr:\n%s", name, lastLines(stdout), lastLines(stderr))
		}
	})
}

// runContainer runs a container to its end.
func runContainer(t *testing.T, words ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := startContainer(t, words...)
	docker.run(t, nil, "wait", c.id)
	stdout, stderr = c.logs()
	return stdout, stderr, c.exitCode()
}

// stop is docker stop: the stop signal, and SIGKILL after 10 s if no option
// says otherwise.
func (c *container) stop(options ...string) time.Duration {
	c.Helper()
	begun := time.Now()
	c.run(c.T, nil, slices.Concat([]string{"stop"}, options, []string{c.id})...)
	return time.Since(begun).Round(time.Millisecond)
}

func (c *container) exitCode() int {
	c.Helper()
	state := strings.Fields(c.run(c.T, nil, "inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", c.id))
	require.Equal(c.T, "false", state[0], "the container still runs")
	code, err := strconv.Atoi(state[1])
	require.NoError(c.T, err)
	return code
}

// exec runs a command in the container.
func (c *container) exec(words ...string) string {
	c.Helper()
	return c.run(c.T, nil, append([]string{"exec", c.id}, words...)...)
}

// try reports whether a command in the container succeeds.
func (c *container) try(words ...string) bool {
	c.Helper()
	return c.command(deadline(c.T), append([]string{"exec", c.id}, words...)...).Run() == nil
}

// logs returns what the container has written so far.
func (c *container) logs() (stdout, stderr string) {
	cmd := c.command(context.Background(), "logs", c.id)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(&e, "%s: %v\n", cmd, err)
	}
	return o.String(), e.String()
}

// follower follows the stdout of a container.
type follower struct {
	*testing.T
	*bufio.Scanner
}

func (c *container) stdout() *follower {
	c.Helper()
	cmd := c.command(deadline(c.T), "logs", "--follow", "--timestamps", c.id)
	out, err := cmd.StdoutPipe()
	require.NoError(c.T, err)
	require.NoError(c.T, cmd.Start())
	c.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &follower{c.T, bufio.NewScanner(out)}
}

// moment is when the engine read a line.
type moment struct{ time.Time }

func (m moment) before(o moment) bool { return m.Before(o.Time) }

// wait reads on to the next line that holds text.
func (l *follower) wait(text string) moment {
	l.Helper()
	for l.Scan() {
		stamp, line, _ := strings.Cut(l.Text(), " ")
		if strings.Contains(line, text) {
			at, err := time.Parse(time.RFC3339Nano, stamp)
			require.NoError(l.T, err)
			return moment{at}
		}
	}
	l.Fatalf("the log ended without %q", text)
	return moment{}
}

// eventually asks again until ok; each question starts a process, which is
// pause enough.
func eventually(t *testing.T, ok func() bool, otherwise func() string) {
	t.Helper()
	ctx := deadline(t)
	for !ok() {
		if ctx.Err() != nil {
			t.Fatal(otherwise())
		}
	}
}

// ---- images

var imageNumber atomic.Int64

// imageName returns a tag that no other test run uses.
func imageName(t *testing.T, kind string) string {
	t.Helper()
	name := fmt.Sprintf("usher-test/%s:%d-%d", kind, os.Getpid(), imageNumber.Add(1))
	docker.cleanup(t, "rmi", "--force", name)
	return name
}

// usherImage builds, as a user would, an image that has usher in it.
func usherImage(t *testing.T, base, dockerfile string) string {
	t.Helper()
	name := imageName(t, "usher")
	root := newRootfs(t)
	root.file("Dockerfile", 0o644, []byte("FROM "+base+"\nCOPY usher /usher\n"+dockerfile+"\n"))
	root.copy(binary(t), "usher")
	docker.run(t, root.tar(), "build", "--tag", name, "-")
	return name
}

// busyboxImage is a static busybox in an otherwise empty image.
func busyboxImage(t *testing.T) string {
	t.Helper()
	root := newRootfs(t)
	root.busybox()
	return root.image("busybox")
}

// download is what nginx serves at /download, at a fifth of its size a second.
var download = bytes.Repeat([]byte("0123456789abcde\n"), 64_000)

const nginxConf = `
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr;
events { }
http {
	access_log /dev/stdout;
	default_type text/plain;
	server {
		listen 80;
		root /usr/share/nginx/html;
		location = /download { limit_rate 250k; }
	}
}
`

func nginxImage(t *testing.T) string {
	t.Helper()
	return nginxRoot(t).image("nginx")
}

// nginxRoot is this machine's nginx with the libraries it needs, and busybox.
func nginxRoot(t *testing.T) *rootfs {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx" // often not in a user's PATH
	}
	libs, err := exec.CommandContext(deadline(t), "ldd", nginx).Output()
	if err != nil {
		skip(t, "no nginx on this machine (Debian: nginx-light)")
	}
	root := newRootfs(t)
	root.busybox()
	root.copy(nginx, "usr/sbin/nginx")
	for _, lib := range regexp.MustCompile(`/\S+`).FindAllString(string(libs), -1) {
		root.copy(lib, lib)
	}
	root.site()
	root.file("etc/passwd", 0o644, []byte("root:x:0:0::/:/bin/sh\nwww-data:x:33:33::/:/bin/false\n"))
	root.file("etc/group", 0o644, []byte("root:x:0:\nwww-data:x:33:\n"))
	for _, dir := range []string{"run", "var/lib/nginx", "var/log/nginx"} {
		root.dir(dir)
	}
	return root
}

// site is what nginx serves, and how.
func (r *rootfs) site() {
	r.Helper()
	r.file("etc/nginx/nginx.conf", 0o644, []byte(nginxConf))
	r.file("usr/share/nginx/html/index.html", 0o644, []byte("Hello from nginx.\n"))
	r.file("usr/share/nginx/html/download", 0o644, download)
}

// dockerVolume makes an empty volume.
func dockerVolume(t *testing.T) string {
	t.Helper()
	name := strings.TrimSpace(docker.run(t, nil, "volume", "create"))
	docker.cleanup(t, "volume", "rm", "--force", name)
	return name
}

// rootfs is a file system in the making, written as a tar archive.
type rootfs struct {
	*testing.T
	buf  bytes.Buffer
	w    *tar.Writer
	made map[string]bool
}

func newRootfs(t *testing.T) *rootfs {
	r := &rootfs{T: t, made: map[string]bool{".": true}}
	r.w = tar.NewWriter(&r.buf)
	return r
}

func (r *rootfs) write(h *tar.Header, data []byte) {
	r.Helper()
	r.dir(path.Dir(h.Name))
	h.Size = int64(len(data))
	require.NoError(r.T, r.w.WriteHeader(h))
	_, err := r.w.Write(data)
	require.NoError(r.T, err)
}

func (r *rootfs) dir(name string) {
	r.Helper()
	if r.made[name] {
		return
	}
	r.made[name] = true
	r.write(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, nil)
}

func (r *rootfs) file(name string, mode fs.FileMode, data []byte) {
	r.Helper()
	r.write(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode)}, data)
}

// copy puts a file of this machine in, executable, symbolic links followed.
func (r *rootfs) copy(from, to string) {
	r.Helper()
	data, err := os.ReadFile(from)
	require.NoError(r.T, err)
	r.file(strings.TrimPrefix(to, "/"), 0o755, data)
}

// busybox puts the static busybox in, with a link for each of its commands.
func (r *rootfs) busybox() {
	r.Helper()
	busybox, err := exec.LookPath("busybox")
	if errors.Is(err, exec.ErrNotFound) {
		skip(r.T, "no busybox on this machine (Debian: busybox-static)")
	}
	require.NoError(r.T, err)
	r.copy(busybox, "bin/busybox")
	applets, err := exec.CommandContext(deadline(r.T), busybox, "--list").Output()
	require.NoError(r.T, err)
	for _, applet := range strings.Fields(string(applets)) {
		if applet != "busybox" {
			r.write(&tar.Header{Typeflag: tar.TypeSymlink, Name: filepath.Join("bin", applet), Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
}

func (r *rootfs) tar() io.Reader {
	r.Helper()
	require.NoError(r.T, r.w.Close())
	return &r.buf
}

// image makes the file system a Docker image.
func (r *rootfs) image(kind string) string {
	r.Helper()
	name := imageName(r.T, kind)
	docker.run(r.T, r.tar(), "import", "-", name)
	return name
}
