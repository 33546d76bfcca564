package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

// parsed parses a valid command line.
func parsed(t *testing.T, args, env []string) options {
	t.Helper()
	o, err := parseOptions(args, env)
	require.NoError(t, err)
	return o
}

// errorsIn parses an invalid command line and returns the text of the error.
func errorsIn(t *testing.T, args, env []string) string {
	t.Helper()
	_, err := parseOptions(args, env)
	require.Error(t, err)
	return err.Error()
}

func targetNames(targets []probes.Target) (names []string) {
	for _, t := range targets {
		names = append(names, t.Name)
	}
	return names
}

func TestOptionsWithoutFlagsAreThoseOfAPlainInit(t *testing.T) {
	o := parsed(t, []string{"app", "-x", "--grace", "--", "--help"}, []string{"A=1"})
	assert.Equal(t, []string{"app", "-x", "--grace", "--", "--help"}, o.config.Command)
	assert.Equal(t, []string{"A=1"}, o.config.Env)
	assert.Equal(t, time.Minute, o.config.WaitTimeout)
	assert.Zero(t, o.config.Grace)
	assert.False(t, o.json || o.quiet || o.verbose || o.help || o.version || o.config.Group)
}

func TestOptionsCanBeSetByFlags(t *testing.T) {
	o := parsed(t, []string{
		"--wait", "tcp://a:1", "--wait=name='one, two' tcp://b:2", "--wait-timeout", "90",
		"--pre-start", "migrate", "--pre-start", "true",
		"--ready", "http://localhost/ready", "--post-start", "register",
		"--drain-delay=500ms", "--drain", "deregister", "--drain-idle", "2s", "--stop-signal", "QUIT",
		"--stop-on", "QUIT", "--stop-on=SIGRTMIN+3", "--grace", "1m30s", "--stop-reserve", "5",
		"--post-stop", "report", "--group", "--rewrite", "HUP:USR1", "--rewrite", "USR2:0",
		"--success-exit", "143, 0", "--termination-log", "/log", "--health", "[::1]:8086", "--plan", "--log", "json", "--verbose", "--quiet=false",
		"--", "app",
	}, nil)
	c := o.config
	assert.Equal(t, []string{"tcp://a:1", "one, two"}, targetNames(c.Wait))
	assert.Equal(t, 90*time.Second, c.WaitTimeout)
	assert.Equal(t, []string{"migrate", "true"}, targetNames(c.PreStart))
	assert.Equal(t, []string{"http://localhost/ready"}, targetNames(c.Ready))
	assert.Equal(t, []string{"register"}, targetNames(c.PostStart))
	assert.Equal(t, 500*time.Millisecond, c.DrainDelay)
	assert.Equal(t, []string{"deregister"}, targetNames(c.Drain))
	assert.Equal(t, syscall.SIGQUIT, c.StopSignal)
	assert.Equal(t, []syscall.Signal{syscall.SIGQUIT, 37}, c.StopOn)
	assert.Equal(t, 90*time.Second, c.Grace)
	assert.Equal(t, 5*time.Second, c.StopReserve)
	assert.Equal(t, []string{"report"}, targetNames(c.PostStop))
	assert.True(t, c.Group)
	assert.Equal(t, signals.Rewrite{syscall.SIGHUP: syscall.SIGUSR1, syscall.SIGUSR2: 0}, c.Rewrite)
	assert.Equal(t, []int{143, 0}, c.SuccessExit)
	assert.Equal(t, []string{"app"}, c.Command)
	assert.True(t, o.json && o.verbose && !o.quiet && o.plan)
	assert.Equal(t, "/log", o.terminationLog)
	assert.Equal(t, "[::1]:8086", o.health)
	assert.Equal(t, []uint16{8086}, c.IdleExcept)
	assert.Equal(t, 2*time.Second, c.DrainIdle)
	assert.NotNil(t, c.Readiness)
	assert.Equal(t, supervisor.NoSignal, parsed(t, []string{"--stop-signal", "none", "--grace", "8s", "app"}, nil).config.StopSignal)
	o = parsed(t, []string{"--log", "text", "--health", ":65535", "app"}, nil)
	assert.False(t, o.json)
	assert.Equal(t, ":65535", o.health)
}

