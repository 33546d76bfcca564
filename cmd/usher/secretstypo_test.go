package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/usher-init/usher/supervisor"
)

// mistypedTargets are targets with typing errors; message is a part of the error.
var mistypedTargets = []struct{ text, message string }{
	// An option with a colon instead of an equals sign.
	{`header:'Authorization: Bearer ` + canary + `' http://h`, "header: is not the form of an option: write header='"},
	{`header:` + canary + ` http://h`, "header: is not the form of an option"},
	{`Header:'X-Token:` + canary + `' http://h`, "header: is not the form of an option"},
	{`header: 'X-Token: ` + canary + `' http://h`, "header: is not the form of an option"},
	{`timeout=2s body:` + canary + ` http://h`, "body: is not the form of an option: write body="},
	{`send:'AUTH ` + canary + `' tcp://h:1`, "send: is not the form of an option: write send="},
	{`match:` + canary, "match: is not the form of an option"},
	// A header or a token without header=, or with a mistyped header=.
	{`'Authorization: Bearer ` + canary + `' http://h`, "the command Authorization… is one word with blanks"},
	{`Authorization: Bearer ` + canary + ` http://h`, "cannot run Authorization…: not found"},
	{`X-Api-Key:` + canary + ` http://h`, "cannot run X-Api-Key…: not found"},
	{`header='K: V' Bearer:` + canary, "header= is for a URL"},
	{`-header='K: ` + canary + `' http://h`, "a command does not start with a dash"},
	{`--header='K: ` + canary + `' http://h`, "--header: no such flag"},
	{`headers='K: ` + canary + `' http://h`, "unknown option headers="},
	// A whole command in one word, or as JSON.
	{`"curl -u app:` + canary + ` localhost:1"`, "the command curl… is one word with blanks: write its arguments as separate words"},
	{`"curl -H ` + canary + ` localhost:1"`, "the command curl… is one word"},
	{`'/usr/bin/no-such-curl -u app:` + canary + `' x`, "cannot run /usr/bin/no-such-curl…: not found: a command and its arguments are separate words"},
	{`"./no-such --dsn=postgres://u:` + canary + `@h/db" up`, "cannot run ./no-such…: not found: a command and its"},
	{`'  app --password ` + canary + `'`, "the command … is one word"},
	{"'app\t" + canary + `'`, "the command app… is one word"},
	{`["app","--token=` + canary + `"]`, "JSON is not supported here"},
	{`["app", "--token", "` + canary + `"]`, "JSON is not supported here"},
	{`'["app","` + canary + `"]'`, "JSON is not supported here"},
	{`'{"cmd":"` + canary + `"}'`, "JSON is not supported here"},
	{`"'app' ` + canary + `"`, "the command … is one word"},
	// An environment variable before the command.
	{`TOKEN=` + canary + ` app`, "TOKEN= is not an option: for an environment variable write env TOKEN=value cmd"},
	{`token=` + canary + ` app`, "unknown option token="},
	{`app=` + canary, "unknown option app="},
	{`./no-such=` + canary, "cannot run ./no-such…: not found: for an environment variable write env NAME=value cmd"},
	{`env TOKEN=` + canary + ` no-such-command`, ""},
	{`/no/such/env TOKEN=` + canary + ` cmd`, "cannot run /no/such/env: not found"},
	// A mistyped URL, or a connection string that is no URL.
	{`hooks.example.com/services/T0/B0/` + canary, "hooks.example.com/… has no scheme: write http://hooks.example.com/…, or ./hooks.example.com/… for a command"},
	{`localhost/quit?token=` + canary, "localhost/… has no scheme"},
	{`'localhost/quit?token=` + canary + `'`, "localhost/… has no scheme"},
	{`10.0.0.1/` + canary, "10.0.0.1/… has no scheme"},
	{`//u:` + canary + `@db/app`, "cannot run …: not found"},
	{`//` + canary + `@db/app`, "cannot run …: not found"},
	{`postgres//u:` + canary + `@db/app`, "USER:PASSWORD@HOST without a scheme"},
	{`postgres//` + canary + `@db/app`, "cannot run postgres…: not found"},
	{`http//h/` + canary, "cannot run http…: not found"},
	{`postgres:/u:` + canary + `@db/app`, "postgres: without //"},
	{`u:` + canary + `@db:5432/app`, "USER:PASSWORD@HOST without a scheme"},
	{`u:` + canary + `@tcp(db:3306)/app`, "USER:PASSWORD@HOST without a scheme"},
	{canary + `@db/app`, "cannot run …: not found"},
	{`db:` + canary, "cannot run db…: not found"},
	{`'Server=db;Password=` + canary + `'`, "Server= is not an option"},
	{`'host=db password=` + canary + `'`, "unknown option host="},
	{`mssql:u:` + canary + `@db/app`, "unknown scheme mssql: write"},
	{`jdbc:oracle://db/app?password=` + canary, "unknown scheme jdbc:oracle://"},
	{`jdbc:oracle:thin:u/` + canary + `@db:1/app`, "unknown scheme jdbc:oracle: write tcp://HOST:1521"},
	{`'healthz?token=` + canary + `'`, "cannot run healthz…: not found"},
	{`'healthz#` + canary + `'`, "cannot run healthz…: not found"},
	{`app,` + canary, "cannot run app…: not found"},
	{`app"` + `'` + canary + `"`, "cannot run app…: not found"},
	// A wrong value of an option.
	{`timeout='Bearer ` + canary + `' http://h`, "is not a duration"},
	{`timeout=header:` + canary + ` http://h`, "is not a duration"},
	{`successes='app:` + canary + `' http://h`, "is not a whole number"},
	{`status='Bearer ` + canary + `' http://h`, "is not a status"},
}

