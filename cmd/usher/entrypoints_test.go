package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// entrypoint is one way to start a server in a container. The test sends the stop signal
// while a request, a job or both are running. A request or a job takes 1 to 3 s, and prints
// "started" at its beginning and "finished" at its end: a request in the output of its
// client, a job in the stdout of the app.
type entrypoint struct {
	name    string
	command string
	flags   string         // usher's flags in addition to --grace and --group
	stop    syscall.Signal // the signal that the test sends to usher, like an image's STOPSIGNAL; 0 means SIGTERM
	request *client        // nil: there is no request
	job     bool           // the app starts a job
	code    int            // usher's exit code
	prints  string         // text that the app prints only if it is stopped in order
	needs   string         // the command of a further server that the entrypoint needs, or ""

	notGroup string // the reason why the entrypoint is not tested with --group, or ""
	// Without --group, the server gets its first signal late: when four fifths of the time
	// until SIGKILL have passed, usher sends SIGTERM to each process that has had no stop
	// signal (the last call, supervisor/leftovers.go). So the test uses a shorter --grace.
	atLastCall bool
}

// client is a command that makes a request. The command is started once target is ready.
type client struct{ target, command string }

var (
	curl  = &client{"tcp://127.0.0.1:8080", "curl --silent --show-error --fail --no-buffer --noproxy * http://127.0.0.1:8080/work"}
	fcgi  = &client{"tcp://127.0.0.1:9000", "env REQUEST_METHOD=GET SCRIPT_FILENAME=work.php cgi-fcgi -bind -connect 127.0.0.1:9000"}
	tasks = &client{"redis://127.0.0.1:6379", "/usr/bin/python3 client.py"}
	psql  = &client{"postgres://127.0.0.1", "psql --host 127.0.0.1 --username postgres --no-psqlrc --quiet --tuples-only --no-align --file work.sql"}
)

// Commands that several entrypoints use.
const (
	gunicorn = "gunicorn --workers 1 --bind :8080 app"
	celery   = "celery --app tasks worker --concurrency 1"
	apache   = "apache2 -d . -f apache.conf -DFOREGROUND"
	redis    = "redis-server --save ''"
)

// Values of notGroup.
const (
	forwards  = "the app forwards the signal itself, so with --group its child gets it twice"
	master    = "the master process stops its workers; with --group they get the master's signal too"
	noHandler = "the job, or tee, has no handler: with --group the signal kills it"
)

