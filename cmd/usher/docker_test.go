package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// The tests in this file run usher as PID 1 of containers. The images are made from this
// machine's Debian packages (busybox-static, nginx-light), so no image is pulled. A
// container has only a loopback network. Some containers share one network, as in a pod.

// Usher is the init of a container. The test covers exit codes, signals, zombies, hooks,
// and containers with few rights or a low pids limit.
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
		assertPrinted(t, stderr, "/no/such/program")
	})

	t.Run("docker stop", func(t *testing.T) {
		app := startContainer(t, image, "--", "sh", "-c", "echo up; exec sleep 100000")
		app.stdout().expect("up")
		took := app.stop()
		// sleep has no handler for SIGTERM. If it were PID 1, SIGTERM would have no effect,
		// and the exit code would be 137, from Docker's SIGKILL after 10 s.
		assert.Equal(t, 143, app.exitCode())
		t.Logf("docker stop took %v", took)
	})

	t.Run("orphans are reaped", func(t *testing.T) {
		app := startContainer(t, image, "--", "sh", "-c",
			"for i in $(seq 200); do (true &); done; echo made; exec sleep 100000")
		app.stdout().expect("made")
		app.waitUntilReaped()
	})

	t.Run("hook output is in the log", func(t *testing.T) {
		app := startContainer(t, image,
			"--grace", "8s", "--drain", `sh -c 'echo draining: $USHER_REASON $USHER_SIGNAL'`,
			"--", "sh", "-c", "echo up; exec sleep 100000")
		app.stdout().expect("up")
		app.stop()
		assert.Equal(t, 143, app.exitCode())
		stdout, stderr := app.logs()
		assert.Equal(t, "up\n", stdout, "only the app writes to stdout")
		assertPrinted(t, stderr, "draining: signal SIGTERM")
	})

	t.Run("locked down", func(t *testing.T) {
		app := startContainer(t, "--read-only", "--user", "65534:65534", "--cap-drop", "ALL",
			"--security-opt", "no-new-privileges", "--pids-limit", "12", "--memory", "16m", image,
			"--grace", "8s", "--drain", "echo bye", "--", "sh", "-c", "echo up; exec sleep 100000")
		app.stdout().expect("up")
		app.stop()
		assert.Equal(t, 143, app.exitCode())
		_, stderr := app.logs()
		assertPrinted(t, stderr, "bye")
	})

	// The app fills the pids limit, as an app that leaks processes does. At the limit, no
	// thread can be started either, and a Go program that needs a new thread crashes. So
	// usher makes its threads before it starts the app (threads.go).
	t.Run("pids limit filled by the app", func(t *testing.T) {
		app := startContainer(t, "--pids-limit", "24", image,
			"--grace", "8s", "--drain", "http://127.0.0.1:1/", "--drain", "echo bye", "--", "sh", "-c",
			`(while :; do sleep 100000 & done) 2>/dev/null; sleep 100000 & trap "exit 5" TERM; echo full; while :; do wait; done`)
		app.stdout().expect("full")
		app.stop()
		assert.Equal(t, 5, app.exitCode())
		_, stderr := app.logs()
		assertPrinted(t, stderr, "drain: hook echo failed after")
		assertPrinted(t, stderr, "connection refused")
	})
}

// docker stop stops nginx in the middle of a download. With the right flags of usher, nginx
// finishes the download before it exits.
func TestDockerStopFinishesADownload(t *testing.T) {
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
		// Without usher's flags, the SIGTERM of docker stop interrupts the download.
		{"stop signal TERM, without flags", `ENTRYPOINT ["/usher", "--"]`, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			image := usherImage(t, base, c.dockerfile+"\n"+`CMD ["nginx", "-g", "daemon off;"]`)
			nginx := startContainer(t, image)
			got, wget := stopInDownload(t, nginx, image, "--time", "30")
			assert.Equal(t, c.code, nginx.exitCode())
			if !c.whole {
				assert.Less(t, len(got), len(download), "the download finished without the flags, so the other cases do not test them")
				return
			}
			assert.Equal(t, 0, wget)
			assert.True(t, got == string(download), "the client got %d of %d bytes", len(got), len(download))
			_, stderr := nginx.logs()
			assertPrinted(t, stderr, "Stopping container now...")
		})
	}
}

// stopInDownload stops nginx (docker stop) in the middle of a download by wget. wget runs in
// a second container, made from the image clientImage. stopInDownload returns wget's output
// and exit code.
func stopInDownload(t *testing.T, nginx *container, clientImage string, options ...string) (got string, code int) {
	t.Helper()
	client := startContainer(t, "--network=container:"+nginx.id, "--entrypoint=/bin/sleep", clientImage, "100000")
	eventually(t, func() bool { // wait until nginx serves index.html; a request for /download would take seconds
		return client.try("wget", "-q", "-O", "-", "http://127.0.0.1/index.html")
	}, func() string { return "nginx does not serve" })

	wget := docker.start(t, false, "exec", client.id, "wget", "-q", "-O", "-", "http://127.0.0.1/download")
	wget.stdout.expect("0123456789abcde") // the download has begun
	took := nginx.stop(options...)
	got = wget.stdout.rest() + "\n"
	t.Logf("the client got %d of %d bytes, docker stop took %v", len(got), len(download), took)
	return got, wget.code()
}

// The app of a sidecar starts only once nginx serves in the main container.
func TestDockerSidecarWaits(t *testing.T) {
	needDocker(t)
	t.Parallel()
	image := usherImage(t, nginxImage(t), `ENTRYPOINT ["/usher"]`)
	volume := "--volume=" + dockerVolume(t) + ":/usr/share/nginx/html"

	// The main container refuses connections, then responds with 503 three times,
	// then refuses connections again until the test makes it start nginx.
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

	access.expect("quiet") // the sidecar has received its three 503 responses
	stdout, _ := sidecar.logs()
	assert.Empty(t, stdout, "the sidecar has started before nginx")
	assert.Equal(t, page, main.exec("cat", "/usr/share/nginx/html/index.html"))

	nginxBegun := time.Now()
	main.exec("sh", "-c", "echo now >/go")
	served := timeOf(t, access.expect(`"GET /index.html HTTP/1.1" 200`))
	started := timeOf(t, lines.expect("started"))
	// nginx logs a request after it has sent the response, so the sidecar may start before
	// the time in the log. But it cannot start before nginxBegun.
	assert.False(t, started.Before(nginxBegun), "the sidecar started at %v, nginx at %v or later", started, nginxBegun)
	t.Logf("the sidecar started %v after nginx's first response", started.Sub(served).Round(time.Millisecond))

	lines.expect("wrote 2")
	now := main.exec("wget", "-q", "-O", "-", "http://127.0.0.1/index.html")
	assert.Equal(t, page+"line 1\nline 2\n", now[:min(len(now), len(page)+14)])

	sidecar.stop()
	assert.Equal(t, 143, sidecar.exitCode())
	stdout, _ = sidecar.logs()
	assert.Equal(t, 1, strings.Count(stdout, "started"))
}