func TestProbeAndInstallIgnoreTheEnvironmentAndRefuseOtherFlags(t *testing.T) {
	env := []string{"USHER_WAIT=nonsense://", "USHER_GRACE=x", "USHER_QUIET=x"}
	o := parsed(t, []string{"--probe", "timeout=2s tcp://a:1", "--probe=true", "--verbose"}, env)
	assert.Equal(t, []string{"tcp://a:1", "true"}, targetNames(o.probe))
	assert.Equal(t, []time.Duration{2 * time.Second, time.Second}, []time.Duration{o.probe[0].Timeout, o.probe[1].Timeout})
	assert.True(t, o.verbose)
	assert.Equal(t, "/shared", parsed(t, []string{"--install", "/shared"}, env).install)

	for _, c := range []struct {
		args []string
		errs []string
	}{
		{[]string{"--probe", "tcp://a:1", "--grace", "5", "--wait=x", "app"}, []string{"--wait: cannot be combined with --probe", "--grace: cannot be combined with --probe", "a command cannot be combined with --probe"}},
		{[]string{"--probe", "interval=1s db:5"}, []string{"interval= is for --wait and --ready only, not for --probe", "write tcp://db:5"}},
		{[]string{"--install", "a", "--install", "b"}, []string{"--install: given 2 times"}},
		{[]string{"--install="}, []string{"--install: needs the path"}},
		{[]string{"--install", "a", "--"}, []string{"a command cannot be combined with --install"}},
		{[]string{"--probe", "true", "--grace", "x"}, []string{"--grace: cannot be combined with --probe"}},
		{[]string{"--probe", "true", "--quiet", "--verbose"}, []string{"--quiet and --verbose cannot be combined"}},
		{[]string{"--probe", "a", "--install", "b"}, []string{"--install: cannot be combined with --probe"}},
	} {
		_, err := parseOptions(c.args, nil)
		require.Error(t, err, "%q", c.args)
		for _, text := range c.errs {
			assert.ErrorContains(t, err, text)
		}
		assert.Len(t, strings.Split(err.Error(), "\n"), len(c.errs), "%v", err)
	}
}

// A flag sets the field Use of its targets. Use determines a target's options and their
// defaults.
func TestFlagsSetTheUseOfTheirTargets(t *testing.T) {
	c := parsed(t, []string{"--wait", "a", "--ready", "a", "--pre-start", "a", "--post-start", "a",
		"--drain", "a", "--post-stop", "a", "--grace", "25s", "app"}, nil).config
	assert.Equal(t, probes.ForWait, c.Wait[0].Use)
	assert.Equal(t, probes.ForReady, c.Ready[0].Use)
	assert.Equal(t, probes.ForStart, c.PreStart[0].Use)
	assert.Equal(t, probes.ForStart, c.PostStart[0].Use)
	assert.Equal(t, probes.ForEnd, c.Drain[0].Use)
	assert.Equal(t, probes.ForEnd, c.PostStop[0].Use)
}

func TestDurationOfZeroMeansNoLimit(t *testing.T) {
	c := parsed(t, []string{"--grace", "0", "--wait-timeout=0", "--drain-delay", "0s", "app"}, nil).config
	assert.Zero(t, c.Grace)
	assert.Zero(t, c.WaitTimeout)
	assert.Zero(t, c.DrainDelay)
}

func TestTheCommandIsNotChanged(t *testing.T) {
	for _, command := range [][]string{
		{"app", "--wait", "tcp://db:5432"},
		{"app", "$HOME", "a,b", "", "\xff\n"},
		{"./timeout=2s"}, {"a=b"}, {"/srv/name=x/app"}, {"NAME=value"}, {"./db:5432"}, {"/u:p@h"}, {"a:b"}, {"-"}, {""},
		{"["}, {"timeout", "5", "app"}, {"a@b"}, {":80"}, {"a:"}, {"./a:80"}, {"env"},
		{"/bin/http://x"}, {"Name=x"},
	} {
		assert.Equal(t, command, parsed(t, command, nil).config.Command)
		assert.Equal(t, command, parsed(t, append([]string{"--"}, command...), nil).config.Command)
	}
	dashed := []string{"--odd", "--", "-x"}
	assert.Equal(t, dashed, parsed(t, append([]string{"--group", "--"}, dashed...), nil).config.Command)
}

func TestWaitNeedsNoCommand(t *testing.T) {
	o := parsed(t, []string{"--wait", "tcp://db:5432", "--wait-timeout", "5m", "--pre-start", "a",
		"--post-stop", "b", "--grace", "5s", "--stop-on", "QUIT", "--log=json", "--quiet", "--group=0"}, nil)
	assert.Empty(t, o.config.Command)
	assert.Len(t, o.config.Wait, 1)
}

