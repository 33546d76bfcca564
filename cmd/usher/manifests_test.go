package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"
)

// The types and tables in this file declare the fields that the examples for Compose, ECS,
// Cloud Run, Nomad, systemd and Quadlet use, as each platform's reference describes them. A
// field that is not declared fails the test. The functions also check some values against
// limits of the platform.

// readYAML decodes a manifest. If the type of into lacks a field of the manifest, the test
// fails (see decode).
func readYAML(t *testing.T, manifest string, into any) {
	t.Helper()
	var written map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(manifest), &written))
	decode(t, written, into)
}

type composeFile struct {
	Services map[string]composeService `json:"services"`
}

type composeService struct {
	Build           string             `json:"build,omitempty"`
	Image           string             `json:"image,omitempty"`
	Command         []string           `json:"command,omitempty"`
	Environment     map[string]string  `json:"environment,omitempty"`
	StopSignal      string             `json:"stop_signal,omitempty"`
	StopGracePeriod string             `json:"stop_grace_period,omitempty"`
	Healthcheck     *composeHealth     `json:"healthcheck,omitempty"`
	DependsOn       map[string]depends `json:"depends_on,omitempty"`
}

type composeHealth struct {
	Test     []string `json:"test"`
	Interval string   `json:"interval,omitempty"`
}

type depends struct {
	Condition string `json:"condition"`
}

func composeUses(t *testing.T, file string) []use {
	t.Helper()
	var compose composeFile
	readYAML(t, file, &compose)
	var all []use
	for _, s := range compose.Services {
		assert.True(t, (s.Build == "") != (s.Image == ""))
		if s.Build == "" {
			continue // this image contains no usher
		}
		u := use{args: s.Command, kill: 10 * time.Second}
		if s.StopGracePeriod != "" {
			var err error
			u.kill, err = time.ParseDuration(s.StopGracePeriod)
			require.NoError(t, err)
		}
		all = append(all, u)
		if s.Healthcheck != nil {
			all = append(all, healthCommand(t, s.Healthcheck.Test))
		}
		for name, d := range s.DependsOn {
			assert.Contains(t, compose.Services, name)
			assert.Contains(t, []string{"service_started", "service_healthy", "service_completed_successfully"}, d.Condition)
		}
	}
	return all
}

// ecsTask is the body of the request RegisterTaskDefinition in the API of Amazon ECS.
type ecsTask struct {
	Family                  string         `json:"family"`
	RequiresCompatibilities []string       `json:"requiresCompatibilities"`
	NetworkMode             string         `json:"networkMode"`
	CPU                     string         `json:"cpu"`
	Memory                  string         `json:"memory"`
	ContainerDefinitions    []ecsContainer `json:"containerDefinitions"`
}

type ecsContainer struct {
	Name         string   `json:"name"`
	Image        string   `json:"image"`
	Essential    bool     `json:"essential,omitempty"`
	EntryPoint   []string `json:"entryPoint,omitempty"`
	Command      []string `json:"command,omitempty"`
	StopTimeout  int      `json:"stopTimeout,omitempty"`
	PortMappings []struct {
		ContainerPort int `json:"containerPort"`
	} `json:"portMappings,omitempty"`
	HealthCheck *struct {
		Command  []string `json:"command"`
		Interval int      `json:"interval,omitempty"`
		Timeout  int      `json:"timeout,omitempty"`
		Retries  int      `json:"retries,omitempty"`
	} `json:"healthCheck,omitempty"`
}

func readECS(t *testing.T, file string) ecsContainer {
	t.Helper()
	var task ecsTask
	readYAML(t, file, &task)
	assert.Equal(t, []string{"FARGATE"}, task.RequiresCompatibilities)
	assert.Equal(t, "awsvpc", task.NetworkMode, "Fargate has no other")
	assert.Equal(t, "256 512", task.CPU+" "+task.Memory, "one of the sizes of Fargate")
	require.Len(t, task.ContainerDefinitions, 1)
	c := task.ContainerDefinitions[0]
	assert.True(t, c.Essential)
	assert.LessOrEqual(t, c.StopTimeout, 120, "Fargate's limit")
	h := c.HealthCheck
	assert.True(t, 5 <= h.Interval && h.Interval <= 300 && 2 <= h.Timeout && h.Timeout <= 60 && 1 <= h.Retries && h.Retries <= 10, "%+v", h)
	return c
}

func ecsUses(t *testing.T, file string) []use {
	t.Helper()
	c := readECS(t, file)
	require.Equal(t, []string{"/usher"}, c.EntryPoint)
	u := use{args: c.Command, kill: 30 * time.Second}
	if c.StopTimeout > 0 {
		u.kill = time.Duration(c.StopTimeout) * time.Second
	}
	return []use{u, healthCommand(t, c.HealthCheck.Command)}
}

