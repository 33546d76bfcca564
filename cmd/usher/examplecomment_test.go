package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// example is a file in examples/, or Dockerfile.example. It begins with a comment that has
// blocks of indented lines: the first block contains commands, and the other blocks contain
// their output.
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
	require.GreaterOrEqual(t, len(e.blocks), 2, "the comment has no command, or no output")
	e.commands, e.blocks = e.blocks[0], e.blocks[1:]
	t.Cleanup(func() {
		if !t.Failed() && !t.Skipped() {
			assert.Empty(t, e.commands, "commands that the test did not run")
			assert.Empty(t, e.blocks, "output that the test did not compare")
		}
	})
	if slices.Contains(engine, "podman") {
		e.podman()
		return e
	}
	// The names of images and containers get a suffix, so that two runs of the tests at the
	// same time do not use the same names.
	for i, command := range e.commands {
		e.commands[i] = regexp.MustCompile(`\busher-[a-z-]+`).ReplaceAllStringFunc(command, e.own)
		for _, made := range regexp.MustCompile(`(-t|--name) (usher-\S+)`).FindAllStringSubmatch(e.commands[i], -1) {
			docker.cleanup(t, map[string]string{"-t": "rmi", "--name": "rm"}[made[1]], "--force", made[2])
		}
	}
	return e
}

// own returns the name that the test uses for an image or container. name is its name in
// the example's comment.
func (e *example) own(name string) string {
	if slices.Contains(e.engine, "podman") {
		return name // not a unique name, because no other run of the tests uses this podman
	}
	return fmt.Sprintf("%s-%d", name, os.Getpid())
}