func TestHelpAndVersionWorkBesideWrongFlags(t *testing.T) {
	broken := []string{"USHER_GRACE=abc", "USHER_QUIET=maybe"}
	for _, args := range []string{
		"--help", "-h", "--grace abc --help", "--unknown --help", "--wait --help", "--grace -h",
		"--wiat tcp://db:5432 --help", "--help -- app", "--help app", "--help --grace",
		"--grace 1 --grace 2 --help",
	} {
		o, err := parseOptions(strings.Fields(args), broken)
		assert.NoError(t, err, args)
		assert.True(t, o.help, args)
	}
	for _, args := range []string{"--version", "--drain x --version", "--version --unknown", "--unknown --version"} {
		o, err := parseOptions(strings.Fields(args), broken)
		assert.NoError(t, err, args)
		assert.True(t, o.version, args)
	}
	for _, args := range []string{"app --help", "-- app --version", "--wait=--help app", "--help=false app"} {
		o, _ := parseOptions(strings.Fields(args), nil)
		assert.False(t, o.help || o.version, args)
	}
}

func TestErrorsInOptionsNameTheCorrection(t *testing.T) {
	const noCommand = "no command (ENTRYPOINT clears the image's CMD)"
	quoted := func(s string) string {
		return "the command " + s + "=… is an option of a target: quote it with its target, as in --wait 'timeout=2s tcp://db:5432'"
	}
	target := func(s string) string {
		return "the command " + s + "://… is a target: write --wait before each target, and the command last"
	}

	for _, c := range []struct {
		args []string
		want string
	}{
		// no command
		{nil, noCommand},
		{[]string{"--"}, noCommand},
		{[]string{"--group"}, noCommand},
		{[]string{"--wait", "tcp://db:5432", "--"}, noCommand},
		{[]string{"--wait"}, "--wait: needs a value"},
		// a command that looks like a target or an option
		{[]string{"tcp://db:5432", "--", "app"}, target("tcp")},
		{[]string{"--", "postgres://u:p@db/x"}, target("postgres")},
		{[]string{"--wait", "tcp://a:1", "tcp://b:2", "app"}, target("tcp")},
		{[]string{"--wait", "tcp://a:1", "timeout=2s", "app"}, quoted("timeout")},
		{[]string{"--", "header=X: y", "http://a"}, quoted("header")},
		{[]string{"amqp://q", "app"}, target("amqp")},
		{[]string{"zoo://x", "app"}, target("zoo")},
		{[]string{"1x://h", "app"}, "the command is a URL: write --wait before each target, and the command last"},
		{[]string{"://h", "app"}, "the command is a URL: write --wait before each target, and the command last"},
		{[]string{"env:URL", "app"}, "the command env:… is a target: write --wait before each target, and the command last"},
		{[]string{`["app","x"]`}, "the command is JSON in one argument: write each of its words as a separate argument"},
		{[]string{`{"a":1}`}, "the command is JSON in one argument: write each of its words as a separate argument"},
		// flags that do not exist
		{[]string{"--wiat", "tcp://db:5432", "app"}, "--wiat: no such flag: did you mean --wait?"},
		{[]string{"--wiat", "tcp://db:5432"}, "--wiat: no such flag: did you mean --wait?"},
		{[]string{"--groups", "app"}, "--groups: no such flag: did you mean --group?"},
		{[]string{"-grace", "5s", "app"}, "-grace: no such flag: did you mean --grace?"},
		{[]string{"--Grace=5s", "app"}, "--Grace: no such flag: did you mean --grace?"},
		{[]string{"--foo", "tcp://db:5432", "app"}, "--foo: no such flag"},
		{[]string{"--foo=bar", "app"}, "--foo: no such flag"},
		{[]string{"--=", "app"}, "--: no such flag"},
		{[]string{"--gracexyz", "app"}, "--gracexyz: no such flag"},
		{[]string{"--abcdwait", "app"}, "--abcdwait: no such flag"},
		{[]string{"--" + strings.Repeat("x", 39), "app"}, "--" + strings.Repeat("x", 38) + "…: no such flag"},
		// a flag and its value in one argument
		{[]string{"--wait tcp://a:1", "app"}, "--wait: its value is a separate argument, or follows =: write --wait=…"},
		{[]string{"--grace:5s", "app"}, "--grace: its value is a separate argument, or follows =: write --grace=…"},
		// short flags of other inits
		{[]string{"-g", "--", "app"}, "-g: no such flag: write --group"},
		{[]string{"-s", "--", "app"}, "-s: no such flag: only -h has a short form"},
		{[]string{"-e", "143", "app"}, "-e: no such flag: write --success-exit"},
		// a command that looks like an address, or is a URL
		{[]string{"db:5432", "app"}, "the command looks like an address: write --wait before each target, and the command last, as in --wait tcp://db:5432"},
		{[]string{"u:hunter2@db:5432"}, "the command looks like an address: write --wait before each target, and the command last, as in --wait tcp://db:5432"},
		{[]string{"u:hunter2@db"}, "the command looks like an address: write --wait before each target, and the command last, as in --wait tcp://db:5432"},
		{[]string{"jdbc:postgresql://u:hunter2@db/app"}, "the command is a URL: write --wait before each target, and the command last"},
		// several signals in one value
		{[]string{"--stop-on", "QUIT,USR1", "app"}, "--stop-on: takes one signal: write --stop-on for each, as in --stop-on QUIT --stop-on USR1"},
		// flags that do not exist, followed by text that may be a secret: the error does not show this text
		{[]string{"-pSIGTERM", "app"}, "-p…: no such flag: only -h has a short form"},
		{[]string{"--a\nb", "app"}, "--a…: no such flag"},
		// missing and superfluous values
		{[]string{"--grace"}, "--grace: needs a value\n" + noCommand},
		{[]string{"--grace", "--", "app"}, "--grace: needs a value"},
		{[]string{"--wait", "--group", "app"}, "--wait: needs a value"},
		{[]string{"--grace", "1s", "--grace=1s", "app"}, "--grace: given 2 times, but it takes one value"},
		{[]string{"--group", "--group", "app"}, "--group: given 2 times, but it takes one value"},
		{[]string{"--group=yes", "app"}, `--group: "yes" is not a boolean: write true, false, 1 or 0`},
		{[]string{"--help=yes", "app"}, `--help: "yes" is not a boolean: write true, false, 1 or 0`},
		// wrong values
		{[]string{"--stop-reserve", "0", "--grace", "5s", "app"}, "--stop-reserve: must be greater than 0: leave the flag out for the default, half of --grace, at most 10s"},
		{[]string{"--stop-on", "KILL", "app"}, "--stop-on: SIGKILL cannot be caught by any process"},
		{[]string{"--stop-on", "QUIT", "--stop-on", "STOP", "app"}, "--stop-on (2 of 2): SIGSTOP cannot be caught by any process"},
		{[]string{"--rewrite", "HUP:USR1", "--rewrite", "1:USR2", "app"}, "--rewrite (2 of 2): SIGHUP is rewritten twice"},
		{[]string{"--success-exit", "256", "app"}, `--success-exit: "256" is not an exit code: write numbers from 0 to 255, as in 143 or 130,143`},
		{[]string{"--success-exit", "1,", "app"}, `--success-exit: "" is not an exit code: write numbers from 0 to 255, as in 143 or 130,143`},
		{[]string{"--stop-reserve", "x", "--grace", "5s", "app"}, `--stop-reserve: "x" is not a duration, like 30s, 1m30s or a number of seconds`},
		{[]string{"--termination-log", "x", "app"}, "--termination-log: needs an absolute path, such as /dev/termination-log"},
		{[]string{"--health", "a.b:80", "app"}, `--health: "a.b:80" is not an address to listen on: write :PORT or IP:PORT, as in :8086 or 127.0.0.1:8086`},
		{[]string{"--health", "u:hunter2", "app"}, `--health: "u…" is not an address to listen on: write :PORT or IP:PORT, as in :8086 or 127.0.0.1:8086`},
		{[]string{"--grace", "a=hunter2", "app"}, "--grace: takes no target: write targets for --wait, --ready or the hooks"},
		{[]string{"--rewrite", "TERM:QUIT"}, "no command (ENTRYPOINT clears the image's CMD)\n--rewrite: SIGTERM is a stop signal: use --stop-signal for the signal that the app gets instead"},
		{[]string{"--log", "xml", "app"}, `--log: "xml" is not a format: write text or json`},
		{[]string{"--grace", "tcp://db:5432", "app"}, "--grace: takes no target: write targets for --wait, --ready or the hooks"},
		// combinations of flags
		{[]string{"--quiet", "--verbose", "app"}, "--quiet and --verbose cannot be combined: choose one"},
		{[]string{"--wait", "true", "--drain", "x"}, "--drain: needs an app: write a command, or leave the flag out"},
		{[]string{"--wait", "true", "--group", "--rewrite", "HUP:0", "--rewrite", "USR1:0"},
			"--group: needs an app: write a command, or leave the flag out\n" +
				"--rewrite: needs an app: write a command, or leave the flag out"},
	} {
		assert.Equal(t, c.want, errorsIn(t, c.args, nil), "%q", c.args)
	}
}

