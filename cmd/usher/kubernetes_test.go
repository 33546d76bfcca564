package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"
)

// These types have the fields of Kubernetes' API that the examples use. The test fails if a
// manifest has another field, or a field of the wrong type. So it finds fields that are
// misspelt or in the wrong place, which podman ignores. It does not replace the admission
// control of a cluster.
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
			require.NoError(t, yaml.Unmarshal(manifest, &written)) // Unmarshal refuses duplicate keys
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

// check fails if the API server would reject a value, or if a --grace is longer than the
// pod's grace period minus 2 s.
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