// cloudRunService is a Service of Cloud Run's API, version 1. It has the form of Knative's
// Service, with fewer fields.
type cloudRunService struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   kubeMeta `json:"metadata"`
	Spec       struct {
		Template struct {
			Spec struct {
				Containers []cloudRunContainer `json:"containers"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

type cloudRunContainer struct {
	Image   string   `json:"image"`
	Command []string `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
	Ports   []struct {
		ContainerPort int32 `json:"containerPort"`
	} `json:"ports,omitempty"`
	StartupProbe *kubeProbe `json:"startupProbe,omitempty"`
}

func readCloudRun(t *testing.T, file string) cloudRunContainer {
	t.Helper()
	var service cloudRunService
	readYAML(t, file, &service)
	assert.Equal(t, "serving.knative.dev/v1 Service", service.APIVersion+" "+service.Kind)
	require.Len(t, service.Spec.Template.Spec.Containers, 1)
	c := service.Spec.Template.Spec.Containers[0]
	require.Len(t, c.Ports, 1)
	c.StartupProbe.check(t)
	assert.Nil(t, c.StartupProbe.Exec, "Cloud Run has no exec probes")
	assert.LessOrEqual(t, c.StartupProbe.PeriodSeconds, int32(240), "Cloud Run's limit")
	return c
}

func cloudRunUses(t *testing.T, file string) []use {
	t.Helper()
	c := readCloudRun(t, file)
	require.Equal(t, []string{"/usher"}, c.Command)
	start := time.Duration(c.StartupProbe.PeriodSeconds*c.StartupProbe.FailureThreshold) * time.Second
	return []use{{args: c.Args, kill: 10 * time.Second, start: start}}
}

// nomadFields lists the blocks that the example's Nomad job may have, and the attributes of
// each block. Of an attribute's value here only the type matters.
var nomadFields = map[string]map[string]any{
	"":                          {},
	".job":                      {},
	".job.group":                {},
	".job.group.network":        {},
	".job.group.network.port":   {"to": 0},
	".job.group.service":        {"name": "", "port": "", "provider": ""},
	".job.group.task":           {"driver": "", "shutdown_delay": "", "kill_signal": "", "kill_timeout": ""},
	".job.group.task.config":    {"image": "", "ports": []string{}, "entrypoint": []string{}, "args": []string{}},
	".job.group.task.resources": {"cpu": 0, "memory": 0},
}

type nomadTask struct {
	entrypoint, args []string
	signal           string
	kill             time.Duration
}

func readNomad(t *testing.T, file string) nomadTask {
	t.Helper()
	root := parseHCL(t, file)
	root.walk("", func(path string, b *hclBlock) {
		known, ok := nomadFields[path]
		require.True(t, ok, "unknown block %s", path)
		for name, value := range b.attributes {
			assert.IsType(t, known[name], value, "%s.%s", path, name)
		}
	})
	group := root.block(t, "job").block(t, "group")
	task := group.block(t, "task")
	config := task.block(t, "config")
	assert.Equal(t, "docker", task.attributes["driver"])
	assert.Contains(t, []string{"consul", "nomad"}, group.block(t, "service").attributes["provider"])
	assert.Equal(t, []string{"http"}, group.block(t, "network").block(t, "port").labels)
	assert.Equal(t, []string{"http"}, config.attributes["ports"])
	for _, name := range []string{"shutdown_delay", "kill_timeout"} {
		_, err := time.ParseDuration(task.attributes[name].(string))
		require.NoError(t, err)
	}
	kill, _ := time.ParseDuration(task.attributes["kill_timeout"].(string))
	assert.LessOrEqual(t, kill, 30*time.Second, "the default of max_kill_timeout")
	return nomadTask{config.attributes["entrypoint"].([]string), config.attributes["args"].([]string), task.attributes["kill_signal"].(string), kill}
}

func nomadUses(t *testing.T, file string) []use {
	t.Helper()
	task := readNomad(t, file)
	require.Equal(t, []string{"/usher"}, task.entrypoint)
	return []use{{args: task.args, kill: task.kill}}
}

// unitKeys lists the keys that the examples use in each section of a unit, with a pattern
// for their values. Command lines must not contain quotes, backslashes, $ or %, so that the
// tests can split them at spaces.
var unitKeys = map[string]string{
	"Unit.Description":                 `.+`,
	"Unit.Wants":                       `network-online\.target`,
	"Unit.After":                       `network-online\.target`,
	"Service.Type":                     `notify`,
	"Service.NotifyAccess":             `main`,
	"Service.ExecStart":                `/[^"'\\$%]+`,
	"Service.KillMode":                 `mixed`,
	"Service.TimeoutStopSec":           `\d+`,
	"Service.TimeoutStartSec":          `\d+`,
	"Service.Restart":                  `on-failure`,
	"Service.RestartPreventExitStatus": `(\d+ )*\d+`,
	"Service.SuccessExitStatus":        `(\d+ )*\d+`,
	"Service.DynamicUser":              `yes|no`,
	"Install.WantedBy":                 `multi-user\.target`,
	"Container.Image":                  `\S+`,
	"Container.Entrypoint":             `/\S+`,
	"Container.Exec":                   `[^"'\\$%]+`,
	"Container.Notify":                 `true`,
	"Container.StopTimeout":            `\d+`,
}

// readUnit returns the values of a unit, by section and key. No key may occur twice.
func readUnit(t *testing.T, file string) map[string]string {
	t.Helper()
	unit, section := map[string]string{}, ""
	for line := range strings.Lines(file) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		key = section + "." + key
		require.Contains(t, unitKeys, key)
		assert.Regexp(t, `^(`+unitKeys[key]+`)$`, value, key)
		require.NotContains(t, unit, key)
		unit[key] = value
	}
	return unit
}

func systemdUses(t *testing.T, file string) []use {
	t.Helper()
	unit := readUnit(t, file)
	for key := range unit {
		assert.NotContains(t, key, "Container.", "a section of Quadlet")
	}
	argv := strings.Fields(unit["Service.ExecStart"])
	require.Equal(t, "usher", filepath.Base(argv[0]))
	assert.Equal(t, "mixed", unit["Service.KillMode"])
	return []use{{args: argv[1:], kill: seconds(t, unit["Service.TimeoutStopSec"]), start: seconds(t, unit["Service.TimeoutStartSec"])}}
}

func quadletUses(t *testing.T, file string) []use {
	t.Helper()
	unit := readUnit(t, file)
	for _, key := range []string{"Service.Type", "Service.NotifyAccess", "Service.ExecStart", "Service.KillMode"} {
		assert.NotContains(t, unit, key, "Quadlet writes it")
	}
	require.Equal(t, "/usher", unit["Container.Entrypoint"])
	kill := 10 * time.Second // podman's default
	if stop := unit["Container.StopTimeout"]; stop != "" {
		kill = seconds(t, stop)
	}
	assert.Greater(t, seconds(t, unit["Service.TimeoutStopSec"]), kill, "systemd kills the container before podman does")
	return []use{{args: strings.Fields(unit["Container.Exec"]), kill: kill, start: seconds(t, unit["Service.TimeoutStartSec"])}}
}

// systemd-analyze finds no error in the example's unit. It also checks that the program
// exists, so it gets a copy of the unit with the path of the usher under test.
func TestExampleUnitIsValid(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		skip(t, "no systemd-analyze on this machine (Debian: systemd)")
	}
	unit, err := os.ReadFile("../../examples/systemd/usher-app.service")
	require.NoError(t, err)
	verify := func(unit string) (printed string, code int) {
		file := filepath.Join(t.TempDir(), "usher-app.service")
		require.NoError(t, os.WriteFile(file, []byte(unit), 0o644))
		printed, _, code = launcher{hostPID: true, merged: true}.run(t, "systemd-analyze", "verify", "--man=no", file)
		return strings.Join(slices.Collect(maps.Keys(onlyAbout("usher-app", printed))), "\n"), code
	}
	good := strings.Replace(string(unit), "/usr/local/bin/usher", binary(t), 1)
	printed, code := verify(good)
	assert.Equal(t, 0, code, printed)
	assert.Empty(t, printed)
	for right, wrong := range map[string]string{"KillMode=mixed": "KillMode=both", "KillMode=": "KillMod=", "TimeoutStopSec=": "TimeoutStopSec=soon"} {
		require.Contains(t, good, "\n"+right)
		printed, _ := verify(strings.Replace(good, "\n"+right, "\n"+wrong, 1))
		assert.NotEmpty(t, printed, wrong)
	}
}

// onlyAbout returns the lines that contain text. systemd-analyze also prints warnings about
// other units of the machine.
func onlyAbout(text, printed string) map[string]bool {
	lines := map[string]bool{}
	for line := range strings.Lines(printed) {
		if strings.Contains(line, text) {
			lines[strings.TrimSpace(line)] = true
		}
	}
	return lines
}