// This test checks only that each value is an error, and that the error is one line that
// begins with the name of the flag. Most of these texts come from other packages, which test
// them.
func TestErrorsInOptionsNameTheFlag(t *testing.T) {
	for _, c := range []struct{ flag, value string }{
		{"--grace", "abc"}, {"--grace", ""}, {"--grace", "-5s"}, {"--wait-timeout", "5 minutes"},
		{"--drain-delay", "1h30"}, {"--stop-reserve", "x"},
		{"--stop-signal", "FOO"}, {"--stop-signal", "0"}, {"--stop-on", "99"}, {"--stop-on", "CHLD"},
		{"--rewrite", "HUP"}, {"--rewrite", "HUP:FOO"}, {"--rewrite", "TERM:QUIT"},
		{"--wait", ""}, {"--wait", "db:5432"}, {"--wait", "timeout=2s"}, {"--ready", "foo://x"},
		{"--pre-start", "a | b"}, {"--post-start", "interval=1s true"}, {"--post-stop", "retries=x true"},
		{"--drain", "true"}, {"--drain-delay", "5s"}, {"--drain-idle", "5s"},
		{"--health", "8086"}, {"--health", ":0"}, {"--health", ":http"}, {"--health", ":65536"}, {"--health", "localhost:8086"},
		{"--health", "[::1:8086"}, {"--health", ""}, {"--health", "http://:8086"},
	} {
		text := errorsIn(t, []string{c.flag, c.value, "app"}, nil)
		assert.True(t, strings.HasPrefix(text, c.flag), "%s %q: %s", c.flag, c.value, text)
		assert.NotContains(t, text, "\n", "%s %q", c.flag, c.value)
	}
}

