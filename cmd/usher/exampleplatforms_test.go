package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"
)

// The tests in this file run the examples whose platform is not on this machine. In place
// of the platform, Docker, podman or the test itself runs the example. The command lines and
// the settings come from the example's file. The log must be equal to the log in the file's
// comment, except for times, pids and counts.

// inDocker runs the container of an example in Docker, with the image of examples/compose.
// options are options of docker create that have the same effect as the platform's
// settings. args are the arguments of usher. Once the command probe succeeds in the
// container, inDocker stops the container with "docker stop", and compares its log with the
// log in the example's comment.
func (e *example) inDocker(images *images, probe, options, args []string) {
	e.Helper()
	images.need(e.T, "usher", "busybox:1.36")
	e.commands = nil // not run, because these commands need the platform
	tag := fmt.Sprintf("usher-web-%d-%s", os.Getpid(), strings.ToLower(filepath.Base(e.Name())))
	docker.cleanup(e.T, "rmi", tag)
	docker.run(e.T, nil, "build", "--tag", tag, "../../examples/compose")
	web := startContainer(e.T, append(append(options, tag), args...)...)
	eventually(e.T, func() bool { return web.try(probe...) }, func() string { return "the app does not serve" })
	web.stop()
	assert.Equal(e.T, 143, web.exitCode(), "httpd has no handler for SIGTERM")
	e.expects(web)
}

func exampleECS(t *testing.T, images *images) {
	e := readExample(t, "ecs/task.yaml", docker)
	c := readECS(t, string(e.content))
	e.inDocker(images, c.HealthCheck.Command[1:],
		[]string{"--entrypoint=" + c.EntryPoint[0], fmt.Sprintf("--stop-timeout=%d", c.StopTimeout)}, c.Command)
}

func exampleNomad(t *testing.T, images *images) {
	e := readExample(t, "nomad/web.nomad.hcl", docker)
	task := readNomad(t, string(e.content))
	e.inDocker(images, []string{"/usher", "--probe", "tcp://localhost:8080"},
		[]string{"--entrypoint=" + task.entrypoint[0], "--stop-signal=" + task.signal, fmt.Sprintf("--stop-timeout=%.0f", task.kill.Seconds())}, task.args)
}

func exampleCloudRun(t *testing.T, images *images) {
	e := readExample(t, "cloud-run/service.yaml", docker)
	c := readCloudRun(t, string(e.content))
	port := c.Ports[0].ContainerPort
	e.inDocker(images, []string{"/usher", "--probe", fmt.Sprintf("tcp://localhost:%d", c.StartupProbe.TCPSocket.Port)},
		[]string{"--entrypoint=" + c.Command[0], fmt.Sprintf("--env=PORT=%d", port), "--add-host=metadata.google.internal:169.254.169.254", "--stop-timeout=10"}, c.Args)
}

// The test starts the command of ExecStart as a child, so usher is not PID 1, and listens on
// the socket of NOTIFY_SOCKET. To stop the unit, the test sends SIGTERM to usher only, as
// systemd does with KillMode=mixed.
func exampleSystemd(t *testing.T, _ *images) {
	needRoot(t)
	e := readExample(t, "systemd/usher-app.service", nil)
	e.commands = nil
	argv := strings.Fields(readUnit(t, string(e.content))["Service.ExecStart"])
	argv[0] = binary(t)
	script := `ip link set lo up; exec "$@"` // in the new network namespace (net: true) no other process uses the port, and lo is down at first
	systemd := listening(t)
	app := launcher{hostPID: true, net: true, vars: []string{"NOTIFY_SOCKET=" + systemd.address}}.start(t, append([]string{"sh", "-c", script, "sh"}, argv...)...)
	systemd.expect("READY=1")
	app.signal(syscall.SIGTERM)
	systemd.expect("STOPPING=1")
	assert.Equal(t, 143, app.code())
	e.expected(app.stdout.rest(), app.stderr.rest())
}

// podman 4.3 has no Quadlet. The test runs the command that Quadlet would write into the
// unit, and listens on the socket of NOTIFY_SOCKET, as systemd would.
func exampleQuadlet(t *testing.T, podman engine) {
	e := readExample(t, "quadlet/usher-app.container", podman)
	e.commands = nil
	unit := readUnit(t, string(e.content))
	podman.run(t, nil, "build", "--pull=never", "--tag", unit["Container.Image"], "../../examples/compose")
	run := []string{"run", "--network=none", "--name=systemd-usher-app", "--replace", "--sdnotify=container", "--stop-timeout", unit["Container.StopTimeout"],
		"--entrypoint", unit["Container.Entrypoint"], "-d", unit["Container.Image"]}
	systemd := listening(t)
	engine{"env", "NOTIFY_SOCKET=" + systemd.address}.run(t, nil, slices.Concat(podman, run, strings.Fields(unit["Container.Exec"]))...)
	podman.cleanup(t, "rm", "--force", "--time=0", "systemd-usher-app")
	web := e.container("systemd-usher-app")
	systemd.expect("READY=1")
	podman.run(t, nil, "stop", web.id) // waits until the container exits, or its --stop-timeout has passed
	assert.Equal(t, 143, web.exitCode())
	e.expects(web)
}

