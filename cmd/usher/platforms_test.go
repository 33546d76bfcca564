package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// use is a command line of usher in an example, with the time limits of the example's platform.
type use struct {
	args      []string
	kill      time.Duration // from the start of a stop to SIGKILL; 0 if the platform does not stop this process
	preStop   time.Duration // how long a preStop hook runs before the stop signal is sent (a part of the field kill); 0: there is no hook
	start     time.Duration // the time within which the app must have started; 0 if there is no limit
	requested []string      // port and path of each request that a probe sends to --health, such as ":8086/livez"
}

// exampleUses returns the command lines of usher in the examples and in the README's pod, by
// the example's name. It fails the test if a file other than a Dockerfile has an unknown field,
// and checks some of the values against the platform's limits.
func exampleUses(t *testing.T) map[string][]use {
	t.Helper()
	uses := map[string][]use{}
	for name, manifest := range kubeManifests(t) {
		uses[name] = readKube(t, manifest).uses(t)
	}
	for file, read := range map[string]func(*testing.T, string) []use{
		"nginx/Dockerfile":            dockerfileUses,
		"worker/Dockerfile":           dockerfileUses,
		"healthcheck/Dockerfile":      dockerfileUses,
		"migrations/Dockerfile":       dockerfileUses,
		"compose/compose.yaml":        composeUses,
		"ecs/task.yaml":               ecsUses,
		"nomad/web.nomad.hcl":         nomadUses,
		"cloud-run/service.yaml":      cloudRunUses,
		"systemd/usher-app.service":   systemdUses,
		"quadlet/usher-app.container": quadletUses,
	} {
		content, err := os.ReadFile("../../examples/" + file)
		require.NoError(t, err)
		uses[filepath.Dir(file)] = read(t, string(content))
	}
	return uses
}

// In each example that exampleUses reads, the command lines fit the settings of the platform in
// the same file: --plan prints no warning, a preStop and --grace end at least 2 s before the
// platform's SIGKILL, --wait-timeout ends before the platform gives up, and probes request the
// port of --health and one of its paths.
func TestExamplesFitTheirPlatforms(t *testing.T) {
	all := exampleUses(t)
	for _, name := range names(t, "../../examples") {
		// The program demo makes its own command lines, and embed is a program that does not
		// run usher. TestExampleWaitForJob reads the command line of wait-for-job.
		if !slices.Contains([]string{"demo", "embed", "wait-for-job"}, name) && filepath.Ext(name) != ".md" {
			assert.NotEmpty(t, all[name], "no test reads the example %s", name)
		}
	}
	for name, uses := range all {
		t.Run(name, func(t *testing.T) {
			for _, u := range uses {
				u.check(t)
			}
		})
	}
}

func (u *use) check(t *testing.T) {
	t.Helper()
	o, err := parseOptions(u.args, nil)
	require.NoError(t, err, "%q", u.args)
	if o.install == "" && len(o.probe) == 0 { // command lines with --install or --probe cannot have --plan
		out, stderr, code := launcher{hostPID: true}.run(t, append([]string{binary(t), "--plan"}, u.args...)...)
		assert.Equal(t, 0, code, stderr)
		assert.NotContains(t, out, "\nWarnings\n", "%q", u.args)
	}
	if u.kill > 0 {
		assert.NotZero(t, o.config.Grace, "%q: no --grace", u.args)
		assert.LessOrEqual(t, o.config.Grace+u.preStop+2*time.Second, u.kill, "%q: --grace, a preStop and 2 s must fit into the platform's time", u.args)
	}
	if u.start > 0 && len(o.config.Wait) > 0 {
		assert.Positive(t, o.config.WaitTimeout)
		assert.Less(t, o.config.WaitTimeout, u.start, "%q: the platform gives up before --wait-timeout", u.args)
	}
	for _, address := range u.requested {
		port, path := address[:strings.Index(address, "/")], address[strings.Index(address, "/"):]
		assert.Equal(t, o.health, port, "a probe requests another port than that of --health")
		assert.Contains(t, []string{"/livez", "/readyz", "/servingz"}, path)
	}
}

// dockerfileUses reads ENTRYPOINT with CMD, and HEALTHCHECK. The time until SIGKILL comes
// from the command "docker stop" in the file's comment; without such a command it is
// Docker's default of 10 s.
func dockerfileUses(t *testing.T, file string) []use {
	t.Helper()
	file = strings.ReplaceAll(file, "\\\n", "")
	words := func(instruction string) (list []string) {
		if at := regexp.MustCompile(`(?m)^` + instruction + ` (\[.*\])$`).FindStringSubmatch(file); at != nil {
			require.NoError(t, json.Unmarshal([]byte(at[1]), &list))
		}
		return list
	}
	entrypoint := append(words("ENTRYPOINT"), words("CMD")...)
	require.NotEmpty(t, entrypoint)
	require.Equal(t, "/usher", entrypoint[0])
	u := use{args: entrypoint[1:], kill: 10 * time.Second}
	if at := regexp.MustCompile(`(?m)^#     docker stop -t (\d+) `).FindStringSubmatch(file); at != nil {
		u.kill = seconds(t, at[1])
	}
	all := []use{u}
	if probe := words("HEALTHCHECK .*CMD"); probe != nil {
		require.Equal(t, "/usher", probe[0])
		all = append(all, use{args: probe[1:]})
	}
	return all
}

// healthCommand returns the command line of usher in a health check as a value of type use. In
// Docker's API, Compose and ECS a health check is the same list: CMD, and then the words of the
// command.
func healthCommand(t *testing.T, test []string) use {
	t.Helper()
	require.Greater(t, len(test), 2)
	require.Equal(t, []string{"CMD", "/usher"}, test[:2])
	return use{args: test[2:]}
}

func seconds(t *testing.T, number string) time.Duration {
	t.Helper()
	n, err := strconv.Atoi(number)
	require.NoError(t, err)
	return time.Duration(n) * time.Second
}

// In the table of examples/PLATFORMS.md, --grace is 2 s less than the time after which the
// platform sends SIGKILL by default. The files to which the page links and the flags that it
// names exist.
func TestPageOfPlatforms(t *testing.T) {
	content, err := os.ReadFile("../../examples/PLATFORMS.md")
	require.NoError(t, err)
	page := string(content)
	rows := regexp.MustCompile(`(?m)^\| ([^|]+) \| [^|]+ \| (\d+) s[^|]* \| [^|]+ \| at most (\d+)s \| `).FindAllStringSubmatch(page, -1)
	require.Len(t, rows, strings.Count(page, "\n| ")-1, "all rows of the table but the heading")
	for _, row := range rows {
		assert.Equal(t, seconds(t, row[2]), seconds(t, row[3])+2*time.Second, row[1])
	}
	for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(page, -1) {
		assert.FileExists(t, "../../examples/"+link[1])
	}
	for _, flag := range regexp.MustCompile("`(--[a-z-]+)").FindAllStringSubmatch(page, -1) {
		if flag[1] != "--stop-timeout" { // podman's
			assert.True(t, slices.ContainsFunc(flags, func(f flagRow) bool { return "--"+f.name == flag[1] }), flag[1])
		}
	}
}