// A value that cannot be parsed must not cause errors about flags that depend on it.
func TestWrongValueIsReportedOnce(t *testing.T) {
	for _, args := range []string{
		"--grace abc --drain x --drain-delay 5s --stop-reserve 3s app",
		"--grace 10s --stop-reserve abc app",
		"--wait db:5432",
		"--grace 5s --grace 6s --drain-delay 1s app",
		"--grace tcp://db:1 --drain-delay 1s app",
	} {
		text := errorsIn(t, strings.Fields(args), nil)
		assert.NotContains(t, text, "\n", args)
	}
}

func TestAllErrorsInOptionsAreReportedAtOnce(t *testing.T) {
	got := errorsIn(t, []string{
		"--wait", "http://auth/healthz",
		"--wait", "auth:8080",
		"--grace=25 s",
		"--drain", "bogus=1 http://localhost/drain",
		"--stop-on", "SIGFOO",
		"--success-exit", "143,abc,999",
		"--quiet", "--verbose",
		"timeout=2s", "app",
	}, []string{"USHER_POST_STOP=ok\nno://x\n", "USHER_LOG=yaml", "USHER_GROUP=on"})
	want := `the command timeout=… is an option of a target: quote it with its target, as in --wait 'timeout=2s tcp://db:5432'
--wait (2 of 2): "auth:8080" has no scheme: write tcp://auth:8080
--drain: unknown option bogus=: …
--stop-on: unknown signal "SIGFOO": …
--grace: "25 s" is not a duration…
USHER_POST_STOP line 2: unknown scheme no://: …
USHER_GROUP: "on" is not a boolean: write true, false, 1 or 0
--success-exit: "abc" is not an exit code: write numbers from 0 to 255, as in 143 or 130,143
--success-exit: "999" is not an exit code: write numbers from 0 to 255, as in 143 or 130,143
USHER_LOG: "yaml" is not a format: write text or json
--quiet and --verbose cannot be combined: choose one`

	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i, line := range wantLines { // "…" stands for the rest of a text from another package
		if begin, ok := strings.CutSuffix(line, "…"); ok && i < len(gotLines) && strings.HasPrefix(gotLines[i], begin) {
			gotLines[i] = line
		}
	}
	assert.Equal(t, want, strings.Join(gotLines, "\n"))
}

