package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The test runs the pod of the README with podman kube play, with restartPolicy OnFailure.
// The test builds the pod's images itself, under the names that the README uses.
func TestReadmePod(t *testing.T) {
	podman := needPodman(t)
	t.Parallel()
	own := newRootfs(t)
	own.copy(binary(t), "usher")
	podman.run(t, own.tar(), "import", "--change", `ENTRYPOINT ["/usher"]`, "-", "registry.example/usher:1.0")
	podman.run(t, nginxRoot(t).tar(), "import", "--change", "STOPSIGNAL SIGQUIT", // nginx's images have this STOPSIGNAL
		"--change", "ENV PATH=/usr/sbin:/bin", "-", "nginx:1.27")
	busybox := newRootfs(t)
	busybox.busybox()
	podman.run(t, busybox.tar(), "import", "--change", "ENV PATH=/bin", "-", "busybox:1.36")

	// The pod has no restartPolicy, and the default is Always. With Always, podman 4.3 restarts
	// even the init container, so the test sets OnFailure.
	manifest := strings.Replace(readmeBlock(t, "pod"), "spec:\n", "spec:\n  restartPolicy: OnFailure\n", 1)
	spec := filepath.Join(t.TempDir(), "pod.yaml")
	require.NoError(t, os.WriteFile(spec, []byte(manifest), 0o644))

	// The pod needs only the loopback network, which its containers share.
	podman.run(t, nil, "kube", "play", "--network=none", spec)
	t.Cleanup(func() {
		podman.run(t, nil, "kube", "down", spec)
		assert.Empty(t, podman.run(t, nil, "ps", "--all", "--quiet"))
	})
	web, reporter := &container{t, podman, "web-web"}, &container{t, podman, "web-reporter"}
	web.logsOnFailure("web")
	reporter.logsOnFailure("reporter")
	reporter.stdout().expect("nginx serves")

	// The test passes --time, because podman before 4.7 ignores terminationGracePeriodSeconds.
	podman.run(t, nil, "pod", "stop", "--time=30", "web")
	assert.Equal(t, 0, web.exitCode())
	_, stderr := web.logs()
	assertPrinted(t, stderr, "usher: received SIGQUIT, shutting down (deadline 25s)\n")
	assertPrinted(t, stderr, "usher: drain: nginx keeps serving for 5s\n")
	assertPrinted(t, stderr, "usher: drain echo| Stopping container now...\n")
	assertPrintedMatch(t, stderr, `usher: app exited 0 after \S+; shutdown took \S+ of 25s: drain \d+\.\ds\b.*\n$`)

	assert.Equal(t, 143, reporter.exitCode())
	stdout, stderr := reporter.logs()
	assert.Equal(t, "nginx serves\n", stdout, "the reporter must start only once")
	assertPrintedMatch(t, stderr, `^(usher: wait: still waiting after .*\n)*usher: wait: http://localhost:80/index.html is ready after \S+ \(\d+ attempts?\)\n`+
		`usher: start: sh started, pid \d+\n`)
	assertPrintedMatch(t, stderr, `usher: app was killed by SIGTERM after .*\n$`)
	for _, c := range []*container{web, reporter} {
		assert.Equal(t, "0\n", c.run(t, nil, "inspect", "--format", "{{.RestartCount}}", c.id))
	}
}

// With podman run --sdnotify=container, conmon makes a socket for the container. When usher
// has sent READY=1 to this socket, conmon sends READY=1 to the service manager. conmon
// forwards no other state.
// The name of this test is short, because the path of podman's runroot contains it (t.TempDir)
// and may have at most 50 characters.
func TestPodmanNotify(t *testing.T) {
	podman := needPodman(t)
	t.Parallel()
	root := newRootfs(t)
	root.busybox()
	root.copy(binary(t), "usher")
	podman.run(t, root.tar(), "import", "--change", "ENV PATH=/bin", "-", "notify:1.0")

	m := listening(t)
	underSystemd := append(engine{"env", "NOTIFY_SOCKET=" + m.address}, podman...)
	id := strings.TrimSpace(underSystemd.run(t, nil, "run", "--detach", "--sdnotify=container", "--network=none", "notify:1.0",
		"/usher", "--ready", "test -e /ready", "--grace", "60s", "--", "sh", "-c", `echo "socket: $NOTIFY_SOCKET."; `+exitOnTERM(3)))
	c := &container{t, podman, id}
	c.logsOnFailure("notify")
	m.expect("MAINPID=") // the line shows that podman has started the container
	c.stdout().expect("ready")
	assertNotPrinted(t, m.soFar(), "READY=1")
	podman.run(t, nil, "exec", id, "touch", "/ready")
	m.expect("READY=1")
	podman.run(t, nil, "stop", "--time=60", id)
	assert.Equal(t, 3, c.exitCode())
	stdout, stderr := c.logs()
	assertPrinted(t, stdout, "socket: .\n")
	assertNotPrinted(t, stderr, "service manager")
	podman.run(t, nil, "rm", id)
}

// needPodman returns a podman command that keeps all its files in a directory of the test.
// It skips the test if podman cannot run an empty pod.
func needPodman(t *testing.T) engine {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "podman is only tested as root")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "containers.conf")
	// Podman's default limits of about a million need CAP_SYS_RESOURCE. The other settings
	// keep this podman away from the locks, logs and networks of other podman commands on
	// the machine.
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
		log_driver = "k8s-file"
		[engine]
		events_logger = "file"
		lock_type = "file"
		tmp_dir = %q
		[network]
		network_config_dir = %q
		`, filepath.Join(dir, "tmp"), filepath.Join(dir, "net")), 0o644))
	podman := engine{"env", "CONTAINERS_CONF=" + conf, "podman", "--storage-driver=vfs", // vfs leaves no mounts behind
		"--root=" + filepath.Join(dir, "root"), "--runroot=" + filepath.Join(dir, "run")}

	// Before dir can be removed, all processes of podman must have exited: conmon exits later
	// than its container, and writes to dir until it exits.
	t.Cleanup(func() {
		var left string
		eventually(t, func() bool { left = mentioning(t, dir); return left == "" },
			func() string { return "podman's processes do not end:\n" + left })
	})
	podman.cleanup(t, "pod", "rm", "--all", "--force", "--time=0")
	for _, words := range [][]string{
		{"pod", "create", "--network=none", "--name=empty"},
		{"pod", "start", "empty"},
		{"pod", "rm", "--force", "--time=0", "empty"},
	} {
		if out, err, code := podman.output(t, nil, words...); code != 0 {
			skip(t, fmt.Sprintf("podman does not work here (Debian: podman, catatonit): exit code %d\n%s%s", code, out, err))
		}
	}
	return podman
}

// mentioning returns the command lines of all processes whose command line contains text.
func mentioning(t *testing.T, text string) string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var found strings.Builder
	for _, file := range files {
		line, _ := os.ReadFile(file) // the process may have exited meanwhile
		if strings.Contains(string(line), text) {
			fmt.Fprintln(&found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found.String()
}