// podman makes a script named podman and puts it first in PATH. The script runs the podman
// of this test, and gives pods only a loopback network.
func (e *example) podman() {
	e.engine.cleanup(e.T, "pod", "rm", "--all", "--force", "--time=0")
	dir := e.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
		PATH='%s'
		case "$1 $2" in "kube play") shift 2; set -- kube play --network=none "$@" ;; esac
		exec '%s' "$@"
		`, os.Getenv("PATH"), strings.Join(e.engine, "' '"))
	writeProgram(e.T, filepath.Join(dir, "podman"), script)
	e.env = append(e.env, "PATH="+dir+":"+os.Getenv("PATH"))
}

// compose sets and returns the name of the Compose project. At the end of the test the project
// is removed by the comment's last command, "docker compose down". If docker does not have the
// compose plugin, compose replaces "docker compose" in the commands by "docker-compose".
func (e *example) compose() (project string) {
	e.Helper()
	compose := "docker compose"
	if !docker.succeeds(e.T, "compose", "version") {
		compose = "docker-compose"
		if _, err := exec.LookPath(compose); err != nil {
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

// command returns the comment's next command. It fails the test if the command does not
// begin with the given words.
func (e *example) command(words string) string {
	e.Helper()
	require.NotEmpty(e.T, e.commands, "the comment has no further command, such as %q", words)
	command := e.commands[0]
	require.True(e.T, strings.HasPrefix(command, words), "the next command is %q, not %q", command, words)
	e.commands = e.commands[1:]
	return command
}

// start starts a command in the root directory of the repository.
func (e *example) start(command string) *process {
	e.Helper()
	return launcher{hostPID: true, dir: "../..", env: e.env}.start(e.T, "sh", "-c", command)
}

// run runs the comment's next command and returns its stdout. It fails the test if the
// command does not begin with the given words, or does not exit with 0.
func (e *example) run(words string) string {
	e.Helper()
	return e.shell(e.command(words))
}

func (e *example) shell(command string) string {
	e.Helper()
	p := e.start(command)
	require.Equal(e.T, 0, p.code(), command)
	return p.stdout.rest()
}

// next returns the next block of expected output.
func (e *example) next() []string {
	e.Helper()
	require.NotEmpty(e.T, e.blocks, "the comment has no further output")
	block := e.blocks[0]
	e.blocks = e.blocks[1:]
	return block
}

func (e *example) expects(c *container) {
	e.Helper()
	e.expected(c.logs())
}

// expected compares the next block with the output of a container. Lines of the block that
// begin with "usher: " (or "embed: ", as in examples/embed) must be on stderr. The other
// lines must be the last lines on stdout. Times, pids and counts may differ (see steady). A step
// of the shutdown that takes a second or longer in the block must be in the real summary, with
// any duration, because a step is shorter if the test sends the stop signal late. The
// order between lines of the two streams is not checked, because the streams are separate
// pipes.
func (e *example) expected(stdout, stderr string) {
	e.Helper()
	var ours, apps []string
	own := regexp.MustCompile(`^(usher|embed): `)
	for _, line := range e.next() {
		if own.MatchString(line) {
			ours = append(ours, line)
		} else {
			apps = append(apps, steady(line))
		}
	}
	var got []string
	for line := range strings.Lines(stderr) {
		if own.MatchString(line) && !strings.Contains(line, ": still waiting after ") {
			got = append(got, line)
		}
	}
	if assert.Equal(e.T, inOrder(ours), inOrder(got), "%s", lastLines(stderr)) {
		summary := got[len(got)-1]
		assert.Subset(e.T, steps(summary, `\d`), steps(ours[len(ours)-1], `[1-9][\d.]*s\b`), summary)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	assert.Equal(e.T, apps, inOrder(lines[max(0, len(lines)-len(apps)):]), "%s", lastLines(stdout))
}

// inOrder removes the values that differ from run to run. It sorts the lines about targets
// at the beginning of the log, because targets become ready in any order.
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

// steady replaces times, pids, the numbers of jobs and counts in a line by N, and cuts the
// times of the shutdown's steps off the summary.
func steady(line string) string {
	line, _, _ = strings.Cut(line, "; shutdown took ")
	line = regexp.MustCompile(`\b\d+ (attempt|process)(es|s)?\b`).ReplaceAllString(line, "N $1")
	return regexp.MustCompile(`\b(after|in|pid|job) [\d.hms]+\b`).ReplaceAllString(line, "$1 N")
}

// steps returns the names of the shutdown's steps whose duration matches the pattern took.
func steps(summary, took string) []string {
	var names []string
	for _, step := range regexp.MustCompile(`[:,] ([a-z-]+) `+took).FindAllStringSubmatch(summary, -1) {
		names = append(names, step[1])
	}
	return names
}

// container returns the container that has the given name in the example's comment.
func (e *example) container(name string) *container {
	c := &container{e.T, e.engine, e.own(name)}
	c.logsOnFailure(name)
	return c
}

// stopInDownload runs the comment's stop command in the middle of a download. The client
// reads one byte before the stop, and the other bytes after the stop. The file is larger than
// the buffers of the sockets, so nginx has to send a part of the file after the stop.
func (e *example) stopInDownload(nginx *container, client engine, host, stop string) {
	e.Helper()
	nginx.exec("truncate", "-s", "32M", "/usr/share/nginx/html/large")
	get := func(file string) []string {
		return []string{"wget", "-q", "-O", "-", "http://" + host + "/" + file}
	}
	serves := func() bool { return client.succeeds(e.T, get("index.html")...) }
	eventually(e.T, serves, func() string { return "nginx does not serve" })

	body, end, err := os.Pipe()
	require.NoError(e.T, err)
	defer body.Close()
	// A larger pipe needs fewer changes between the client and the test, so on a busy machine
	// the download ends before the grace period.
	_, err = unix.FcntlInt(end.Fd(), unix.F_SETPIPE_SZ, 1<<20)
	require.NoError(e.T, err)
	wget := launcher{hostPID: true, stdout: end}.start(e.T, slices.Concat(client, get("large"))...)
	end.Close()
	_, err = io.ReadFull(body, make([]byte, 1))
	require.NoError(e.T, err, "the download does not begin")
	stopping := e.start(e.command(stop))
	// Once nginx refuses new connections, it has received its stop signal.
	eventually(e.T, func() bool { return !serves() }, func() string { return "nginx still accepts connections" })
	rest, err := io.Copy(io.Discard, body)
	assert.NoError(e.T, err)
	assert.Equal(e.T, 0, wget.code(), "the download was interrupted")
	assert.EqualValues(e.T, 32<<20, 1+rest)
	assert.Equal(e.T, 0, stopping.code())
}