// podman 4.3 ignores image volumes in a pod. So the test runs the pod's container with
// "podman run", and mounts the image with --mount.
func exampleImageVolume(t *testing.T, podman engine) {
	e := readExample(t, "image-volume/pod.yaml", podman)
	e.commands = nil
	spec := readKube(t, e.content)
	c := spec.Containers[0]
	run := []string{"run", "--network=none", "--name=image-volume", "-d", fmt.Sprintf("--stop-timeout=%d", *spec.TerminationGracePeriodSeconds),
		"--mount=type=image,source=" + spec.Volumes[0].Image.Reference + ",destination=" + c.VolumeMounts[0].MountPath,
		"--entrypoint=" + c.Command[0], c.Image}
	podman.run(t, nil, append(run, c.Args...)...)
	podman.cleanup(t, "rm", "--force", "--time=0", "image-volume")
	web := e.container("image-volume")
	eventually(t, func() bool {
		return web.try(c.Command[0], "--probe", "tcp://localhost:8080")
	},
		func() string { return "the app does not serve" })
	assert.False(t, web.try("touch", "/usher/file"), "the volume can be written to")
	podman.run(t, nil, "stop", web.id)
	assert.Equal(t, 143, web.exitCode())
	e.expects(web)
}

// The commands in the example's comment need kubectl. Instead, the test runs the Job's pod
// with "podman kube play": once as it is, and once with the wrong flag that the sed command
// in the comment inserts.
func exampleRestartPolicy(t *testing.T, podman engine) {
	e := readExample(t, "restart-policy/job.yaml", podman)
	e.commands = e.commands[1:]
	e.playJob("import")
	work := e.container("import-work")
	podman.run(t, nil, "wait", work.id)
	assert.Equal(t, 124, work.exitCode())
	e.expects(work)

	sed, _, _ := strings.Cut(e.command("sed"), " | kubectl")
	e.content = []byte(e.shell(sed))
	podman.run(t, nil, "pod", "rm", "--force", "--time=0", "import")
	e.playJob("import")
	work = e.container("import-work")
	podman.run(t, nil, "wait", work.id)
	assert.Equal(t, 125, work.exitCode())
	e.expects(work)
}

// podman 4.3 ignores postStart, so the test runs the hook's command itself.
func examplePostStart(t *testing.T, podman engine) {
	e := readExample(t, "post-start/pod.yaml", podman)
	e.commands = nil
	e.play(e.pod())
	web := e.container("post-start-web")
	hook := readKube(t, e.content).Containers[0].Lifecycle.PostStart.Exec.Command
	web.exec(hook...)
	stdout, _ := web.logs()
	assert.Equal(t, "httpd starts\n", stdout, "the hook has returned before the app listens")
	assert.True(t, web.try(hook[0], "--probe", "timeout=1m tcp://localhost:8080"))
	e.expects(web)

	// If nothing listens on the port, the hook fails within its time limit and prints the
	// reason.
	hook[1], hook[2] = "--wait=tcp://localhost:8081", "--wait-timeout=1s"
	_, stderr, code := podman.output(t, nil, append([]string{"exec", web.id}, hook...)...)
	assert.Equal(t, 124, code)
	assertPrinted(t, stderr, "error: wait: tcp://localhost:8081 is not ready after ")
}

// podman 4.3 would run the livenessProbe with curl, which the image does not have. So the
// test requests the paths of the probes itself.
func exampleProbes(t *testing.T, podman engine) {
	e := readExample(t, "probes/pod.yaml", podman)
	e.commands = nil
	pod := e.pod()
	parts := pod["spec"].(map[string]any)
	parts["restartPolicy"] = "Never" // with another policy, podman would restart the container after "podman kill"
	web := parts["containers"].([]any)[0].(map[string]any)
	delete(web, "readinessProbe")
	delete(web, "livenessProbe")
	e.play(pod)
	c := e.container("probes-web")
	lines := c.all()
	lines.expect("usher: ready: ")
	spec := readKube(t, e.content).Containers[0]
	url := func(p *kubeProbe) string {
		return fmt.Sprintf("timeout=1m http://localhost:%d%s", p.HTTPGet.Port, p.HTTPGet.Path)
	}
	// One command requests both paths, because "podman exec" may take seconds, and the drain takes 5 s.
	succeed := func() bool {
		return c.try("/shared/usher", "--probe", url(spec.LivenessProbe), "--probe", url(spec.ReadinessProbe))
	}
	assert.True(t, succeed())
	podman.run(t, nil, "kill", "--signal=TERM", c.id) // not with "podman stop", during which podman runs no other command in the container
	lines.expect("usher: drain: ")
	assert.True(t, succeed(), "the pod must stay ready in the drain")
	podman.run(t, nil, "wait", c.id)
	assert.Equal(t, 143, c.exitCode())
	e.expects(c)
}

// playJob runs the pod that is the template of a Job, as Kubernetes' Job controller does,
// because podman 4.3 does not support Jobs.
func (e *example) playJob(name string) {
	e.Helper()
	var job struct {
		Spec struct{ Template map[string]any }
	}
	require.NoError(e.T, yaml.Unmarshal(e.content, &job))
	pod := job.Spec.Template
	pod["apiVersion"], pod["kind"], pod["metadata"] = "v1", "Pod", map[string]any{"name": name}
	e.play(pod)
}

// pod returns the example's pod.
func (e *example) pod() (pod map[string]any) {
	e.Helper()
	require.NoError(e.T, yaml.Unmarshal(e.content, &pod))
	return pod
}

// play runs a pod with "podman kube play". If the pod has no restartPolicy, play sets
// OnFailure: with the default, Always, podman 4.3 would also restart init containers.
func (e *example) play(pod map[string]any) {
	e.Helper()
	spec := pod["spec"].(map[string]any)
	if spec["restartPolicy"] == nil {
		spec["restartPolicy"] = "OnFailure"
	}
	manifest, err := json.Marshal(pod)
	require.NoError(e.T, err)
	file := filepath.Join(e.TempDir(), "pod.json")
	require.NoError(e.T, os.WriteFile(file, manifest, 0o644))
	e.shell("cd " + filepath.Dir(file) + " && podman kube play " + filepath.Base(file))
}
