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
// The test makes the images of the pod, with the names in the README.
func TestReadmePod(t *testing.T) {
	podman := needPodman(t)
	t.Parallel()
	own := newRootfs(t)
	own.copy(binary(t), "usher")
	podman.run(t, own.tar(), "import", "--change", `ENTRYPOINT ["/usher"]`, "-", "registry.example/usher:1.0")
	podman.run(t, nginxRoot(t).tar(), "import", "--change", "STOPSIGNAL SIGQUIT", // as in nginx's images
		"--change", "ENV PATH=/usr/sbin:/bin", "-", "nginx:1.27")
	busybox := newRootfs(t)
	busybox.busybox()
	podman.run(t, busybox.tar(), "import", "--change", "ENV PATH=/bin", "-", "busybox:1.36")

	// The default restartPolicy is Always. With Always, podman 4.3 also restarts the init
	// container.
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

	// The test passes --time, because podman ignores terminationGracePeriodSeconds.
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
	assertPrintedMatch(t, stderr, `^usher: wait: http://localhost:80/index.html is ready after \S+ \(\d+ attempts?\)\n`+
		`usher: start: sh started, pid \d+\n`)
	assertPrintedMatch(t, stderr, `usher: app was killed by SIGTERM after .*\n$`)
	for _, c := range []*container{web, reporter} {
		assert.Equal(t, "0\n", c.run(t, nil, "inspect", "--format", "{{.RestartCount}}", c.id))
	}
}

// needPodman returns a podman that keeps all its files in a directory of the test. It skips
// the test if podman cannot run an empty pod.
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

	// Wait until all processes of podman have exited. conmon exits later than its container,
	// and writes to dir until it exits.
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
