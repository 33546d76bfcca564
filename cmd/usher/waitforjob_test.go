package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"

	"github.com/usher-init/usher/supervisor"
)

// waitForJob is a test of the example wait-for-job. It holds the manifests of one file, and
// stands in for the API server of Kubernetes.
type waitForJob struct {
	*testing.T
	role    kubeRole
	pod     kubeWaitingPod
	dir     string // stands for /var/run/secrets/kubernetes.io/serviceaccount
	address string

	mu          sync.Mutex // protects role and the fields below, because serve runs in other goroutines
	token       string     // the token that the server accepts
	responses   []string   // the next responses, the last of which is repeated: the completions of the Job, such as "0/1", or whether each endpoint is ready, such as "false true"; "": no Job, or no endpoints
	largestSize int        // bytes in the largest response that was a Job as a table
}

type kubeRole struct {
	Metadata kubeMeta
	Rules    []struct{ APIGroups, Resources, ResourceNames, Verbs []string }
}

type kubeWaitingPod struct {
	Metadata kubeMeta
	Spec     struct {
		ServiceAccountName string
		Containers         []struct{ Command, Args []string }
	}
}

func newWaitForJob(t *testing.T, file string) *waitForJob {
	t.Helper()
	w := &waitForJob{T: t, dir: t.TempDir(), token: "t0k3n"}
	content, err := os.ReadFile("../../examples/wait-for-job/" + file)
	require.NoError(t, err)
	documents := strings.Split(string(content), "\n---\n")
	require.Len(t, documents, 4)
	var account struct{ Metadata kubeMeta }
	var binding struct {
		RoleRef  struct{ Kind, Name string }
		Subjects []struct{ Kind, Name string }
	}
	for i, into := range []any{&account, &w.role, &binding, &w.pod} {
		var written map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(documents[i]), &written))
		text, err := json.Marshal(written)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, into))
	}
	// The binding gives the role to the service account of the pod.
	assert.Equal(t, "Role "+w.role.Metadata.Name, binding.RoleRef.Kind+" "+binding.RoleRef.Name)
	require.Len(t, binding.Subjects, 1)
	assert.Equal(t, "ServiceAccount "+account.Metadata.Name, binding.Subjects[0].Kind+" "+binding.Subjects[0].Name)
	assert.Equal(t, account.Metadata.Name, w.pod.Spec.ServiceAccountName)

	server := httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	w.address = server.Listener.Addr().String()
	w.write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	w.write("token", "t0k3n")
	return w
}

func (w *waitForJob) write(name, text string) {
	require.NoError(w, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600))
}

// args returns the arguments of the pod's container, with the paths and the address of the
// test. It adds server-name=, because the test's certificate is for example.com.
func (w *waitForJob) args() (args []string) {
	for _, arg := range w.pod.Spec.Containers[0].Args {
		assert.NotContains(w, arg, "server-name=")
		args = append(args, strings.NewReplacer(
			"$(NAMESPACE)", "default", "/var/run/secrets/kubernetes.io/serviceaccount", w.dir,
			"https://kubernetes.default.svc/", "server-name=example.com https://"+w.address+"/").Replace(arg))
	}
	return args
}

