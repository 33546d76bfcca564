package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/supervisor"
)

// inEnvironment moves the URL of each target into an environment variable, and returns the
// changed targets and the variables. It leaves out targets that are commands.
func inEnvironment(targets []secretTarget) (moved []secretTarget, env []string) {
	move := func(text string) string {
		i := strings.LastIndexByte(text, ' ') + 1
		name := fmt.Sprintf("URL_%d", len(env))
		env = append(env, name+"="+text[i:])
		return text[:i] + "env:" + name
	}
	for _, s := range targets {
		if strings.Contains(s.probe, "://") && strings.Contains(s.hook, "://") {
			moved = append(moved, secretTarget{move(s.probe), move(s.hook)})
		}
	}
	return moved, env
}

// assertNoValue asserts that printed text contains no secret, address or scheme of the URLs in
// the environment variables.
func assertNoValue(t *testing.T, printed string) {
	t.Helper()
	assertNotPrinted(t, printed, canary)
	assertNotPrinted(t, printed, "127.0.0.1")
	assertNotPrinted(t, printed, "://")
}

func TestNoValueOfAVariableIsPrintedWhenTargetsAreReady(t *testing.T) {
	d := newFixture(t, respondReady)
	targets, env := inEnvironment(d.targets(t, ""))
	require.Greater(t, len(targets), 12)
	args := []string{"--grace", "60s"}
	var waits []string
	for _, s := range targets {
		waits = append(waits, s.probe)
		args = append(args, "--ready", s.probe, "--pre-start", s.hook, "--post-start", s.hook, "--drain", s.hook, "--post-stop", s.hook)
	}
	env = append(env, "USHER_WAIT="+strings.Join(waits, "\n"))
	for name, flags := range logFlags {
		t.Run(name, func(t *testing.T) {
			code, log := runWithSecrets(t, launcher{env: env}, nil, slices.Concat(flags, args, []string{"--", "true"})...)
			assert.Equal(t, 0, code, lastLines(log))
			assertNoValue(t, log)
			if name == "default" {
				assertPrinted(t, log, "wait: env:URL_0 is ready after")
				assertPrinted(t, log, "pre-start: hook env:URL_1 finished in")
			}
		})
	}
	plan := launcher{env: env}.usher(t, slices.Concat([]string{"--plan"}, args, []string{"--", "true"})...)
	assert.Equal(t, 0, plan.code())
	printed := plan.stdout.rest()
	assertPrinted(t, printed, "hook env:URL_1")
	assertNoValue(t, printed)
	var probe []string
	for _, s := range targets {
		probe = append(probe, "--probe", "timeout=60s "+s.probe)
	}
	code, log := runWithSecrets(t, launcher{env: env}, nil, probe...)
	assert.Equal(t, 0, code, log)
}

func TestNoValueOfAVariableIsPrintedWhenTargetsFail(t *testing.T) {
	d := newFixture(t, respondNotReady)
	targets, env := inEnvironment(d.targets(t, wrongReplies["a line"]))
	for name, flags := range logFlags {
		t.Run(name, func(t *testing.T) {
			args := slices.Concat([]string{"--wait-timeout", "0.3s"}, flags)
			probe := slices.Concat(flags)
			for _, s := range targets {
				args = append(args, "--wait", s.probe, "--post-stop", s.hook)
				probe = append(probe, "--probe", s.probe)
			}
			code, log := runWithSecrets(t, launcher{env: env}, nil, append(args, "app")...)
			assert.Equal(t, supervisor.CodeTimeout, code)
			assertPrinted(t, log, "env:URL_")
			assertNoValue(t, strings.ReplaceAll(log, "https://", "")) // https:// is allowed, because hints and errors about options may contain it

			code, log = runWithSecrets(t, launcher{env: env}, nil, probe...)
			assert.Equal(t, 1, code)
			assertNoValue(t, strings.ReplaceAll(log, "https://", ""))
		})
	}
}

// If a variable holds no valid URL, usher starts nothing. The error names the variable.
func TestVariableWithoutATargetIsAnErrorAtTheStart(t *testing.T) {
	for _, value := range []string{
		"", "\n", canary, "u:" + canary + "@db", "curl " + canary, "timeout=2s tcp://" + canary + ":1", canary + "://h", "postgres://" + canary + ":0", "postgres+" + canary + "://h:0",
		"postgres:///" + canary, "http://" + canary + "/{}", "env:" + canary, "host=" + canary, `["` + canary + `"]`, "postgres://u:" + canary + "@h/@", "jdbc:" + canary + "://h", "dns://" + canary + "!",
	} {
		for _, args := range [][]string{
			{"--wait", "env:URL", "--", "true"}, {"--grace", "9s", "--drain", "retries=1 env:URL", "--log", "json", "--", "true"}, {"--plan", "--ready", "env:URL", "--", "true"},
			{"--pre-start", "env:URL", "true"}, {"--post-stop", "name=x env:URL", "true"},
			{"--probe", "env:URL"}, {"--verbose", "true"},
		} {
			env := []string{"URL=" + value}
			if args[0] == "--verbose" {
				env = append(env, "USHER_POST_START=env:URL")
			}
			errs := errorsIn(t, args, env)
			assert.Contains(t, errs, "env:URL: ", "%q", value)
			assert.NotContains(t, errs, canary, "%q", value)
		}
	}
	code, log := runWithSecrets(t, launcher{env: []string{"URL=postgres+" + canary + "://" + canary + ":0", "EMPTY="}}, nil,
		"--wait", "env:URL", "--wait", "env:EMPTY", "--wait", "timeout=2s env:NONE", "--wait", "env:postgres://u:"+canary+"@h", "--", "true")
	assert.Equal(t, supervisor.CodeFault, code)
	for _, want := range []string{
		"--wait (1 of 4): env:URL: postgres://…: the port is not in 1-65535", "--wait (2 of 4): env:EMPTY: the variable is empty",
		"--wait (3 of 4): env:NONE: the variable is not set", "--wait (4 of 4): env: is not followed by the name of a variable", "nothing was started",
	} {
		assertPrinted(t, log, want)
	}
	code, log = runWithSecrets(t, launcher{}, nil, "--", "env:"+canary)
	assert.Equal(t, supervisor.CodeFault, code)
	assertPrinted(t, log, "the command env:… is a target: write --wait before each target")
}

// The app also gets the variable of a target env:NAME. If the environment has several entries
// for the variable, the first entry counts, as for getenv(3).
func TestVariableOfATargetIsPassedOn(t *testing.T) {
	env := []string{"URL_2=dns://a", "URL=file:///", "URL=tcp://127.0.0.1:1"}
	for _, args := range [][]string{{"--wait", "env:URL", "app"}, {"--probe", "env:URL"}} {
		o := parsed(t, args, env)
		targets := slices.Concat(o.config.Wait, o.probe)
		require.Len(t, targets, 1)
		assert.Equal(t, "file", targets[0].Kind)
		if len(o.config.Command) > 0 {
			assert.Equal(t, env, o.config.Env)
		}
	}
}
