package probes

import (
	"bytes"
	"slices"
	"strings"
)

// A proxySign describes a response that a proxy has generated itself, instead of forwarding a
// response of the server behind it. A response matches if it meets the conditions of all fields.
type proxySign struct {
	name   string   // the name that the hint shows
	header string   // a header that the response must have; "": none
	begins string   // the beginning of that header's value, in lower case; "": any value
	absent string   // a header that the response must not have
	bodies []string // one of these is in the body; nil: any body
}

// Some proxies set their Server header also in responses that they forward (nginx), or set none
// (HAProxy). They are recognized by the texts of their own error pages (bodies).
var proxySigns = []proxySign{
	// Envoy adds X-Envoy-Upstream-Service-Time to each response that it forwards.
	{name: "Envoy (Istio)", header: "Server", begins: "istio-envoy", absent: "X-Envoy-Upstream-Service-Time"},
	{name: "Envoy", header: "Server", begins: "envoy", absent: "X-Envoy-Upstream-Service-Time"},
	{name: "Linkerd", header: "L5d-Proxy-Error"},
	{name: "nginx", bodies: []string{"<center>nginx"}},
	{name: "OpenResty", bodies: []string{"<center>openresty"}},
	{name: "HAProxy", bodies: []string{"No server is available to handle this request", "The server returned an invalid or incomplete response", "The server didn't respond in time"}},
	{name: "Traefik", bodies: []string{"no available server"}},
	{name: "Apache", header: "Server", begins: "apache", bodies: []string{"unable to service your request due to maintenance", "invalid response from an upstream server", "timely response from the upstream server"}},
	{name: "Kong", header: "Server", begins: "kong"},
	{name: "Varnish", header: "Server", begins: "varnish"},
	{name: "AWS's load balancer", header: "Server", begins: "awselb"},
}

// hintForProxy returns the hint for a failure that a known proxy has reported itself, or "" if
// the response has no sign of one. The caller must have checked that the status is 502 to 504,
// or UNAVAILABLE of gRPC. get returns the value of a header, or "".
func hintForProxy(get func(header string) string, body []byte) string {
	for _, s := range proxySigns {
		switch {
		case s.header != "" && (get(s.header) == "" || !strings.HasPrefix(strings.ToLower(get(s.header)), s.begins)):
		case s.absent != "" && get(s.absent) != "":
		case s.bodies != nil && !slices.ContainsFunc(s.bodies, func(text string) bool { return bytes.Contains(body, []byte(text)) }):
		default:
			return "this is from the proxy " + s.name + ", not from the server: is the server behind it up?"
		}
	}
	return ""
}

func isProxyStatus(status int) bool { return status >= 502 && status <= 504 }