// The argument after an unknown flag may be the value of that flag or the app's command. So
// errors in the arguments after an unknown flag are not reported. One error is reported
// nevertheless: a flag that cannot be combined with --probe or --install.
func TestErrorsAfterAnUnknownFlagAreNotReported(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--grace", "abc", "--wiat", "tcp://db:5432", "--log", "xml", "timeout=2s", "app"},
			"--wiat: no such flag: did you mean --wait?\n--grace: \"abc\" is not a duration, like 30s, 1m30s or a number of seconds"},
		{[]string{"--drain", "true", "--garce", "5s", "app"}, "--garce: no such flag: did you mean --grace?"},
		{[]string{"--foo", "--bar", "--wait", "--", "app"}, "--foo: no such flag"},
		{[]string{"-gv", "app"}, "-g…: no such flag: only -h has a short form"},
		{[]string{"-health", ":8086", "app"}, "-health: no such flag: did you mean --health?"},
		{[]string{"-xh", "app"}, "-x…: no such flag: only -h has a short form"},
		{[]string{"-test.v", "--", "app"}, "-t…: no such flag: only -h has a short form"},
		{[]string{"-test.v", "app"}, "-t…: no such flag: only -h has a short form"},
		{[]string{"--group", "-test.v", "--grace", "abc", "app"}, "-t…: no such flag: only -h has a short form"},
		{[]string{"---", "--grace", "abc", "app"}, "---: no such flag"},
		{[]string{"--probe", "true", "--nope", "--grace", "1s", "app"}, "--nope: no such flag\n--grace: cannot be combined with --probe: leave one of them out"},
	} {
		assert.Equal(t, c.want, errorsIn(t, c.args, nil), "%q", c.args)
	}
	for _, args := range []string{"--foo --help", "--foo bar -h", "--= --help", "--foo --wait --help", "--foo -test.v -h", "--foo --= --nope -h"} {
		o, err := parseOptions(strings.Fields(args), nil)
		assert.NoError(t, err, args)
		assert.True(t, o.help, args)
	}
}

// An error names a setting by its variable if the user has set the variable, else by its
// flag.
func TestErrorsAboutTwoSettingsNameTheFlagOrVariable(t *testing.T) {
	assert.Equal(t, "USHER_DRAIN_DELAY needs --grace: 25s under Kubernetes' 30s, 8s under docker stop's 10s",
		errorsIn(t, []string{"app"}, []string{"USHER_DRAIN_DELAY=1s"}))
	assert.Equal(t, `USHER_GRACE: "5s…" is not a duration, like 30s, 1m30s or a number of seconds`,
		errorsIn(t, []string{"app"}, []string{"USHER_GRACE=5s\n6s"}))
	assert.Equal(t, "USHER_READY cannot be combined with --exec: it acts after the app has replaced usher: leave one of them out",
		errorsIn(t, []string{"--exec", "app"}, []string{"USHER_READY=true\ntrue"}))
	assert.Equal(t, "USHER_GRACE 2s is too short: --drain-delay, --drain-idle, --stop-reserve and the timeout= of the hooks add up to 3s: raise USHER_GRACE to 6s, or shorten them",
		errorsIn(t, []string{"--drain-delay=3s", "app"}, []string{"USHER_GRACE=2s"}))
	assert.Equal(t, "--health cannot be combined with --exec: it acts after the app has replaced usher: leave one of them out",
		errorsIn(t, []string{"--health", ":1", "--exec", "app"}, nil))
}

func TestOptionsCanBeSetByVariables(t *testing.T) {
	o := parsed(t, []string{"app"}, []string{
		"USHER_WAIT=\n  tcp://a:1  \r\n\n\tname='one, two' tcp://b:2\n", "USHER_WAIT_TIMEOUT=5",
		"USHER_PRE_START=a", "USHER_READY=b", "USHER_POST_START=c", "USHER_DRAIN=d", "USHER_POST_STOP=e",
		"USHER_DRAIN_DELAY=1", "USHER_DRAIN_IDLE=2", "USHER_GRACE= 25s\n", "USHER_STOP_RESERVE=3s", "USHER_STOP_SIGNAL=QUIT",
		"USHER_STOP_ON=QUIT\nUSR1", "USHER_REWRITE=HUP:0", "USHER_SUCCESS_EXIT=143", "USHER_GROUP=1",
		"USHER_LOG=json", "USHER_QUIET=false", "USHER_VERBOSE=true", "USHER_PLAN=1", "USHER_TERMINATION_LOG=/log", "USHER_HEALTH=:8086",
	})
	c := o.config
	assert.Equal(t, []string{"tcp://a:1", "one, two"}, targetNames(c.Wait))
	for _, hooks := range [][]probes.Target{c.PreStart, c.Ready, c.PostStart, c.Drain, c.PostStop} {
		assert.Len(t, hooks, 1)
	}
	assert.Equal(t, []time.Duration{5e9, 1e9, 2e9, 25e9, 3e9}, []time.Duration{c.WaitTimeout, c.DrainDelay, c.DrainIdle, c.Grace, c.StopReserve})
	assert.Equal(t, syscall.SIGQUIT, c.StopSignal)
	assert.Equal(t, []syscall.Signal{syscall.SIGQUIT, syscall.SIGUSR1}, c.StopOn)
	assert.Equal(t, signals.Rewrite{syscall.SIGHUP: 0}, c.Rewrite)
	assert.Equal(t, []int{143}, c.SuccessExit)
	assert.True(t, c.Group && o.json && o.verbose && !o.quiet && o.plan)
	assert.Equal(t, "/log", o.terminationLog)
	assert.Equal(t, ":8086", o.health)
	assert.Empty(t, c.Env)
	assert.NotNil(t, c.Env, "with a nil Env the app would get usher's own variables")
}

