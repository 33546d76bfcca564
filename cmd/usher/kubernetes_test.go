package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"
)

// These types have the fields of Kubernetes' API that the pods and Jobs of the examples use.
// decode fails the test if a manifest has another field, or a field of the wrong type. So
// TestExampleManifestsFitKubernetes finds fields that are misspelt or in the wrong place.
// TestExamples does not, because it runs the pods with podman, which ignores such fields.
// Not everything is checked that the API server of a cluster checks.
type (
	kubeJob struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   kubeMeta `json:"metadata"`
		Spec       struct {
			BackoffLimit     *int32 `json:"backoffLimit,omitempty"`
			PodFailurePolicy *struct {
				Rules []kubeFailureRule `json:"rules"`
			} `json:"podFailurePolicy,omitempty"`
			Template struct {
				Spec kubePodSpec `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	kubeFailureRule struct {
		Action      string         `json:"action"`
		OnExitCodes *kubeExitCodes `json:"onExitCodes,omitempty"`
	}
	kubeExitCodes struct {
		ContainerName *string `json:"containerName,omitempty"` // only in a podFailurePolicy
		Operator      string  `json:"operator"`
		Values        []int32 `json:"values"`
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
		Name               string                `json:"name"`
		Image              string                `json:"image"`
		ImagePullPolicy    string                `json:"imagePullPolicy,omitempty"`
		RestartPolicy      *string               `json:"restartPolicy,omitempty"`
		RestartPolicyRules []kubeRestartRule     `json:"restartPolicyRules,omitempty"`
		Command            []string              `json:"command,omitempty"`
		Args               []string              `json:"args,omitempty"`
		Lifecycle          *kubeLifecycle        `json:"lifecycle,omitempty"`
		ReadinessProbe     *kubeProbe            `json:"readinessProbe,omitempty"`
		LivenessProbe      *kubeProbe            `json:"livenessProbe,omitempty"`
		StartupProbe       *kubeProbe            `json:"startupProbe,omitempty"`
		VolumeMounts       []kubeMount           `json:"volumeMounts,omitempty"`
		SecurityContext    *kubeContainerContext `json:"securityContext,omitempty"`
	}
	kubeRestartRule struct {
		Action    string         `json:"action"`
		ExitCodes *kubeExitCodes `json:"exitCodes,omitempty"`
	}
	kubeLifecycle struct {
		PostStart *kubeHandler `json:"postStart,omitempty"`
		PreStop   *kubeHandler `json:"preStop,omitempty"`
	}
	kubeHandler struct {
		Exec  *kubeExec `json:"exec,omitempty"`
		Sleep *struct {
			Seconds int64 `json:"seconds"`
		} `json:"sleep,omitempty"`
	}
	kubeExec struct {
		Command []string `json:"command"`
	}
	kubeProbe struct {
		Exec    *kubeExec `json:"exec,omitempty"`
		HTTPGet *struct {
			Path string `json:"path,omitempty"`
			Port int32  `json:"port"`
		} `json:"httpGet,omitempty"`
		TCPSocket *struct {
			Port int32 `json:"port"`
		} `json:"tcpSocket,omitempty"`
		InitialDelaySeconds int32 `json:"initialDelaySeconds,omitempty"`
		PeriodSeconds       int32 `json:"periodSeconds,omitempty"`
		TimeoutSeconds      int32 `json:"timeoutSeconds,omitempty"`
		FailureThreshold    int32 `json:"failureThreshold,omitempty"`
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
		Image    *struct {
			Reference  string `json:"reference"`
			PullPolicy string `json:"pullPolicy,omitempty"`
		} `json:"image,omitempty"`
	}
)

func TestExampleManifestsFitKubernetes(t *testing.T) {
	manifests := kubeManifests(t)
	var found []string
	for name := range podExamples {
		if name != "quadlet" { // left out, because its container is in no pod
			found = append(found, name)
		}
	}
	require.ElementsMatch(t, append(found, "README"), slices.Collect(maps.Keys(manifests)))
	for name, manifest := range manifests {
		t.Run(name, func(t *testing.T) { readKube(t, manifest).check(t) })
	}
}

// decode decodes a manifest into a value, and encodes the value again. If the result
// differs, the value's type lacks a field of the manifest, and the test fails.
func decode(t *testing.T, written map[string]any, into any) {
	t.Helper()
	before, err := json.Marshal(written)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(before, into))
	after, err := json.Marshal(into)
	require.NoError(t, err)
	assert.JSONEq(t, string(before), string(after))
}

// kubeManifests returns each pod.yaml and job.yaml of the examples, by the name of the
// example, and the pod in the README, by the name README.
func kubeManifests(t *testing.T) map[string][]byte {
	t.Helper()
	manifests := map[string][]byte{"README": []byte(readmeBlock(t, "pod"))}
	for _, file := range []string{"pod.yaml", "job.yaml"} {
		files, err := filepath.Glob("../../examples/*/" + file)
		require.NoError(t, err)
		for _, file := range files {
			manifests[filepath.Base(filepath.Dir(file))], err = os.ReadFile(file)
			require.NoError(t, err)
		}
	}
	return manifests
}

// readKube decodes a pod or a Job, checks some of its fields, and returns the spec of the pod.
func readKube(t *testing.T, manifest []byte) *kubePodSpec {
	t.Helper()
	var written map[string]any
	require.NoError(t, yaml.Unmarshal(manifest, &written)) // Unmarshal fails if a key occurs twice
	if written["kind"] != "Job" {
		var pod kubePod
		decode(t, written, &pod)
		assert.Equal(t, "v1 Pod", pod.APIVersion+" "+pod.Kind)
		assert.Contains(t, []string{"", "Always", "Never", "OnFailure"}, pod.Spec.RestartPolicy)
		return &pod.Spec
	}
	var job kubeJob
	decode(t, written, &job)
	assert.Equal(t, "batch/v1", job.APIVersion)
	spec := &job.Spec.Template.Spec
	assert.Contains(t, []string{"Never", "OnFailure"}, spec.RestartPolicy)
	if policy := job.Spec.PodFailurePolicy; policy != nil {
		assert.Equal(t, "Never", spec.RestartPolicy)
		for _, rule := range policy.Rules {
			assert.Contains(t, []string{"FailJob", "Ignore", "Count"}, rule.Action)
			rule.OnExitCodes.check(t)
			assert.True(t, slices.IsSorted(rule.OnExitCodes.Values), "the API server refuses values that are not sorted")
			assert.True(t, slices.ContainsFunc(spec.Containers, func(c kubeContainer) bool { return c.Name == *rule.OnExitCodes.ContainerName }))
		}
	}
	return spec
}

// check checks some of the values that the API server would check, and that each volume is
// mounted.
func (s *kubePodSpec) check(t *testing.T) {
	t.Helper()
	label := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	policies := []string{"", "Always", "Never", "IfNotPresent"}
	mounted := map[string]bool{}
	for _, v := range s.Volumes {
		assert.Regexp(t, label, v.Name)
		mounted[v.Name] = false
		assert.True(t, (v.EmptyDir == nil) != (v.Image == nil), "one kind of volume")
		if v.Image != nil {
			assert.NotEmpty(t, v.Image.Reference)
			assert.Contains(t, policies, v.Image.PullPolicy)
		}
	}
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		assert.Regexp(t, label, c.Name)
		assert.NotEmpty(t, c.Image)
		assert.Contains(t, policies, c.ImagePullPolicy)
		for _, m := range c.VolumeMounts {
			assert.Contains(t, mounted, m.Name, "no such volume")
			assert.True(t, filepath.IsAbs(m.MountPath), m.MountPath)
			mounted[m.Name] = true
		}
		for _, rule := range c.RestartPolicyRules {
			assert.NotNil(t, c.RestartPolicy, "restartPolicyRules need a restartPolicy of the container")
			assert.Contains(t, []string{"Restart", "RestartAllContainers"}, rule.Action)
			rule.ExitCodes.check(t)
			assert.Nil(t, rule.ExitCodes.ContainerName)
		}
		for _, p := range []*kubeProbe{c.ReadinessProbe, c.LivenessProbe, c.StartupProbe} {
			if p != nil {
				p.check(t)
			}
		}
	}
	assert.NotContains(t, slices.Collect(maps.Values(mounted)), false, "a volume is not mounted")
}

// check checks the operator, and that each code is one with which usher reports its own
// errors.
func (e *kubeExitCodes) check(t *testing.T) {
	t.Helper()
	require.NotNil(t, e)
	assert.Contains(t, []string{"In", "NotIn"}, e.Operator)
	assert.NotEmpty(t, e.Values)
	assert.Subset(t, []int32{124, 125, 126, 127}, e.Values)
}

func (p *kubeProbe) check(t *testing.T) {
	t.Helper()
	kinds := 0
	for _, set := range []bool{p.Exec != nil, p.HTTPGet != nil, p.TCPSocket != nil} {
		if set {
			kinds++
		}
	}
	assert.Equal(t, 1, kinds, "one kind of probe")
}

// uses returns the command lines of usher in a pod.
func (s *kubePodSpec) uses(t *testing.T) []use {
	t.Helper()
	kill := 30 * time.Second
	if s.TerminationGracePeriodSeconds != nil {
		kill = time.Duration(*s.TerminationGracePeriodSeconds) * time.Second
	}
	var all []use
	once := func(command []string) { // adds the command of an init container, a hook or a probe, if the command is usher
		if len(command) > 0 && filepath.Base(command[0]) == "usher" {
			all = append(all, use{args: command[1:]})
		}
	}
	for _, c := range s.InitContainers {
		require.Regexp(t, `\busher(:|$)`, c.Image)
		require.Empty(t, c.Command)
		once(append([]string{"usher"}, c.Args...))
	}
	for _, c := range s.Containers {
		if len(c.Command) == 0 || filepath.Base(c.Command[0]) != "usher" {
			continue
		}
		u := use{args: append(c.Command[1:], c.Args...), kill: kill}
		for _, p := range []*kubeProbe{c.ReadinessProbe, c.LivenessProbe, c.StartupProbe} {
			if p != nil && p.Exec != nil {
				once(p.Exec.Command)
			}
			if p != nil && p.HTTPGet != nil {
				u.requested = append(u.requested, fmt.Sprintf(":%d%s", p.HTTPGet.Port, p.HTTPGet.Path))
			}
		}
		if c.Lifecycle != nil {
			if start := c.Lifecycle.PostStart; start != nil && start.Exec != nil {
				once(start.Exec.Command)
			}
			if stop := c.Lifecycle.PreStop; stop != nil {
				require.NotNil(t, stop.Sleep, "only the time of a sleep is known")
				u.preStop = time.Duration(stop.Sleep.Seconds) * time.Second
			}
		}
		all = append(all, u)
	}
	return all
}