var entrypoints = []entrypoint{
	// The app is the server.
	{name: "exec, Node", command: "node server.js", request: curl, prints: "server closed"},
	{name: "exec, Go", command: "./server", request: curl, prints: "server closed"},
	{name: "exec, gunicorn", command: gunicorn, request: curl, notGroup: master},
	{name: "exec, celery", command: celery, flags: "--wait redis://127.0.0.1:6379",
		request: tasks, needs: redis, notGroup: master},
	{name: "exec, php-fpm", command: "./php-fpm.sh", flags: "--stop-on QUIT", stop: syscall.SIGQUIT, request: fcgi, notGroup: master},
	{name: "exec, Apache", command: apache, flags: "--stop-on WINCH", stop: syscall.SIGWINCH, request: curl, notGroup: master},
	{name: "exec, nginx", command: "./nginx.sh", flags: "--stop-on QUIT", stop: syscall.SIGQUIT, request: curl, notGroup: master},
	{name: "exec, nginx, --stop-signal", command: "./nginx.sh", flags: "--stop-signal QUIT", request: curl, notGroup: master},
	{name: "exec, PostgreSQL", command: "./postgres.sh", request: psql, notGroup: master},

	// The app is a shell. The stop signal kills it. Without --group the child of the shell
	// does not get that signal, but usher stops it as a leftover.
	{name: "no exec, Node", command: "./no-exec.sh node server.js", request: curl, prints: "server closed", code: 143},
	{name: "no exec, Go", command: "./no-exec.sh ./server", request: curl, prints: "server closed", code: 143},
	{name: "no exec, gunicorn", command: "./no-exec.sh " + gunicorn, request: curl, code: 143, notGroup: master},
	{name: "no exec, celery", command: "./no-exec.sh " + celery, flags: "--wait redis://127.0.0.1:6379",
		request: tasks, needs: redis, code: 143, notGroup: master},
	{name: "no exec, php-fpm", command: "./no-exec.sh ./php-fpm.sh", flags: "--stop-on QUIT", stop: syscall.SIGQUIT, request: fcgi, code: 131, notGroup: master},
	{name: "no exec, nginx", command: "./no-exec.sh ./nginx.sh", flags: "--stop-on QUIT", stop: syscall.SIGQUIT, request: curl, code: 131, notGroup: master},
	{name: "no exec, PostgreSQL", command: "./no-exec.sh ./postgres.sh", request: psql, code: 143, notGroup: master},
	// SIGWINCH does not end a shell, so the shell and Apache run on until usher's last call (see
	// atLastCall) sends SIGTERM to Apache. Apache then sends SIGTERM to its process group. That
	// kills the shell, which is in this group: 143.
	{name: "no exec, Apache", command: "./no-exec.sh " + apache, flags: "--stop-on WINCH", stop: syscall.SIGWINCH,
		request: curl, code: 143, notGroup: master, atLastCall: true},
	{name: "trap on exit", command: "./trap-on-exit.sh node server.js", request: curl, prints: "server closed", code: 143},
	{name: "a script in a script", command: "./no-exec.sh ./no-exec.sh node server.js", request: curl, prints: "server closed", code: 143},
	{name: "a log by tee", command: "./tee.sh node server.js", request: curl, prints: "server closed", code: 143, notGroup: noHandler},
	{name: "a log by tee, Go", command: "./tee.sh ./server", request: curl, prints: "server closed", code: 143, notGroup: noHandler},
	{name: "two servers and wait -n", command: "./two-servers.sh", request: curl, job: true, prints: "server closed", code: 143},

	// The app handles the signal and signals its child.
	{name: "trap", command: "./trap.sh node server.js", request: curl, prints: "server closed", code: 143, notGroup: forwards},
	{name: "trap, Go", command: "./trap.sh ./server", request: curl, prints: "server closed", code: 143, notGroup: forwards},
	{name: "trap, celery", command: "./trap.sh " + celery, flags: "--wait redis://127.0.0.1:6379",
		request: tasks, needs: redis, code: 143, notGroup: master},
	{name: "trap that exits", command: "./trap-exit.sh node server.js", request: curl, prints: "server closed", notGroup: forwards},
	{name: "trap that raises the signal again", command: "./trap-raise.sh node server.js", request: curl, prints: "server closed", code: 143, notGroup: forwards},
	{name: "trap and wait again", command: "./trap-wait.sh node server.js", request: curl, prints: "exited 0", notGroup: forwards},
	{name: "npm start", command: "npm start", request: curl, prints: "server closed", code: 143},
	{name: "npm start, no exec", command: "./no-exec.sh npm start", request: curl, prints: "server closed", code: 143},
	{name: "make run", command: "make run", request: curl, prints: "server closed", code: 143, notGroup: forwards},
	{name: "npm start by bash", command: "npm start --script-shell bash", request: curl, prints: "server closed", notGroup: forwards},

	// The app is a shell. It runs its trap only after its foreground child has exited.
	{name: "trap with a foreground server", command: "./trap-foreground.sh node server.js", request: curl, prints: "cleaned up", atLastCall: true},
	{name: "trap with a foreground job", command: "./trap-foreground.sh ./job.sh", job: true, prints: "cleaned up", notGroup: noHandler},
	{name: "trap with a foreground transaction", command: "./trap-foreground.sh " + psql.command, flags: "--wait postgres://127.0.0.1",
		job: true, prints: "cleaned up", needs: "./postgres.sh", notGroup: noHandler},

	// A job runs beside the server.
	{name: "job in the background", command: "sh -c './job.sh & exec node server.js'", request: curl, job: true, prints: "server closed", notGroup: noHandler},
	{name: "worker in the background", command: "sh -c 'node job.js & exec node server.js'", request: curl, job: true, prints: "server closed"},
	{name: "setsid job", command: "sh -c 'setsid ./job.sh & exec node server.js'", request: curl, job: true, prints: "server closed"},
	{name: "setsid worker, no exec", command: "sh -c 'setsid node job.js & node server.js; echo exited'", request: curl, job: true, prints: "server closed", code: 143},
}

// Each entrypoint is stopped while its request or job is running. It is started and stopped
// ENTRYPOINT_RUNS times (default: 3). Each request and each job must finish.
func TestEntrypointsFinishTheirWork(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"bash", "node", "npm", "curl", "gunicorn", "celery", "redis-server", "cgi-fcgi", "psql",
		"/usr/sbin/apache2", "/usr/sbin/nginx", "/usr/sbin/php-fpm*", "/usr/lib/postgresql/*/bin/postgres"} {
		found, _ := filepath.Glob(pattern)
		if _, err := exec.LookPath(pattern); err != nil && found == nil {
			skip(t, "needs "+pattern)
		}
	}
	runs, err := strconv.Atoi(cmp.Or(os.Getenv("ENTRYPOINT_RUNS"), "3"))
	require.NoError(t, err)
	for _, e := range entrypoints {
		for _, flags := range []string{"--grace 100s", "--group --grace 100s"} {
			group := strings.HasPrefix(flags, "--group")
			if group && e.notGroup != "" {
				continue
			}
			atLastCall := e.atLastCall && !group
			if atLastCall {
				flags = "--grace 20s"
			}
			t.Run(e.name+", "+flags, func(t *testing.T) {
				t.Parallel()
				// To save time, each run starts while the previous one is still shutting down.
				var all []*stopping
				for range runs {
					all = append(all, e.stopAtWork(t, flags))
				}
				var lost, unordered int
				var took []time.Duration
				for _, s := range all {
					work, order := s.judge(&e)
					if work != nil {
						lost++
					}
					if order != nil {
						unordered++
					}
					if err := errors.Join(work, order); err != nil {
						t.Errorf("%v\n%s", err, lastLines(s.usher.stderr.rest()))
					}
					took = append(took, s.took)
					if !atLastCall {
						assert.Less(t, s.took, 50*time.Second, "half of --grace has passed, although the app got its signal at once")
					}
				}
				slices.Sort(took)
				t.Logf("%s %s: work lost: %d of %d; stopped out of order: %d; a stop took %.2f to %.2f s, the median %.2f s",
					e.name, flags, lost, runs, unordered, took[0].Seconds(), took[runs-1].Seconds(), took[runs/2].Seconds())
			})
		}
	}
}