// serve responds like the API server: 401 without a valid token, and 403 if the Role, which has
// one rule, does not allow the request. For a Job it responds with 404 if there is none, else
// with the Job: as a table if the Accept header wants that, or in full. For a list it responds
// with the EndpointSlices.
func (w *waitForJob) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rw.Header().Set("Audit-Id", "5cb5d8d8-0e6f-4a3e-9f0c-0a1ab1cb1f3e")
	rw.Header().Set("Content-Type", "application/json")
	failure := func(code int, reason string) {
		rw.WriteHeader(code)
		fmt.Fprintf(rw, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"%s","reason":"%[1]s","code":%d}`, reason, code)
	}
	// /apis/GROUP/VERSION/namespaces/NAMESPACE/RESOURCE[/NAME]
	path := strings.Split(r.URL.Path, "/")
	verb := map[int]string{7: "list", 8: "get"}[len(path)]
	allowed := verb != "" && r.Method == http.MethodGet && path[5] == "default"
	for _, rule := range w.role.Rules {
		allowed = allowed && slices.Contains(rule.APIGroups, path[2]) && slices.Contains(rule.Resources, path[6]) &&
			slices.Contains(rule.Verbs, verb) && (rule.ResourceNames == nil || verb == "get" && slices.Contains(rule.ResourceNames, path[7]))
	}
	completions := w.responses[0]
	switch {
	case r.Header.Get("Authorization") != "Bearer "+w.token:
		failure(http.StatusUnauthorized, "Unauthorized")
		return
	case !allowed:
		failure(http.StatusForbidden, "Forbidden")
		return
	case len(w.responses) > 1:
		w.responses = w.responses[1:]
	}
	switch accept := r.Header.Get("Accept"); {
	case verb == "list":
		assert.Equal(w, "kubernetes.io/service-name=web", r.URL.Query().Get("labelSelector"))
		rw.Write(endpointSlices(strings.Fields(completions)))
	case completions == "":
		failure(http.StatusNotFound, "NotFound")
	case strings.HasPrefix(accept, "application/json;as=Table;v=v1;g=meta.k8s.io"):
		assert.Equal(w, "None", r.URL.Query().Get("includeObject"))
		table := jobAsTable(path[7], completions)
		w.largestSize = max(w.largestSize, len(table))
		rw.Write(table)
	default:
		rw.Write(jobInFull(path[7], completions))
	}
}

// jobAsTable returns a Job as a table. The descriptions of the columns are about as long as
// in the tables of Kubernetes.
func jobAsTable(name, completions string) []byte {
	var columns []map[string]any
	for _, column := range []string{"Name", "Status", "Completions", "Duration", "Age", "Containers", "Images", "Selector"} {
		columns = append(columns, map[string]any{"name": column, "type": "string", "format": "", "priority": 0, "description": strings.Repeat("words about the column ", 20)})
	}
	table, _ := json.Marshal(map[string]any{
		"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": map[string]any{"resourceVersion": "4711"}, "columnDefinitions": columns,
		"rows": []any{map[string]any{"cells": []string{name, "Running", completions, "6s", "6s", name, "registry.example/app:1.0", "batch.kubernetes.io/controller-uid=0a1ab1cb"}, "object": nil}},
	})
	return table
}

// jobInFull returns a Job with a long pod template. The status comes last, beyond the first
// 10 KiB, which are all that match= reads.
func jobInFull(name, completions string) []byte {
	return []byte(fmt.Sprintf(`{"kind":"Job","apiVersion":"batch/v1","metadata":{"name":%q},"spec":{"template":{"spec":{"containers":[{"name":"app","args":[%q]}]}}},"status":{"succeeded":%q}}`,
		name, strings.Repeat("x", 11<<10), completions))
}

// endpointSlices returns the list of the EndpointSlices of a Service, with one slice, or none
// if there are no endpoints.
func endpointSlices(ready []string) []byte {
	items := []any{}
	if len(ready) > 0 {
		var endpoints []any
		for i, ready := range ready {
			endpoints = append(endpoints, map[string]any{
				"addresses": []string{fmt.Sprintf("10.0.0.%d", i+1)}, "nodeName": "node", "zone": "zone",
				"conditions": map[string]any{"ready": ready == "true", "serving": true, "terminating": ready == "false"},
				"targetRef":  map[string]any{"kind": "Pod", "namespace": "default", "name": fmt.Sprintf("web-7c5ddbdf54-%05d", i), "uid": "0a1ab1cb-5cb5-4a3e-9f0c-0a1ab1cb1f3e"},
			})
		}
		items = append(items, map[string]any{
			"metadata": map[string]any{
				"name": "web-abc12", "namespace": "default", "labels": map[string]any{"kubernetes.io/service-name": "web"},
				"managedFields": []any{map[string]any{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": map[string]any{"f:endpoints": map[string]any{}, "f:ports": strings.Repeat("x", 1<<10)}}},
			},
			"addressType": "IPv4", "endpoints": endpoints, "ports": []any{map[string]any{"port": 80, "protocol": "TCP"}},
		})
	}
	list, _ := json.Marshal(map[string]any{"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": map[string]any{"resourceVersion": "4711"}, "items": items})
	return list
}

// set calls change with w.mu locked. So change may set the fields that serve uses.
func (w *waitForJob) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// runUsher runs usher, waits until it exits, and returns its output and its exit code.
func runUsher(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	link, err := linkTo("usher")
	require.NoError(t, err)
	return launcher{env: []string{"PATH=" + os.Getenv("PATH")}}.run(t, append([]string{link}, args...)...)
}

// failTimeout is the limit of a wait that must fail. The error names the cause only if the first
// attempt, with its TLS handshake, ends within it.
const failTimeout = "--wait-timeout=5s"

func TestExampleWaitForJob(t *testing.T) {
	w := newWaitForJob(t, "manifests.yaml")
	w.set(func() { w.responses = []string{"", "0/1", "0/1", "1/1"} })
	out, log, code := runUsher(t, append([]string{"--verbose"}, w.args()...)...)
	assert.Equal(t, 0, code, log)
	assert.Equal(t, "the app starts\n", out)
	for _, want := range []string{
		"usher: wait: job/migrate: attempt 1 failed: status 404", "usher: wait: job/migrate: attempt 2 failed: body does not match match=",
		"usher: wait: job/migrate: attempt 4 succeeded", "usher: wait: job/migrate is ready after ",
	} {
		assertPrinted(t, log, want)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	assertNotPrinted(t, log, w.token)
	assert.Less(t, w.largestSize, 10<<10, "match= sees only the first 10 KiB")
	assert.Greater(t, w.largestSize, 2<<10)
}

// Only ready endpoints of the Service count. One is enough, if it is in the first 10 KiB of
// the response, which are all that match= reads: here it is the twentieth endpoint.
func TestExampleWaitForEndpoints(t *testing.T) {
	t.Parallel()
	w := newWaitForJob(t, "endpoints.yaml")
	w.set(func() {
		w.responses = []string{"", "false", "false false", strings.Repeat("false ", 19) + "true"}
	})
	out, log, code := runUsher(t, append([]string{"--verbose"}, w.args()...)...)
	assert.Equal(t, 0, code, log)
	assert.Equal(t, "the app starts\n", out)
	for _, want := range []string{
		"usher: wait: endpoints/web: attempt 1 failed: body does not match match=", "usher: wait: endpoints/web: attempt 3 failed: body does not match match=",
		"usher: wait: endpoints/web: attempt 4 succeeded", "usher: wait: endpoints/web is ready after ",
	} {
		assertPrinted(t, log, want)
	}
	// The Role of manifests.yaml does not allow usher to list EndpointSlices.
	w.set(func() { w.role = newWaitForJob(t, "manifests.yaml").role })
	_, log, code = runUsher(t, failTimeout, w.args()[1])
	assert.Equal(t, supervisor.CodeTimeout, code)
	assertPrinted(t, log, "status 403 (RBAC: bind a Role with the verb get (for a list: list)")
}

// usher reads the token's file at each attempt, because the kubelet renews the token.
func TestExampleWaitForJobUsesTheRenewedToken(t *testing.T) {
	w := newWaitForJob(t, "manifests.yaml")
	const renewed = "r3n3w3d"
	w.set(func() { w.responses, w.token = []string{"1/1"}, renewed })
	r := launcher{env: []string{"PATH=" + os.Getenv("PATH")}}.usher(t, append([]string{"--verbose"}, w.args()...)...)
	r.stderr.expect("attempt 1 failed: status 401")
	w.write("token", renewed+"\n")
	assert.Equal(t, 0, r.code())
}

func TestExampleWaitForJobNamesTheCauseOfAFailure(t *testing.T) {
	for name, test := range map[string]struct {
		change func(w *waitForJob, args []string) []string
		want   string
	}{
		"a token that is not valid": {func(w *waitForJob, args []string) []string { w.token = "other"; return args },
			"status 401 (the API server does not accept the token"},
		"no Role": {func(w *waitForJob, args []string) []string { w.role.Rules[0].Verbs = []string{"list"}; return args },
			"status 403 (RBAC: bind a Role with the verb get"},
		"a Role for another Job": {func(w *waitForJob, args []string) []string {
			w.role.Rules[0].ResourceNames = []string{"other"}
			return args
		},
			"status 403 (RBAC"},
		"no token file": {func(w *waitForJob, args []string) []string { os.Remove(w.dir + "/token"); return args },
			"cannot read the file of header= Authorization: no such file"},
		"an empty token file": {func(w *waitForJob, args []string) []string { w.write("token", "\n"); return args },
			"the file of header= Authorization is empty"},
		"another authority": {func(w *waitForJob, args []string) []string { w.write("ca.crt", "x"); return args },
			"the file of ca= has no PEM certificate"},
		"the whole object": {func(w *waitForJob, args []string) []string {
			return []string{args[0], strings.Replace(args[1], ";as=Table;v=v1;g=meta.k8s.io", "", 1)}
		}, "the first 10 KiB do not match match=, and the response is longer (ask for a shorter response"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWaitForJob(t, "manifests.yaml")
			args := w.args()[:2]
			w.set(func() {
				w.responses = []string{"1/1"}
				args = test.change(w, args)
			})
			args[0] = failTimeout
			_, log, code := runUsher(t, args...)
			assert.Equal(t, supervisor.CodeTimeout, code)
			assertPrinted(t, log, test.want)
			assertNotPrinted(t, log, "t0k3n")
		})
	}
}
