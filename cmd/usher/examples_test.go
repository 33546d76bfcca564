package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests in this file and in exampleplatforms_test.go run the examples. They run the
// commands in the first comment of an example, unless the commands need a platform that is
// not on this machine, and compare the output with the output in that comment. If this
// machine does not have an image of another project, such as nginx:1.27, the test makes it
// from the machine's Debian packages, and removes it at the end.

var dockerExamples = map[string]func(*testing.T, *images){
	"nginx":       exampleNginx,
	"worker":      exampleWorker,
	"healthcheck": exampleHealthcheck,
	"migrations":  exampleMigrations,
	"compose":     exampleCompose,
	"ecs":         exampleECS,
	"nomad":       exampleNomad,
	"cloud-run":   exampleCloudRun,
	"systemd":     exampleSystemd,
}

var podExamples = map[string]func(*testing.T, engine){
	"sidecar":        exampleSidecar,
	"pre-stop":       examplePreStop,
	"job":            exampleJob,
	"non-root":       exampleNonRoot,
	"image-volume":   exampleImageVolume,
	"restart-policy": exampleRestartPolicy,
	"post-start":     examplePostStart,
	"probes":         exampleProbes,
	"quadlet":        exampleQuadlet,
}

func TestExamples(t *testing.T) {
	needDocker(t)
	t.Parallel()
	lockImages(t)
	images := &images{parent: t, made: map[string]bool{}}
	for name, test := range dockerExamples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, images)
		})
	}
	t.Run("Dockerfile.example", func(t *testing.T) {
		t.Parallel()
		exampleDockerfile(t, images)
	})
	t.Run("image for a registry", func(t *testing.T) {
		t.Parallel()
		imageForRegistry(t)
	})
	t.Run("pods", func(t *testing.T) {
		t.Parallel()
		podman := needPodman(t)
		images.podman(t, podman, "usher", "busybox:1.36", "nginx:1.27")
		for name, test := range podExamples {
			t.Run(name, func(t *testing.T) { test(t, podman) })
		}
	})
}

// Each directory in examples/ has a test, and one link in a table of the README.
func TestEveryExampleIsTested(t *testing.T) {
	tested := []string{"demo", "embed", "wait-for-job"} // tested by TestReadmeShowsTheOutputOfTheDemo, TestExampleEmbed and TestExampleWaitForJob
	for name := range dockerExamples {
		tested = append(tested, name)
	}
	for name := range podExamples {
		tested = append(tested, name)
	}
	folders := slices.DeleteFunc(names(t, "../../examples"), func(name string) bool { return filepath.Ext(name) == ".md" })
	assert.ElementsMatch(t, tested, folders)
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	var listed []string
	for _, row := range regexp.MustCompile(`(?m)^\| \[.*?\]\(examples/.*`).FindAllString(string(readme), -1) {
		for _, link := range regexp.MustCompile(`\(examples/([^/)]+)/`).FindAllStringSubmatch(row, -1) {
			listed = append(listed, link[1])
		}
	}
	assert.ElementsMatch(t, tested, listed)
}

func exampleNginx(t *testing.T, images *images) {
	nginxInDocker(t, images, "nginx/Dockerfile", "usher-nginx")
}

func exampleDockerfile(t *testing.T, images *images) {
	nginxInDocker(t, images, "../Dockerfile.example", "usher-web")
}

// nginxInDocker runs an example that stops nginx in the middle of a download.
func nginxInDocker(t *testing.T, images *images, file, name string) {
	images.need(t, "usher", "nginx:1.27")
	e := readExample(t, file, docker)
	e.run("docker build")
	e.run("docker run")
	nginx := e.container(name)
	address := nginx.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
	e.stopInDownload(nginx, engine{"busybox"}, address, "docker stop")
	assert.Equal(t, 0, nginx.exitCode())
	e.run("docker logs")
	e.expects(nginx)
}