// stopping is a run of an entrypoint whose usher has got its stop signal.
type stopping struct {
	usher  *process
	client *process      // nil without a request
	exited chan int      // receives usher's exit code
	took   time.Duration // from the signal to usher's exit; may be read after a receive from exited
}

// stopAtWork starts the entrypoint, and stops it once its request and its job have started.
func (e *entrypoint) stopAtWork(t *testing.T, flags string) *stopping {
	t.Helper()
	server, err := buildServer()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) // the parent of dir has mode 0700; servers that do not run as root must be able to enter it
	withoutForks(t, func() error { return os.CopyFS(dir, os.DirFS("testdata/entrypoints")) })
	require.NoError(t, os.Symlink(server, filepath.Join(dir, "server")))

	// Debian's programs come first in PATH, because only Debian's Python has celery.
	path := "PATH=/usr/sbin:/usr/bin:/sbin:/bin:" + os.Getenv("PATH")
	s := &stopping{exited: make(chan int, 1)}
	// Each run has its own network namespace, so that all can listen on port 8080.
	s.usher = launcher{proc: true, net: true, vars: []string{"dir=" + dir, "HOME=" + dir, path, "PYTHONDONTWRITEBYTECODE=1"}}.start(t,
		"sh", "-c", `cd "$dir" && ip link set lo up && echo network ready && exec $usher `+e.flags+" "+flags+" -- "+e.command)
	s.usher.stdout.expect("network ready")
	if e.needs != "" {
		server := s.enterNetwork(t, dir, e.needs)
		t.Cleanup(func() {
			server.signal(syscall.SIGINT) // Redis and PostgreSQL exit on SIGINT, with all their children
			server.code()
		})
	}
	if e.job {
		s.usher.stdout.expect("started")
	}
	if e.request != nil {
		s.client = s.enterNetwork(t, dir, `"$usher" --wait `+e.request.target+" --exec -- "+e.request.command)
		s.client.stdout.expect("started")
	}
	signalled := time.Now()
	s.usher.signal(cmp.Or(e.stop, syscall.SIGTERM))
	go func() {
		s.usher.wait()
		s.took = time.Since(signalled)
		s.exited <- s.usher.cmd.ProcessState.ExitCode()
	}()
	return s
}

// enterNetwork starts a command in the network namespace of the run and in the PID namespace
// of the test.
func (s *stopping) enterNetwork(t *testing.T, dir, command string) *process {
	t.Helper()
	l := launcher{hostPID: true, dir: dir, env: s.usher.cmd.Env, merged: true}
	return l.start(t, "nsenter", "-t", fmt.Sprint(s.usher.pid()), "--net", "--", "sh", "-fc", "exec "+command)
}

// judge waits until usher has exited. The result work is an error if a request or a job was
// interrupted. The result order is an error if usher's exit code or the app's output is not
// as expected, or if usher sent SIGKILL.
func (s *stopping) judge(e *entrypoint) (work, order error) {
	code := <-s.exited
	out := s.usher.stdout.rest()
	if e.job && !slices.Contains(s.usher.stdout.all, "finished") {
		work = fmt.Errorf("the job was interrupted: %q", lastLines(out))
	}
	if s.client != nil {
		if output, code := s.client.stdout.rest(), s.client.code(); code != 0 || !strings.HasSuffix(output, "finished") {
			work = errors.Join(work, fmt.Errorf("the request was interrupted: exit code %d: %q", code, last(output)))
		}
	}
	if code != e.code {
		order = fmt.Errorf("usher exited %d, not %d", code, e.code)
	}
	if !strings.Contains(out, e.prints) {
		order = errors.Join(order, fmt.Errorf("the app has not printed %q: %q", e.prints, lastLines(out)))
	}
	if strings.Contains(s.usher.stderr.rest(), "SIGKILL") {
		order = errors.Join(order, errors.New("usher sent SIGKILL"))
	}
	return work, order
}

// last returns the last line of a text.
func last(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

var buildServer = built("server", func(path string) *exec.Cmd {
	return exec.Command("go", "build", "-o", path, "testdata/entrypoints/server.go")
})