// Usher rejects some of the mistyped targets. It tries to run the others as commands, which
// fail, nearly all because they are not found.
func TestNoSecretIsPrintedAfterATypoInATarget(t *testing.T) {
	for _, c := range mistypedTargets {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			// The first command line has no time limit: the wait ends once the message is in the log.
			untilPrinted := func(r *process) {
				r.stderr.expect(c.message)
				r.signal(syscall.SIGTERM)
			}
			for _, args := range [][]string{
				{"--log", "json", "--verbose", "--wait-timeout", "0", "--wait", c.text, "--", "true"},
				{"--verbose", "--post-stop", c.text, "--", "true"},
				{"--pre-start", c.text, "--", "true"},
				{"--grace", "9s", "--plan", "--drain", c.text, "--", "true"},
				{"--probe", c.text},
			} {
				var during func(*process)
				if args[0] == "--log" {
					during = untilPrinted
				}
				_, log := runWithSecrets(t, launcher{}, during, args...)
				optionOfProbes := strings.HasPrefix(c.text, "successes=")
				if !slices.Contains(args, "--plan") && (!optionOfProbes || args[0] == "--log") {
					assertPrinted(t, log, c.message, "%q", args)
				}
			}
			for _, format := range []string{"text", "json"} {
				code, log := runWithSecrets(t, launcher{env: []string{"USHER_WAIT=" + c.text, "USHER_WAIT_TIMEOUT=0.1s"}}, nil, "--log", format, "--", "true")
				assert.Contains(t, []int{supervisor.CodeTimeout, supervisor.CodeFault}, code, log)
			}
		})
	}
}