// imageForRegistry runs the command "make image IMAGE=..." of the README. The pod in the
// README must use an image of the same name.
func imageForRegistry(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	command := regexp.MustCompile("`(make image IMAGE=(\\S+))`").FindStringSubmatch(string(readme))
	require.Len(t, command, 3)
	assert.Contains(t, readmeBlock(t, "pod"), "image: "+command[2]+"\n")
	docker.cleanup(t, "rmi", command[2])
	out, _, code := launcher{hostPID: true, merged: true, dir: sources(t)}.run(t, "sh", "-c", command[1])
	require.Equal(t, 0, code, lastLines(out))
	docker.run(t, nil, "image", "inspect", command[2])
}

func exampleWorker(t *testing.T, images *images) {
	images.need(t, "usher", "busybox:1.36")
	e := readExample(t, "worker/Dockerfile", docker)
	e.run("docker build")
	e.run("docker run")
	worker := e.container("usher-worker")
	worker.stdout().expect("job 1 begins")
	e.run("docker stop")
	assert.Equal(t, 0, worker.exitCode())
	e.run("docker logs")
	e.expects(worker)
}

func exampleHealthcheck(t *testing.T, images *images) {
	images.need(t, "usher", "busybox:1.36-musl")
	e := readExample(t, "healthcheck/Dockerfile", docker)
	e.run("docker build")
	healthy, unhealthy := e.container("usher-healthy"), e.container("usher-unhealthy")
	e.run("docker run")
	e.run("docker run")
	for c, status := range map[*container]string{healthy: "healthy", unhealthy: "unhealthy"} {
		c.waitForHealth(status)
	}
	out := e.run("docker inspect")
	for _, line := range e.next() {
		assertPrinted(t, out, line)
	}
	assert.False(t, healthy.try("sh", "-c", "true"), "there is a shell in the image")
	assert.True(t, healthy.try("/usher", "--probe", "http://localhost:8080/"))
}

func exampleMigrations(t *testing.T, images *images) {
	images.need(t, "usher", "busybox:1.36")
	e := readExample(t, "migrations/Dockerfile", docker)
	e.run("docker build")
	e.run("docker run -d")
	migrated := e.container("usher-migrated")
	migrated.all().expect("usher: start: ")
	e.run("docker logs")
	e.expects(migrated)

	assert.Equal(t, 125, e.start(e.command("docker run")).code())
	e.expects(e.container("usher-not-migrated"))
}

func exampleCompose(t *testing.T, images *images) {
	images.need(t, "usher", "busybox:1.36", "postgres:16", "redis:7")
	e := readExample(t, "compose/compose.yaml", docker)
	project := e.compose()
	e.run("docker")
	of := func(service string) *container {
		label := "label=com.docker.compose."
		id := docker.run(t, nil, "ps", "--all", "--quiet", "--filter", label+"project="+project, "--filter", label+"service="+service)
		c := &container{t, docker, strings.TrimSpace(id)}
		c.logsOnFailure(service)
		return c
	}
	web, db, cache := of("web"), of("db"), of("cache")
	started := timeOf(t, web.all().expect("usher: start: "))
	assert.False(t, started.Before(timeOf(t, db.all().expect("ready to accept connections"))), "web started before PostgreSQL")
	assert.False(t, started.Before(timeOf(t, cache.all().expect("eady to accept connections"))), "web started before Redis")
	e.run("docker")
	e.expects(web)
	web.waitForHealth("healthy")

	lines := web.all()
	lines.expect("usher: start: ") // docker logs must follow the log before the container is removed
	e.run("docker")
	lines.expect("usher: app was killed by SIGTERM")
}

