package main

import (
	"archive/tar"
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"
)

// The tests of this file do what the first comment of each example says, with
// the files as they stand, in real containers and pods, and compare what comes
// of it with what the comment says to expect. An image that an example names and
// this machine does not have is made of Debian's packages, and goes again.

var dockerExamples = map[string]func(*testing.T, *images){
	"nginx":       exampleNginx,
	"worker":      exampleWorker,
	"healthcheck": exampleHealthcheck,
	"migrations":  exampleMigrations,
	"compose":     exampleCompose,
}

var podExamples = map[string]func(*testing.T, engine){
	"sidecar":  exampleSidecar,
	"pre-stop": examplePreStop,
	"job":      exampleJob,
	"non-root": exampleNonRoot,
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

// Each folder has its test, and its line in the README.
func TestEveryExampleIsTested(t *testing.T) {
	tested := []string{"demo", "embed"} // make demo; TestExampleEmbed
	for name := range dockerExamples {
		tested = append(tested, name)
	}
	for name := range podExamples {
		tested = append(tested, name)
	}
	assert.ElementsMatch(t, tested, names(t, "../../examples"))
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	var listed []string
	for _, link := range regexp.MustCompile(`(?m)^\| \[.*?\]\(examples/([^/)]+)`).FindAllStringSubmatch(string(readme), -1) {
		listed = append(listed, link[1])
	}
	assert.ElementsMatch(t, tested, listed)
}

// ---- Docker

func exampleNginx(t *testing.T, images *images) {
	nginxInDocker(t, images, "nginx/Dockerfile", "usher-nginx")
}

func exampleDockerfile(t *testing.T, images *images) {
	nginxInDocker(t, images, "../Dockerfile.example", "usher-web")
}

// nginxInDocker stops a container in the middle of a download.
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

// imageForRegistry runs the README's "make image" with a name.
func imageForRegistry(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	command := regexp.MustCompile("`(make image IMAGE=(\\S+))`").FindStringSubmatch(string(readme))
	require.Len(t, command, 3)
	assert.Contains(t, readmeBlock(t, "pod"), "image: "+command[2]+"\n")
	docker.cleanup(t, "rmi", command[2])
	makes := exec.CommandContext(deadline(t), "sh", "-c", command[1])
	makes.Dir = sources(t)
	out, err := makes.CombinedOutput()
	require.NoError(t, err, "%s", out)
	docker.run(t, nil, "image", "inspect", command[2])
}

func exampleWorker(t *testing.T, images *images) {
	images.need(t, "usher", "busybox:1.36")
	e := readExample(t, "worker/Dockerfile", docker)
	e.run("docker build")
	e.run("docker run")
	worker := e.container("usher-worker")
	worker.stdout().wait("job 1 begins")
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
		events := docker.command(deadline(t), "events", "--since=1h", "--filter=event=health_status", "--filter=container="+c.id)
		follow(t, events).wait("health_status: " + status)
	}
	said := e.run("docker inspect")
	for _, line := range e.next() {
		assert.Contains(t, said, line)
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
	migrated.all().wait("start: ")
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
	started := web.all().wait("start: ")
	assert.False(t, started.before(db.all().wait("ready to accept connections")), "web started before PostgreSQL")
	assert.False(t, started.before(cache.all().wait("eady to accept connections")), "web started before Redis")
	e.run("docker")
	e.expects(web)

	lines := web.all()
	e.run("docker")
	lines.wait("usher: app was killed by SIGTERM")
}

// ---- pods

func exampleSidecar(t *testing.T, podman engine) {
	e := readExample(t, "sidecar/pod.yaml", podman)
	e.run("cd examples")
	nginx, writer := e.container("sidecar-nginx"), e.container("sidecar-writer")
	writer.stdout().wait("writing")
	nginx.stdout().wait(`"GET /index.html HTTP/1.1" 200`)
	// nginx writes its log after it has answered, so its moment says nothing. But it
	// sleeps for 3 s after it has made the page, and that changes the directory.
	started := writer.all().wait("usher: start: ")
	var made int64
	_, err := fmt.Sscan(nginx.exec("stat", "-c", "%Y", "/usr/share/nginx/html"), &made)
	require.NoError(t, err)
	assert.False(t, started.Before(time.Unix(made+3, 0)), "the writer started at %v, nginx made its page at %v", started, time.Unix(made, 0))
	_, said := writer.logs()
	assert.Regexp(t, `^usher: wait: \S+ is ready after .*\nusher: start: `, said)
	e.expects(writer)
	assert.Regexp(t, `^Hello\n.* UTC .*\n`, nginx.exec("cat", "/usr/share/nginx/html/index.html"), "the page has nothing of the writer's")

	logs := e.start(e.command("podman logs -f")) // until the writer has ended
	podman.run(t, nil, "stop", "--time=10", writer.id)
	assert.Equal(t, 143, writer.exitCode())
	assert.Equal(t, 0, logs.code())
	stdout, _ := writer.logs()
	assert.Equal(t, "writing\n", stdout, "the writer starts once")
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

// podman 4.3 knows no Job, so the test does what the controller of Jobs does: it
// makes a pod of the template.
func exampleJob(t *testing.T, podman engine) {
	e := readExample(t, "job/job.yaml", podman)
	e.commands = nil // kubectl's
	var job struct {
		Spec struct{ Template map[string]any }
	}
	require.NoError(t, yaml.Unmarshal(e.content, &job))
	pod := job.Spec.Template
	pod["apiVersion"], pod["kind"], pod["metadata"] = "v1", "Pod", map[string]any{"name": "report"}
	manifest, err := json.Marshal(pod)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "pod.json")
	require.NoError(t, os.WriteFile(file, manifest, 0o644))

	e.shell("cd " + filepath.Dir(file) + " && podman kube play " + filepath.Base(file))
	work, mesh := e.container("report-work"), e.container("report-mesh")
	podman.run(t, nil, "wait", work.id, mesh.id) // a mesh that is not told to quit stays
	assert.Equal(t, 0, work.exitCode())
	assert.Equal(t, 0, mesh.exitCode())
	e.expects(work)
}

func exampleNonRoot(t *testing.T, podman engine) {
	e := readExample(t, "non-root/pod.yaml", podman)
	e.run("cd examples")
	web := e.container("non-root-web")
	web.all().wait("usher: ready: ")
	assert.Contains(t, web.exec("grep", "-E", "^Cap(Prm|Eff|Bnd)", "/proc/1/status"), "CapBnd:\t0000000000000000")
	assert.Equal(t, "NoNewPrivs:\t1\n", web.exec("grep", "NoNewPrivs", "/proc/1/status"))
	assert.Equal(t, "65534\n", web.exec("id", "-u"))
	assert.Regexp(t, `(?m)^\S+ / \S+ ro,`, web.exec("cat", "/proc/mounts"), "the root file system can be written to")
	e.run("podman pod stop")
	assert.Equal(t, 143, web.exitCode())
	e.run("podman logs")
	e.expects(web)
}

// ---- no container

func TestExampleEmbed(t *testing.T) {
	e := readExample(t, "embed/main.go", nil)
	program := filepath.Join(t.TempDir(), "embed")
	out, err := exec.Command("go", "build", "-o", program, "../../examples/embed").CombinedOutput()
	require.NoError(t, err, "%s", out)

	// "go run" would say the exit status itself.
	command := strings.Replace(e.command("go run"), "go run ./examples/embed", program, 1)
	embed := e.start(command)
	assert.Equal(t, 143, embed.code())
	e.expected(embed.stdout.String(), embed.stderr.String())
}

// ---- what an example says

// example is the first comment of a file: blocks of indented lines, the first of
// them to be run, the others to be expected.
type example struct {
	*testing.T
	engine
	content  []byte
	commands []string
	blocks   [][]string
	env      []string
}

func readExample(t *testing.T, file string, engine engine) *example {
	t.Helper()
	content, err := os.ReadFile("../../examples/" + file)
	require.NoError(t, err)
	e := &example{T: t, engine: engine, content: content, env: os.Environ()}
	blocks := regexp.MustCompile(`(?m)(^(#    |//\t).*\n)+`)
	mark := regexp.MustCompile(`(?m)^(# +|//\t)`)
	comment := regexp.MustCompile(`^((#|//).*\n)+`).FindString(string(content))
	for _, block := range blocks.FindAllString(comment, -1) {
		e.blocks = append(e.blocks, strings.Split(strings.TrimSpace(mark.ReplaceAllString(block, "")), "\n"))
	}
	require.GreaterOrEqual(t, len(e.blocks), 2, "the comment says nothing to run, or nothing to expect")
	e.commands, e.blocks = e.blocks[0], e.blocks[1:]
	t.Cleanup(func() {
		if !t.Failed() && !t.Skipped() {
			assert.Empty(t, e.commands, "the test has not run all of the comment")
			assert.Empty(t, e.blocks, "the test has not looked for all that the comment says")
		}
	})
	if slices.Contains(engine, "podman") {
		e.podman()
		return e
	}
	// Names of this run alone, which go when the test has ended.
	for i, command := range e.commands {
		e.commands[i] = regexp.MustCompile(`\busher-[a-z-]+`).ReplaceAllStringFunc(command, e.own)
		for _, made := range regexp.MustCompile(`(-t|--name) (usher-\S+)`).FindAllStringSubmatch(e.commands[i], -1) {
			docker.cleanup(t, map[string]string{"-t": "rmi", "--name": "rm"}[made[1]], "--force", made[2])
		}
	}
	return e
}

// own is what a name of the comment is called in this run.
func (e *example) own(name string) string {
	if slices.Contains(e.engine, "podman") {
		return name // all that this podman has is this run's
	}
	return fmt.Sprintf("%s-%d", name, os.Getpid())
}

// podman lets the word in commands mean the podman of this test, whose pods have
// no network but loopback.
func (e *example) podman() {
	e.engine.cleanup(e.T, "pod", "rm", "--all", "--force", "--time=0")
	dir := e.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
		PATH='%s'
		case "$1 $2" in "kube play") shift 2; set -- kube play --network=none "$@" ;; esac
		exec '%s' "$@"
		`, os.Getenv("PATH"), strings.Join(e.engine, "' '"))
	require.NoError(e.T, os.WriteFile(filepath.Join(dir, "podman"), []byte(script), 0o755))
	e.env = append(e.env, "PATH="+dir+":"+os.Getenv("PATH"))
}

// compose gives the project a name of its own, and calls a docker-compose that is
// not docker's plugin by its name.
func (e *example) compose() (project string) {
	e.Helper()
	compose := "docker compose"
	if docker.command(deadline(e.T), "compose", "version").Run() != nil {
		if compose = "docker-compose"; exec.Command(compose, "version").Run() != nil {
			skip(e.T, "no Compose on this machine (Debian: docker-compose)")
		}
	}
	for i, command := range e.commands {
		e.commands[i] = strings.Replace(command, "docker compose", compose, 1)
	}
	project = e.own("usher-test")
	e.env = append(e.env, "COMPOSE_PROJECT_NAME="+project)
	down := e.commands[len(e.commands)-1] + " --volumes --rmi local --timeout 0"
	e.Cleanup(func() { e.start(down).code() })
	return project
}

// command is the next one of the comment.
func (e *example) command(words string) string {
	e.Helper()
	require.NotEmpty(e.T, e.commands, "the comment has no further command, such as %q", words)
	command := e.commands[0]
	require.True(e.T, strings.HasPrefix(command, words), "the next command is %q, not %q", command, words)
	e.commands = e.commands[1:]
	return command
}

// started is a command under way.
type started struct {
	*exec.Cmd
	stdout, stderr strings.Builder
}

// start starts a command as a user would, who is in the repository's directory.
func (e *example) start(command string) *started {
	e.Helper()
	s := &started{Cmd: exec.CommandContext(deadline(e.T), "sh", "-c", command)}
	s.Dir, s.Env = "../..", e.env
	s.Stdout, s.Stderr = &s.stdout, &s.stderr
	require.NoError(e.T, s.Start())
	return s
}

func (s *started) code() int {
	_ = s.Wait()
	return s.ProcessState.ExitCode()
}

// run runs the next command of the comment, which begins with the words, and
// succeeds.
func (e *example) run(words string) string {
	e.Helper()
	return e.shell(e.command(words))
}

func (e *example) shell(command string) string {
	e.Helper()
	s := e.start(command)
	require.Equal(e.T, 0, s.code(), "%s\n%s%s", command, &s.stdout, &s.stderr)
	return s.stdout.String()
}

// next is the next block of what is to be expected.
func (e *example) next() []string {
	e.Helper()
	require.NotEmpty(e.T, e.blocks, "the comment says nothing more to expect")
	block := e.blocks[0]
	e.blocks = e.blocks[1:]
	return block
}

func (e *example) expects(c *container) {
	e.Helper()
	e.expected(c.logs())
}

// expected compares the next block with a log: all that usher itself has said,
// and the end of what the app has. They come out of two pipes, so nothing is said
// of the order between them.
func (e *example) expected(stdout, stderr string) {
	e.Helper()
	var ours, apps []string
	said := regexp.MustCompile(`^(usher|embed): `)
	for _, line := range e.next() {
		if said.MatchString(line) {
			ours = append(ours, line)
		} else {
			apps = append(apps, steady(line))
		}
	}
	var got []string
	for line := range strings.Lines(stderr) {
		if said.MatchString(line) && !strings.Contains(line, ": still waiting after ") {
			got = append(got, line)
		}
	}
	if assert.Equal(e.T, inOrder(ours), inOrder(got), "%s", stderr) {
		summary, steps := got[len(got)-1], longSteps(ours[len(ours)-1])
		assert.Subset(e.T, longSteps(summary), steps, summary)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	assert.Equal(e.T, apps, inOrder(lines[max(0, len(lines)-len(apps)):]), "%s", stdout)
}

// inOrder is lines without what differs from run to run; targets that are waited
// for say yes in any order.
func inOrder(lines []string) []string {
	var all []string
	for _, line := range lines {
		all = append(all, steady(strings.TrimSpace(line)))
	}
	waits := 0
	for waits < len(all) && strings.HasPrefix(all[waits], "usher: wait: ") {
		waits++
	}
	slices.Sort(all[:waits])
	return all
}

// steady is a line without its times, pids and counts.
func steady(line string) string {
	line, _, _ = strings.Cut(line, "; shutdown took ")
	line = regexp.MustCompile(`\b\d+ (attempt|process)(es|s)?\b`).ReplaceAllString(line, "N $1")
	return regexp.MustCompile(`\b(after|in|pid|job) [\d.hms]+\b`).ReplaceAllString(line, "$1 N")
}

// longSteps are the steps of the shutdown that the summary says took a second or more.
func longSteps(summary string) []string {
	var names []string
	for _, step := range regexp.MustCompile(`[:,] ([a-z-]+) [1-9][\d.]*s\b`).FindAllStringSubmatch(summary, -1) {
		names = append(names, step[1])
	}
	return names
}

// container is one that the comment's commands make.
func (e *example) container(name string) *container {
	c := &container{e.T, e.engine, e.own(name)}
	c.logsOnFailure(name)
	return c
}

func (c *container) inspect(format string) string {
	c.Helper()
	return strings.TrimSpace(c.run(c.T, nil, "inspect", "--format", format, c.id))
}

// all follows both streams of a container.
func (c *container) all() *follower {
	c.Helper()
	return follow(c.T, c.command(deadline(c.T), "logs", "--follow", "--timestamps", c.id))
}

// follow follows what a command writes to both streams.
func follow(t *testing.T, cmd *exec.Cmd) *follower {
	t.Helper()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &follower{t, bufio.NewScanner(out)}
}

// stopInDownload runs the comment's stop in the middle of a download: the client
// has read a byte of many more than the sockets hold, and reads on when nginx has
// got its signal.
func (e *example) stopInDownload(nginx *container, client engine, host, stop string) {
	e.Helper()
	nginx.exec("truncate", "-s", "32M", "/usr/share/nginx/html/large")
	get := func(file string) *exec.Cmd {
		return client.command(deadline(e.T), "wget", "-q", "-O", "-", "http://"+host+"/"+file)
	}
	eventually(e.T, func() bool { return get("index.html").Run() == nil }, func() string { return "nginx does not serve" })

	wget := get("large")
	body, err := wget.StdoutPipe()
	require.NoError(e.T, err)
	require.NoError(e.T, wget.Start())
	_, err = io.ReadFull(body, make([]byte, 1))
	require.NoError(e.T, err, "the download does not begin")
	stopping := e.start(e.command(stop))
	// nginx finishes what it has, and takes nothing new: the stop has come.
	eventually(e.T, func() bool { return get("index.html").Run() != nil }, func() string { return "nginx is not stopped" })
	rest, err := io.Copy(io.Discard, body)
	assert.NoError(e.T, err)
	assert.NoError(e.T, wget.Wait(), "the download is cut")
	assert.EqualValues(e.T, 32<<20, 1+rest)
	assert.Equal(e.T, 0, stopping.code())
}

// ---- the images that examples name

// lockImages waits until no other run of the tests on this machine uses the images
// that the examples name, such as nginx:1.27: each run removes those it has made.
// The lock is on the directory for temporary files, so it leaves no file behind.
func lockImages(t *testing.T) {
	t.Helper()
	dir, err := os.Open(os.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { dir.Close() })
	require.NoError(t, syscall.Flock(int(dir.Fd()), syscall.LOCK_EX))
}

// images are those that the examples need, made when first needed.
type images struct {
	parent *testing.T // they go at its end
	mu     sync.Mutex
	made   map[string]bool
}

func (i *images) need(t *testing.T, names ...string) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, name := range names {
		if i.made[name] {
			continue
		}
		if name == "usher" {
			i.usher(t)
		} else if docker.command(deadline(t), "image", "inspect", name).Run() != nil { // somebody's own is used, and left alone
			root, dockerfile := standIns[name](t)
			docker.cleanup(i.parent, "rmi", name)
			docker.run(t, strings.NewReader("FROM "+root.image("base")+"\nENV PATH=/usr/sbin:/usr/bin:/bin\n"+dockerfile), "build", "--tag", name, "-")
		}
		i.made[name] = true
	}
}

// usher makes usher's own image, as every example says. An older one of that name
// gets it back.
func (i *images) usher(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		skip(t, "needs make")
	}
	if older, err := docker.command(deadline(t), "image", "inspect", "--format", "{{.Id}}", "usher").Output(); err == nil {
		docker.cleanup(i.parent, "tag", strings.TrimSpace(string(older)), "usher")
	}
	docker.cleanup(i.parent, "rmi", "usher")
	makes := exec.CommandContext(deadline(t), "make", "image")
	makes.Dir = sources(t)
	out, err := makes.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// podman brings images to podman.
func (i *images) podman(t *testing.T, podman engine, names ...string) {
	t.Helper()
	i.need(t, names...)
	save := docker.command(deadline(t), append([]string{"save"}, names...)...)
	archive, err := save.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, save.Start())
	podman.run(t, archive, "load")
	require.NoError(t, save.Wait())
}

// standIns makes the images out of this machine's packages; what an example needs
// of the real ones is the same: paths, users, stop signals, and when the server
// can be reached.
var standIns = map[string]func(*testing.T) (root *rootfs, dockerfile string){
	"busybox:1.36":      standInBusybox,
	"busybox:1.36-musl": standInBusybox,
	"nginx:1.27": func(t *testing.T) (*rootfs, string) {
		return nginxRoot(t), "STOPSIGNAL SIGQUIT"
	},
	"redis:7": func(t *testing.T) (*rootfs, string) {
		root := newRootfs(t)
		root.program("redis-server")
		return root, `CMD ["redis-server", "--protected-mode", "no"]`
	},
	"postgres:16": standInPostgres,
}

func standInBusybox(t *testing.T) (*rootfs, string) {
	root := newRootfs(t)
	root.busybox()
	root.write(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp", Mode: 0o1777}, nil)
	return root, ""
}

// standInPostgres makes a new database and then, as the real image does, a server
// that others can reach.
func standInPostgres(t *testing.T) (*rootfs, string) {
	t.Helper()
	servers, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	require.NoError(t, err)
	if len(servers) == 0 {
		skip(t, "no PostgreSQL on this machine (Debian: postgresql)")
	}
	bin := filepath.Dir(servers[len(servers)-1])
	root := newRootfs(t)
	root.busybox()
	root.program(filepath.Join(bin, "postgres"))
	root.program(filepath.Join(bin, "initdb"))
	for _, lib := range []string{"plpgsql.so", "dict_snowball.so"} {
		root.copy(filepath.Join(bin, "../lib", lib), filepath.Join(bin, "../lib", lib))
	}
	share := strings.Replace(filepath.Dir(bin), "/lib/", "/share/", 1)
	require.NoError(t, filepath.WalkDir(share, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			root.copy(path, path)
		}
		return err
	}))
	root.file("etc/passwd", 0o644, []byte("postgres:x:999:999::/:/bin/sh\n"))
	for _, dir := range []string{"data", "var/run/postgresql"} {
		root.write(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o700, Uid: 999, Gid: 999}, nil)
	}
	root.file("entrypoint", 0o755, fmt.Appendf(nil, `#!/bin/sh -e
PATH=%s:$PATH PGDATA=/data
export PGDATA
initdb --username="$POSTGRES_USER" --auth=trust --no-locale --no-sync
echo "host all all all $POSTGRES_HOST_AUTH_METHOD" >>/data/pg_hba.conf
echo "CREATE DATABASE $POSTGRES_USER" | postgres --single postgres
exec postgres -c listen_addresses='*'
`, bin))
	return root, "USER postgres\nSTOPSIGNAL SIGINT\n" + `ENTRYPOINT ["/entrypoint"]`
}

// program puts a program of this machine in, with the libraries it needs.
func (r *rootfs) program(name string) {
	r.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skip(r.T, fmt.Sprintf("no %s on this machine (Debian: postgresql, redis-server)", name))
	}
	libs, err := exec.CommandContext(deadline(r.T), "ldd", path).Output()
	require.NoError(r.T, err)
	r.once(path)
	for _, lib := range regexp.MustCompile(`/\S+`).FindAllString(string(libs), -1) {
		r.once(lib)
	}
}

// once puts a file in where it is on this machine, if it is not in already.
func (r *rootfs) once(path string) {
	r.Helper()
	if !r.made[path] {
		r.made[path] = true
		r.copy(path, path)
	}
}

// ---- Kubernetes

// The fields of Kubernetes' API that the examples use, with their types. This
// finds a field that is misspelt, has the wrong type or stands in the wrong place,
// which podman passes over; it knows nothing of what a cluster admits.
type (
	kubeJob struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   kubeMeta `json:"metadata"`
		Spec       struct {
			BackoffLimit *int32 `json:"backoffLimit,omitempty"`
			Template     struct {
				Spec kubePodSpec `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	kubePod struct {
		APIVersion string      `json:"apiVersion"`
		Kind       string      `json:"kind"`
		Metadata   kubeMeta    `json:"metadata"`
		Spec       kubePodSpec `json:"spec"`
	}
	kubeMeta struct {
		Name string `json:"name"`
	}
	kubePodSpec struct {
		RestartPolicy                 string          `json:"restartPolicy,omitempty"`
		TerminationGracePeriodSeconds *int64          `json:"terminationGracePeriodSeconds,omitempty"`
		SecurityContext               *kubePodContext `json:"securityContext,omitempty"`
		InitContainers                []kubeContainer `json:"initContainers,omitempty"`
		Containers                    []kubeContainer `json:"containers"`
		Volumes                       []kubeVolume    `json:"volumes,omitempty"`
	}
	kubePodContext struct {
		RunAsNonRoot *bool  `json:"runAsNonRoot,omitempty"`
		RunAsUser    *int64 `json:"runAsUser,omitempty"`
		RunAsGroup   *int64 `json:"runAsGroup,omitempty"`
		FSGroup      *int64 `json:"fsGroup,omitempty"`

		SeccompProfile *struct {
			Type string `json:"type"`
		} `json:"seccompProfile,omitempty"`
	}
	kubeContainer struct {
		Name            string                `json:"name"`
		Image           string                `json:"image"`
		ImagePullPolicy string                `json:"imagePullPolicy,omitempty"`
		Command         []string              `json:"command,omitempty"`
		Args            []string              `json:"args,omitempty"`
		VolumeMounts    []kubeMount           `json:"volumeMounts,omitempty"`
		SecurityContext *kubeContainerContext `json:"securityContext,omitempty"`
	}
	kubeContainerContext struct {
		ReadOnlyRootFilesystem   *bool `json:"readOnlyRootFilesystem,omitempty"`
		AllowPrivilegeEscalation *bool `json:"allowPrivilegeEscalation,omitempty"`
		Capabilities             *struct {
			Drop []string `json:"drop,omitempty"`
		} `json:"capabilities,omitempty"`
	}
	kubeMount struct {
		Name      string `json:"name"`
		MountPath string `json:"mountPath"`
		ReadOnly  bool   `json:"readOnly,omitempty"`
	}
	kubeVolume struct {
		Name     string    `json:"name"`
		EmptyDir *struct{} `json:"emptyDir,omitempty"`
	}
)