// Usher removes the environment variables of its flags from the app's environment. --help,
// --version, --install and --probe cannot be set by a variable, so a variable such as
// USHER_HELP is kept.
func TestAppGetsNoVariableOfAFlag(t *testing.T) {
	for _, f := range flags {
		env := []string{f.variable() + "="}
		got := parsed(t, []string{"app"}, env).config.Env
		if slices.Contains([]string{"help", "version", "install", "probe"}, f.name) {
			assert.Equal(t, env, got, f.name)
		} else {
			assert.Empty(t, got, f.name)
		}
	}
}

func TestOtherVariablesAreForTheApp(t *testing.T) {
	env := []string{
		"PATH=/bin", "A=1", "A=2", "A=1", "EMPTY=", "=C:=x", "novalue", "", "BYTES=\xff\n=",
		"USHER_PORT=tcp://10.0.0.1:80", "USHER_SERVICE_HOST=10.0.0.1", "USHER_REASON=x",
		"USHER_HELP=true", "USHER_VERSION=1", "usher_grace=1", "USHER_grace=1", "USHER_GRACE", "USHER_STOP-ON=x", "XUSHER_GRACE=1",
	}
	with := append([]string{"USHER_GRACE=5s"}, env...)
	with = append(with, "USHER_GRACE=7s", "USHER_WAIT=")
	o := parsed(t, []string{"app"}, with)
	assert.Equal(t, env, o.config.Env)
	assert.Equal(t, 5*time.Second, o.config.Grace, "the first of two entries must count, as for getenv(3)")
	assert.False(t, o.help || o.version)
}

func TestFlagReplacesItsVariable(t *testing.T) {
	o := parsed(t, []string{"--wait", "tcp://c:3", "--grace", "5s", "--group=false", "app"},
		[]string{"USHER_WAIT=tcp://a:1\nnonsense://", "USHER_GRACE=abc", "USHER_GROUP=true", "USHER_READY=tcp://r:1"})
	assert.Equal(t, []string{"tcp://c:3"}, targetNames(o.config.Wait))
	assert.Equal(t, []string{"tcp://r:1"}, targetNames(o.config.Ready))
	assert.Equal(t, 5*time.Second, o.config.Grace)
	assert.False(t, o.config.Group)
	assert.Empty(t, o.config.Env)
}

func TestEmptyVariableCountsAsUnset(t *testing.T) {
	o := parsed(t, []string{"app"}, []string{"USHER_GRACE=", "USHER_WAIT= \n \n", "USHER_GROUP= ", "USHER_WAIT_TIMEOUT=\n"})
	assert.Zero(t, o.config.Grace)
	assert.Empty(t, o.config.Wait)
	assert.Equal(t, time.Minute, o.config.WaitTimeout)
}

func TestErrorsInVariablesNameTheVariable(t *testing.T) {
	for entry, begin := range map[string]string{
		"USHER_GRACE=abc":           "USHER_GRACE: ",
		"USHER_WAIT=true\n\ndb:5":   "USHER_WAIT line 3: ",
		"USHER_GROUP=yes":           "USHER_GROUP: ",
		"USHER_QUIET=TRUE":          "USHER_QUIET: ",
		"USHER_STOP_ON=KILL":        "USHER_STOP_ON line 1: ",
		"USHER_REWRITE=HUP":         "USHER_REWRITE line 1: ",
		"USHER_SUCCESS_EXIT=-1":     "USHER_SUCCESS_EXIT: ",
		"USHER_LOG=JSON":            "USHER_LOG: ",
		"USHER_STOP_SIGNAL=tcp://x": "USHER_STOP_SIGNAL: ",
	} {
		text := errorsIn(t, []string{"app"}, []string{entry})
		assert.True(t, strings.HasPrefix(text, begin), text)
		assert.NotContains(t, text, "\n")
	}
	text := errorsIn(t, nil, []string{"USHER_WAIT=true", "USHER_READY=true"})
	assert.Equal(t, "USHER_READY: needs an app: write a command, or leave the flag out", text)
}

