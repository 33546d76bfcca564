package main

import (
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// optionsOfOthers lists the options and environment variables of other tools, from their
// sources: tini 0.19, dumb-init 1.2.5, dockerize 0.13 and the options that version 0.25 of its
// fork adds, wait4x 3 and the kinds of targets on its main branch, wait-for-it.sh, and
// docker-compose-wait 2.11 with its deprecated names.
var optionsOfOthers = map[string]string{
	"tini and dumb-init": `-h -s -p -v -w -g -e -l --version TINI_SUBREAPER TINI_VERBOSITY TINI_KILL_PROCESS_GROUP
		-c --single-child -r --rewrite --verbose --help -V DUMB_INIT_SETSID DUMB_INIT_DEBUG`,
	"dockerize": `-wait -timeout -wait-retry-interval -wait-http-header -template -delims -no-overwrite -stdout -stderr -poll -version
		-wait-list -wait-http-status-code -wait-http-skip-redirect -cacert -skip-tls-verify -exec -exit-code -template-strict
		-env -env-section -env-header -multiline`,
	"wait4x": `-t --timeout -i --interval -v --invert-check --backoff-policy --backoff-exponential-coefficient
		--backoff-exponential-max-interval -q --quiet -l --log-level --no-color --connection-timeout
		--expect-status-code --no-redirect --expect-body-regex --expect-body-json --expect-body-xpath --expect-header
		--request-header --request-body --request-method --http-method --ca-file --cert-file --key-file
		--insecure-skip-tls-verify --h2c --service --insecure-transport
		-n --nameserver --expect-ip --expect-domain --expect-nameserver --expect-value --exit-code
		--expect-content-regex --expect-size --expect-age --allow-any --expect-table --expect-key
		--namespace --task-queue --expect-worker-identity-regex
		tcp http grpc dns exec file postgresql mysql mongodb redis kafka rabbitmq influxdb temporal aws version`,
	"wait-for-it.sh":      "-h --host -p --port -s --strict -t --timeout -q --quiet --help --child",
	"docker-compose-wait": "WAIT_HOSTS WAIT_PATHS WAIT_COMMAND WAIT_TIMEOUT WAIT_HOSTS_TIMEOUT WAIT_HOST_CONNECT_TIMEOUT WAIT_SLEEP_INTERVAL WAIT_BEFORE WAIT_BEFORE_HOSTS WAIT_AFTER WAIT_AFTER_HOSTS WAIT_LOGGER_LEVEL",
}

// movingSection returns the section of usher(1) about other tools.
func movingSection(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("usher.1")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "\n.Sh MOVING FROM OTHER TOOLS\n")
	section, _, ended := strings.Cut(section, "\n.Sh ")
	require.True(t, found && ended)
	return section
}

// The lists in usher(1) name each option in optionsOfOthers, and no other options.
func TestManualNamesEveryOptionOfOtherTools(t *testing.T) {
	lists := map[string]string{}
	for list := range strings.SplitSeq(movingSection(t), "\n.Ss ") {
		tool, list, _ := strings.Cut(list, "\n")
		lists[tool] = list
	}
	option := regexp.MustCompile(`\b(Fl|Ev|Cm) (\S+)`)
	for tool, options := range optionsOfOthers {
		var named []string
		for _, head := range regexp.MustCompile(`(?m)^\.It (.*)$`).FindAllStringSubmatch(lists[tool], -1) {
			if strings.HasPrefix(head[1], "without ") || head[1] == "Fl - Ar command" {
				continue
			}
			for _, m := range option.FindAllStringSubmatch(head[1], -1) {
				if m[1] == "Fl" {
					m[2] = "-" + m[2]
				}
				named = append(named, m[2])
			}
		}
		slices.Sort(named)
		assert.ElementsMatch(t, strings.Fields(options), slices.Compact(named), tool)
	}
}

// optionsOfOthers contains every option that tini, dumb-init and wait-for-it print in their
// help.
func TestOptionsOfInstalledToolsAreKnown(t *testing.T) {
	option := regexp.MustCompile(`(?m)(?:^ +|[,|] )(-[a-z]|--[a-z-]+|TINI_[A-Z_]+)\b`)
	for tool, help := range map[string][]string{
		"tini and dumb-init": {"tini -h", "dumb-init --help"}, "wait-for-it.sh": {"wait-for-it --help"},
	} {
		known := strings.Fields(optionsOfOthers[tool])
		for _, line := range help {
			argv := strings.Fields(line)
			path, err := exec.LookPath(argv[0])
			if err != nil {
				skip(t, "needs "+argv[0])
			}
			out, _ := exec.Command(path, argv[1:]...).CombinedOutput() // wait-for-it --help exits with 1
			found := option.FindAllStringSubmatch(string(out), -1)
			assert.GreaterOrEqual(t, len(found), 8, "%s", out)
			for _, m := range found {
				assert.Contains(t, known, m[1], line)
			}
		}
	}
}

// usher accepts each command line of usher in usher(1)'s section about other tools.
func TestCommandLinesForOtherToolsAreValid(t *testing.T) {
	lines := regexp.MustCompile(`(?m)^\.Dl usher (.*)$`).FindAllStringSubmatch(movingSection(t), -1)
	assert.Greater(t, len(lines), 50)
	for _, line := range lines {
		checkCommandLine(t, strings.NewReplacer(`\(dq`, `"`, `\e`, `\`).Replace(line[1]))
	}
}

// With an open port and with a closed port, wait-for-it.sh does the same as the usher command
// that usher(1) gives as its replacement.
func TestWaitForItAndUsherDoTheSame(t *testing.T) {
	script, err := exec.LookPath("wait-for-it") // Debian's package calls the script wait-for-it
	if err != nil {
		skip(t, "needs wait-for-it")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	open, closed := listener.Addr().String(), "127.0.0.1:1"
	app := []string{"--", "sh", "-c", "echo started; exit 7"}
	for _, c := range []struct {
		waitForIt, usher []string
		stdout           string
		code             int
	}{
		{[]string{open, "--strict"}, []string{"--wait", "tcp://" + open}, "started\n", 7},
		{[]string{open, "-s", "-t", "0", "-q"}, []string{"--wait", "tcp://" + open, "--wait-timeout", "0", "--quiet", "--exec"}, "started\n", 7},
		{[]string{closed, "--strict", "--timeout=1"}, []string{"--wait", "tcp://" + closed, "--wait-timeout", "1"}, "", 124},
		{[]string{closed, "--timeout=1"}, []string{"--wait", "optional=1s tcp://" + closed}, "started\n", 7},
	} {
		for _, argv := range [][]string{
			slices.Concat([]string{script}, c.waitForIt, app),
			slices.Concat([]string{binary(t)}, c.usher, app),
		} {
			stdout, stderr, code := launcher{hostPID: true}.run(t, argv...)
			assert.Equal(t, c.stdout, stdout, "%q: %s", argv, stderr)
			assert.Equal(t, c.code, code, "%q: %s", argv, stderr)
		}
	}
}