func TestExampleManifestsFitKubernetes(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/*.yaml")
	require.NoError(t, err)
	manifests := map[string][]byte{"README": []byte(readmeBlock(t, "pod"))}
	for _, file := range files {
		if filepath.Base(file) == "compose.yaml" {
			continue
		}
		manifests[filepath.Base(filepath.Dir(file))], err = os.ReadFile(file)
		require.NoError(t, err)
	}
	require.Len(t, manifests, 1+len(podExamples))
	for name, manifest := range manifests {
		t.Run(name, func(t *testing.T) {
			var written map[string]any
			require.NoError(t, yaml.Unmarshal(manifest, &written)) // refuses a key that is there twice
			if written["kind"] == "Job" {
				var job kubeJob
				decode(t, written, &job)
				assert.Equal(t, "batch/v1", job.APIVersion)
				assert.Contains(t, []string{"Never", "OnFailure"}, job.Spec.Template.Spec.RestartPolicy)
				job.Spec.Template.Spec.check(t)
				return
			}
			var pod kubePod
			decode(t, written, &pod)
			assert.Equal(t, "v1 Pod", pod.APIVersion+" "+pod.Kind)
			assert.Contains(t, []string{"", "Always", "Never", "OnFailure"}, pod.Spec.RestartPolicy)
			pod.Spec.check(t)
		})
	}
}

// decode finds what the type does not know, in upper and lower case, by what is
// not there any more when it has gone through it.
func decode(t *testing.T, written map[string]any, into any) {
	t.Helper()
	before, err := json.Marshal(written)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(before, into))
	after, err := json.Marshal(into)
	require.NoError(t, err)
	assert.JSONEq(t, string(before), string(after))
}

// check finds what the API server would refuse although every field is known, and
// a --grace that does not fit into the pod's.
func (s *kubePodSpec) check(t *testing.T) {
	t.Helper()
	label := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	grace := int64(30)
	if s.TerminationGracePeriodSeconds != nil {
		grace = *s.TerminationGracePeriodSeconds
	}
	mounted := map[string]bool{}
	for _, v := range s.Volumes {
		assert.Regexp(t, label, v.Name)
		mounted[v.Name] = false
	}
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		assert.Regexp(t, label, c.Name)
		assert.NotEmpty(t, c.Image)
		assert.Contains(t, []string{"", "Always", "Never", "IfNotPresent"}, c.ImagePullPolicy)
		for _, m := range c.VolumeMounts {
			assert.Contains(t, mounted, m.Name, "no such volume")
			assert.True(t, filepath.IsAbs(m.MountPath), m.MountPath)
			mounted[m.Name] = true
		}
		for _, arg := range c.Args {
			if strings.HasPrefix(arg, "--grace=") {
				d, err := time.ParseDuration(strings.TrimPrefix(arg, "--grace="))
				require.NoError(t, err)
				assert.LessOrEqual(t, d, time.Duration(grace-2)*time.Second)
			}
		}
	}
	assert.NotContains(t, slices.Collect(maps.Values(mounted)), false, "a volume is not mounted")
}