// No error repeats a secret from the command line or the environment, even if the secret is
// in the wrong place.
func TestErrorsInOptionsContainNoSecret(t *testing.T) {
	const canary = "hunter2"
	for _, words := range [][]string{
		{"--wait", "http://user:hunter2@auth:port/"},
		{"--wait", "nope=1 http://user:hunter2@auth/?token=hunter2#hunter2"},
		{"--wait", "tcp://user:hunter2@db:5432/?password=hunter2"},
		{"--wait", "postgres://user:hunter2@db/name extra"},
		{"--wait", "nope://user:hunter2@db"},
		{"--wait", "header='X-Token hunter2' http://a"},
		{"--wait", "header='X-Token: hunter2' tcp://a:1"},
		{"--wait", "header='X-Token: hunter2", "http://a"},
		{"--wait", "header=X-Token: hunter2", "http://a"},
		{"--drain", "body='{\"password\":\"hunter2\"}' true"},
		{"--drain", "body=hunter2 retries=x http://user:hunter2@a/hunter2?hunter2"},
		{"--pre-start", "mysql -phunter2 < dump"},
		{"--pre-start", "PASSWORD=hunter2 mysql"},
		{"--pre-start", "http://localhost/ hunter2"},
		{"--grace", "http://user:hunter2@auth"},
		{"--grace", "header=X-Token: hunter2"},
		{"--log", "token=hunter2"},
		{"--stop-on", "http://user:hunter2@auth"},
		{"--rewrite", "http://user:hunter2@auth"},
		{"--success-exit", "http://user:hunter2@auth"},
		{"--group=http://user:hunter2@auth"},
		{"--token=hunter2"},
		{"--https://user:hunter2@auth"},
		{"-phunter2"},
		{"http://user:hunter2@auth"},
		{"header=X-Token: hunter2"},
		{"body=hunter2"},
	} {
		assert.NotContains(t, errorsIn(t, append(words, "--nope"), nil), canary, "%q", words)
	}
	text := errorsIn(t, []string{"app"}, []string{
		"USHER_WAIT=http://user:hunter2@auth:port/?hunter2", "USHER_GRACE=http://u:hunter2@x", "USHER_DRAIN=body=hunter2 bad://hunter2",
	})
	assert.NotContains(t, text, canary)
}

func TestNearestFlagIsFoundByTheLettersThatDiffer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "abc", 0}, {"", "abc", 3}, {"ab", "", 2}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"ab", "ba", 2}, {"xyzab", "ab", 3}, {"ab", "xyzab", 3},
	} {
		assert.Equal(t, c.want, distance(c.a, c.b), "%s %s", c.a, c.b)
	}
}

func TestUsageFitsATerminal(t *testing.T) {
	all := strings.Split(strings.TrimSuffix(usage(), "\n"), "\n")
	assert.LessOrEqual(t, len(all), 115)
	for _, line := range all {
		assert.LessOrEqual(t, len(line), 100, line)
	}
}

// FuzzOptions parses arguments and environment entries, one per line. Parsing must not
// panic, and options without an error must pass the checks below.
func FuzzOptions(f *testing.F) {
	f.Add("--wait\ntcp://db:5432\n--\napp\n-x", "USHER_GRACE=25s\nA=1\nA=2")
	f.Add("--grace=abc\n--wiat\nx\n-g\n--=\n---\n--help=no", "USHER_GROUP=yes\nUSHER_WAIT=\x00a b")
	f.Add("--rewrite\n1:2\n--stop-on\nRTMIN+3\n--success-exit\n1,2\napp", "=\nUSHER_")
	f.Fuzz(func(t *testing.T, line, variables string) {
		args, env := strings.Split(line, "\n"), strings.Split(variables, "\n")
		for i := range env {
			env[i] = strings.ReplaceAll(env[i], "\x00", "\n") // in the fuzzer's input, NUL stands for a newline in the value of a variable
		}
		o, err := parseOptions(args, env)
		if err != nil {
			assert.NotContains(t, err.Error(), "\n\n")
			return
		}
		if o.help || o.version {
			return
		}
		require.NotNil(t, o.config.Env)
		require.LessOrEqual(t, len(o.config.Env), len(env))
		require.Equal(t, args[len(args)-len(o.config.Command):], append([]string{}, o.config.Command...))
		require.True(t, len(o.config.Command)+len(o.config.Wait) > 0)
		again, err := parseOptions(append([]string{"--"}, o.config.Command...), o.config.Env)
		if len(o.config.Command) > 0 {
			require.NoError(t, err)
			require.Equal(t, o.config.Env, again.config.Env)
		}
	})
}