func exampleSidecar(t *testing.T, podman engine) {
	e := readExample(t, "sidecar/pod.yaml", podman)
	e.run("cd examples")
	nginx, writer := e.container("sidecar-nginx"), e.container("sidecar-writer")
	writer.stdout().expect("writing")
	nginx.stdout().expect(`"GET /index.html HTTP/1.1" 200`)
	// The writer must start after nginx. nginx's log line cannot prove that, because nginx
	// logs a request after it has sent the response. But the container makes nginx's page 3 s
	// before it starts nginx. The test takes the time at which the page was made from
	// the modification time of the page's directory, because the writer changes the page, but
	// not the directory.
	started := timeOf(t, writer.all().expect("usher: start: "))
	var made int64
	_, err := fmt.Sscan(nginx.exec("stat", "-c", "%Y", "/usr/share/nginx/html"), &made)
	require.NoError(t, err)
	assert.False(t, started.Before(time.Unix(made+3, 0)), "the writer started at %v, nginx made its page at %v", started, time.Unix(made, 0))
	_, out := writer.logs()
	assertPrintedMatch(t, out, `(?m)^usher: wait: \S+ is ready after .*\nusher: start: `)
	e.expects(writer)
	assert.Regexp(t, `^Hello\n.* UTC .*\n`, nginx.exec("cat", "/usr/share/nginx/html/index.html"), "the writer has not written to the page")

	logs := e.start(e.command("podman logs -f")) // podman logs -f exits when the writer exits
	podman.run(t, nil, "stop", "--time=10", writer.id)
	assert.Equal(t, 143, writer.exitCode())
	assert.Equal(t, 0, logs.code())
	stdout, _ := writer.logs()
	assert.Equal(t, "writing\n", stdout, "the writer must start only once")
}

func examplePreStop(t *testing.T, podman engine) {
	e := readExample(t, "pre-stop/pod.yaml", podman)
	e.run("cd examples")
	nginx := e.container("pre-stop-nginx")
	network := "--net=/proc/" + nginx.inspect("{{.State.Pid}}") + "/ns/net"
	e.stopInDownload(nginx, engine{"nsenter", network, "busybox"}, "127.0.0.1", "podman pod stop")
	assert.Equal(t, 0, nginx.exitCode())
	e.run("podman logs")
	e.expects(nginx)
}

func exampleJob(t *testing.T, podman engine) {
	e := readExample(t, "job/job.yaml", podman)
	e.commands = nil // not run, because these commands need kubectl
	e.playJob("report")
	work, mesh := e.container("report-work"), e.container("report-mesh")
	podman.run(t, nil, "wait", work.id, mesh.id) // mesh exits when the post-stop hook of work sends it a request for /quitquitquit
	assert.Equal(t, 0, work.exitCode())
	assert.Equal(t, 0, mesh.exitCode())
	e.expects(work)
}

func exampleNonRoot(t *testing.T, podman engine) {
	e := readExample(t, "non-root/pod.yaml", podman)
	e.run("cd examples")
	web := e.container("non-root-web")
	web.all().expect("usher: ready: ")
	assertPrinted(t, web.exec("grep", "-E", "^Cap(Prm|Eff|Bnd)", "/proc/1/status"), "CapBnd:\t0000000000000000")
	assert.Equal(t, "NoNewPrivs:\t1\n", web.exec("grep", "NoNewPrivs", "/proc/1/status"))
	assert.Equal(t, "65534\n", web.exec("id", "-u"))
	assert.Regexp(t, `(?m)^\S+ / \S+ ro,`, web.exec("cat", "/proc/mounts"), "the root file system can be written to")
	e.run("podman pod stop")
	assert.Equal(t, 143, web.exitCode())
	e.run("podman logs")
	e.expects(web)
}

func TestExampleEmbed(t *testing.T) {
	e := readExample(t, "embed/main.go", nil)
	program := filepath.Join(t.TempDir(), "embed")
	_, stderr, code := launcher{hostPID: true}.run(t, "go", "build", "-o", program, "../../examples/embed")
	require.Equal(t, 0, code, lastLines(stderr))

	// The test runs the program directly, because "go run" exits with 1 whenever the program
	// exits with a code other than 0.
	// It gives the program a longer time limit than the comment does, because sh must print its
	// line before that.
	command := strings.Replace(e.command("go run"), "go run ./examples/embed 1s", program+" 5s", 1)
	embed := e.start(command)
	assert.Equal(t, 143, embed.code())
	e.expected(embed.stdout.rest(), embed.stderr.rest())
}