// An error about the app's command, or about a flag or its value, contains only the beginning
// of the wrong text, up to a part that may be a secret.
func TestNoSecretIsPrintedAfterATypoInTheCommand(t *testing.T) {
	for _, c := range []struct {
		message string
		args    []string
	}{
		{"cannot run app…: not found: a command and its arguments are separate words, not one in quotes", []string{"--", "app --password=" + canary}},
		{"cannot run app…: not found: a command and its arguments are separate words", []string{"app -p " + canary}},
		{"cannot run /no/such…: not found: a command", []string{"--grace", "5s", "--", "/no/such --dsn postgres://u:" + canary + "@h/db"}},
		{"cannot run app…: not found: a command", []string{"--", "app\n--password\n" + canary}},
		{"cannot run TOKEN…: not found: for an environment variable write env NAME=value cmd", []string{"--", "TOKEN=" + canary, "app"}},
		{"the command is JSON in one argument", []string{"--", `["app","--token=` + canary + `"]`}},
		{"the command is JSON in one argument", []string{"--", `{"token":"` + canary + `"}`}},
		{"cannot run header…: not found", []string{"--", "header:" + canary, "http://h"}},
		{"cannot run Authorization…: not found", []string{"--", "Authorization: Bearer " + canary}},
		{"cannot run …: not found", []string{"--", canary + "@db"}},
		{"cannot run …: not found", []string{"--", "//" + canary + "@db/app"}},
		{"cannot run hooks.example.com/…: not found", []string{"--", "hooks.example.com/services/" + canary}},
		{"the command looks like an address", []string{"--", "u:" + canary + "@tcp(db:3306)/app"}},
		{"cannot run host…: not found", []string{"--", "host=db password=" + canary}},
		{"cannot run Server…: not found", []string{"--", "Server=db;Password=" + canary}},
		{"cannot run app…: not found", []string{"--", "app;" + canary}},
		{"cannot run app…: not found", []string{"--", "app?" + canary}},
		{"cannot run …: not found", []string{"--", `"app" ` + canary}},
		// A flag and its value in one word, or a value in the wrong place.
		{"--drain: its value is a separate argument, or follows =: write --drain=…", []string{"--drain curl -u app:" + canary + " localhost", "--", "true"}},
		{"--wait: its value is a separate argument", []string{"--wait:postgres://u:" + canary + "@h", "--", "true"}},
		{"--grace: \"25s…\" is not a duration", []string{"--grace", "25s -- app -p" + canary, "--", "true"}},
		{"--grace: \"curl…\" is not a duration", []string{"--grace", "curl -u app:" + canary + " localhost", "--", "true"}},
		{"--stop-signal: unknown signal \"curl…\"", []string{"--grace", "5s", "--stop-signal", "curl -u app:" + canary, "--", "true"}},
		{"--stop-on: unknown signal \"app…\"", []string{"--stop-on", "app:" + canary, "--", "true"}},
		{"--rewrite: cannot read rewrite \"HUP:curl…\"", []string{"--rewrite", "HUP:curl " + canary, "--", "true"}},
		{"--health: \"app…\" is not an address to listen on", []string{"--health", "app:" + canary, "--", "true"}},
		{"--health: \"curl…\" is not an address to listen on", []string{"--health", "curl -u " + canary + " localhost:1", "--", "true"}},
		{"--log: \"json…\" is not a format", []string{"--log", "json -- app -p" + canary, "--", "true"}},
		{"--success-exit: \"143…\" is not an exit code", []string{"--success-exit", "143 app:" + canary, "--", "true"}},
		{"--group: \"app…\" is not a boolean", []string{"--group=app:" + canary, "--", "true"}},
		{"no such flag", []string{"--token:" + canary, "--", "true"}},
		{"no such flag", []string{"-p" + canary, "--", "true"}},
		{"no such flag", []string{"--token", canary, "--", "true"}},
		{"no such flag", []string{"--wait", "tcp://db:5432", "--header", "Authorization: Bearer " + canary, "--", "true"}},
		{"no such flag", []string{"--drain", "curl", "-u", "app:" + canary, "localhost", "--", "true"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			for _, flags := range [][]string{{"--verbose"}, {"--quiet"}, {"--post-stop", "true"}, {"--plan"}} {
				_, log := runWithSecrets(t, launcher{}, nil, append(flags, c.args...)...)
				if flags[0] != "--plan" {
					assertPrinted(t, log, c.message)
				}
			}
			if !slices.Contains(c.args, "--log") {
				runWithSecrets(t, launcher{}, nil, append([]string{"--log", "json"}, c.args...)...)
			}
		})
	}
	for _, name := range []string{"GRACE", "STOP_SIGNAL", "STOP_ON", "REWRITE", "HEALTH", "LOG", "SUCCESS_EXIT", "GROUP", "WAIT_TIMEOUT", "DRAIN_DELAY", "TERMINATION_LOG", "EXEC"} {
		for _, value := range []string{"Bearer " + canary, "app:" + canary, "token=" + canary, "u:" + canary + "@h", `["` + canary + `"]`, "143," + "x " + canary, "http://h/" + canary} {
			assert.NotContains(t, errorsIn(t, []string{"app"}, []string{"USHER_" + name + "=" + value}), canary, "%s=%s", name, value)
		}
	}
}
