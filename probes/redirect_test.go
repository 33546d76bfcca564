package probes

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRedirectsOfEveryKind(t *testing.T) {
	var seen []string
	var url string
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, r.Method+" "+r.URL.Path+" "+string(body)+" "+r.Host+" "+r.Header.Get("X"))
		var n int
		fmt.Sscanf(r.URL.Path, "/%d", &n)
		if n > 11 {
			n = 0 // the path was /404, in which 404 is not a number of redirects
		}
		switch {
		case n > 0:
			http.Redirect(w, r, fmt.Sprintf("/%d", n-1), 302)
		case r.URL.Path == "/0":
			w.WriteHeader(204)
		case r.URL.Path == "/keep":
			http.Redirect(w, r, "/end", 307)
		case r.URL.Path == "/drop":
			http.Redirect(w, r, "/end", 303)
		case r.URL.Path == "/absolute":
			http.Redirect(w, r, url+"/end", 301)
		case r.URL.Path == "/loop":
			http.Redirect(w, r, "/loop?CANARY", 302)
		case r.URL.Path == "/other":
			http.Redirect(w, r, "http://other.invalid/?CANARY", 302)
		case r.URL.Path == "/bad":
			w.Header().Set("Location", "http://[CANARY")
			w.WriteHeader(302)
		case r.URL.Path == "/scheme":
			w.Header().Set("Location", "ftp://127.0.0.1/CANARY")
			w.WriteHeader(302)
		case r.URL.Path == "/port":
			w.Header().Set("Location", "http://127.0.0.1:99999/CANARY")
			w.WriteHeader(302)
		case r.URL.Path == "/gone":
			http.Redirect(w, r, "/404", 302)
		case r.URL.Path == "/nowhere":
			w.WriteHeader(302)
		case r.URL.Path == "/404":
			w.WriteHeader(404)
		}
	})
	url = serveHTTP(t, mux.ServeHTTP)
	host := strings.TrimPrefix(url, "http://")
	tests := []struct {
		text string
		use  Use
		want string // the error
		last string // the expected last request; "": not checked
	}{
		{"%s/10", ForWait, "", "GET /0  " + host + " "},
		{"%s/11", ForWait, "more than 10 redirects", "GET /1  " + host + " "},
		{"%s/loop", ForWait, "more than 10 redirects", ""},
		{"%s/1", ForEnd, "status 302", "GET /1  " + host + " "},
		{"status=302 %s/1", ForEnd, "", "GET /1  " + host + " "},
		{"status=302 %s/1", ForWait, "", "GET /1  " + host + " "},
		{"status=204 %s/3", ForWait, "", "GET /0  " + host + " "},
		{"status=200 %s/3", ForWait, "status 204", ""},
		{"%s/gone", ForWait, "status 404", ""},
		{"%s/other", ForWait, "", ""},
		{"status=200 %s/other", ForWait, "status 302", ""},
		{"%s/nowhere", ForWait, "", ""},
		{"%s/bad", ForWait, "redirects to an invalid URL", ""},
		{"%s/scheme", ForWait, "redirects to a URL that is not http or https", ""},
		{"%s/port", ForWait, "redirects to a port that is not in 1-65535", ""},
		{"method=POST body=b header='X: y' %s/keep", ForWait, "", "POST /end b " + host + " y"},
		{"method=POST body=b header='X: y' %s/drop", ForWait, "", "GET /end  " + host + " y"},
		{"method=HEAD %s/drop", ForWait, "", "HEAD /end  " + host + " "},
		{"header='Host: v' %s/drop", ForWait, "", "GET /end  v "},
		{"header='Host: v' %s/absolute", ForWait, "", "GET /end  " + host + " "},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			seen = nil
			err := ask(t, fmt.Sprintf(test.text, url), test.use)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.want)
			}
			if test.last != "" {
				assert.Equal(t, test.last, seen[len(seen)-1])
			}
		})
	}
}

// A receivedRequest is a request as a server has received it.
type receivedRequest struct {
	method, path, body, host string
	mine                     []string // the names of the headers with the value "mine" (see userOptions), and Authorization if it was sent
	certificate              bool     // whether the client sent a certificate
}

// A requestRecorder records requests.
type requestRecorder struct {
	mu   sync.Mutex
	list []receivedRequest
}

func (c *requestRecorder) take() []receivedRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	return list
}

// record returns a handler that records each request and then calls next.
func (c *requestRecorder) record(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got := receivedRequest{method: r.Method, path: r.URL.RequestURI(), body: string(body), host: r.Host}
		for name, values := range r.Header {
			for _, value := range values {
				if strings.HasPrefix(value, "mine") || name == "Authorization" {
					got.mine = append(got.mine, name)
				}
			}
		}
		got.certificate = r.TLS != nil && len(r.TLS.PeerCertificates) > 0
		c.mu.Lock()
		c.list = append(c.list, got)
		c.mu.Unlock()
		next(w, r)
	}
}

// userOptions are a target's options for the request. All their values are "mine".
const userOptions = "header='Cookie: mine' header='X-Api-Key: mine' header='User-Agent: mine' header='Accept: mine' header='Host: mine' body=mine "

// The two servers have different ports, so the probe follows the redirect with a GET or HEAD
// that contains none of the target's headers, user and body.
func TestRedirectToAnotherOriginSendsNothingOfTheTarget(t *testing.T) {
	for _, scheme := range []string{"http to http", "http to https", "https to http", "https to https"} {
		from, to, _ := strings.Cut(scheme, " to ")
		for _, status := range []int{301, 302, 303, 307, 308} {
			for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
				t.Run(fmt.Sprint(scheme, " ", status, " ", method), func(t *testing.T) {
					var first, second requestRecorder
					start := map[string]func(*testing.T, http.HandlerFunc) string{"http": serveHTTP, "https": func(t *testing.T, h http.HandlerFunc) string {
						return serveTLS(t, h, &tls.Config{ClientAuth: tls.RequestClientCert})
					}}
					b := start[to](t, second.record(func(http.ResponseWriter, *http.Request) {}))
					a := start[from](t, first.record(func(w http.ResponseWriter, r *http.Request) {
						w.Header().Set("Location", strings.Replace(b, "//", "//theirs:theirs@", 1)+"/end")
						w.WriteHeader(status)
					}))
					host := strings.TrimPrefix(b, to+"://")
					require.NoError(t, ask(t, userOptions+"method="+method+" "+strings.Replace(a, "//", "//u:p@", 1)+"/begin", ForWait))
					got := first.take()
					require.Len(t, got, 1)
					assert.Len(t, got[0].mine, 5)
					assert.Equal(t, []string{method, "mine", "mine"}, []string{got[0].method, got[0].host, got[0].body})
					want := receivedRequest{method: "GET", path: "/end", host: host}
					if method == "HEAD" {
						want.method = "HEAD"
					}
					assert.Equal(t, []receivedRequest{want}, second.take())
				})
			}
		}
	}
}

func TestRedirectToTheSameOriginSendsTheWholeRequest(t *testing.T) {
	for status, method := range map[int]string{301: "GET", 302: "GET", 303: "GET", 307: "POST", 308: "POST"} {
		for _, absolute := range []bool{false, true} {
			var got requestRecorder
			var url string
			url = serveHTTP(t, got.record(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/begin" {
					w.Header().Set("Location", map[bool]string{true: url}[absolute]+"/end")
					w.WriteHeader(status)
				}
			}))
			require.NoError(t, ask(t, userOptions+"method=POST "+strings.Replace(url, "//", "//u:p@", 1)+"/begin", ForWait))
			list := got.take()
			require.Len(t, list, 2)
			assert.Len(t, list[1].mine, 5)
			assert.Equal(t, method, list[1].method)
			assert.Equal(t, map[bool]string{true: "mine"}[method == "POST"], list[1].body)
			assert.Equal(t, map[bool]string{true: strings.TrimPrefix(url, "http://"), false: "mine"}[absolute], list[1].host)
		}
	}
}

// The second server redirects back to the first one. Because the second server has chosen this
// URL, the request must contain none of the target's headers, user and body.
func TestRedirectBackToTheFirstOriginSendsNothingOfTheTarget(t *testing.T) {
	var first, second requestRecorder
	var a, b string
	a = serveHTTP(t, first.record(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/end" {
			http.Redirect(w, r, b, 307)
		}
	}))
	b = serveHTTP(t, second.record(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, a+"/end", 307) }))
	require.NoError(t, ask(t, userOptions+"method=POST "+a, ForWait))
	got := first.take()
	require.Len(t, got, 2)
	assert.Equal(t, receivedRequest{method: "GET", path: "/end", host: strings.TrimPrefix(a, "http://")}, got[1])
}

func TestRedirectToAnotherOriginSendsNoClientCertificate(t *testing.T) {
	a := newIssuer(t)
	a.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	a.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	config := &tls.Config{Certificates: []tls.Certificate{a.pair("server")}, ClientAuth: tls.RequestClientCert}
	var first, second requestRecorder
	var url string
	otherURL := serveTLS(t, second.record(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url+"/back", 302) }), config)
	url = serveTLS(t, first.record(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			http.Redirect(w, r, "/again", 302)
		case "/again":
			http.Redirect(w, r, otherURL, 302)
		case "/back":
			http.Redirect(w, r, "/end", 302)
		}
	}), config)
	require.NoError(t, ask(t, fmt.Sprintf("ca=%s cert=%s key=%s %s/", a.path("ca.pem"), a.path("client.pem"), a.path("client.key"), url), ForWait))
	got := first.take()
	var certificates []string
	for _, r := range got {
		certificates = append(certificates, fmt.Sprint(r.path, " ", r.certificate))
	}
	assert.Equal(t, []string{"/ true", "/again true", "/back false", "/end false"}, certificates)
	assert.Equal(t, []receivedRequest{{method: "GET", path: "/", host: strings.TrimPrefix(otherURL, "https://")}}, second.take())
}

func TestRedirectToTLSOnTheDefaultPortsSendsTheWholeRequest(t *testing.T) {
	if !runsInNamespace(t, "") {
		return
	}
	var got requestRecorder
	start := func(port, location string, config *tls.Config) {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		require.NoError(t, err)
		startHTTP(t, got.record(func(w http.ResponseWriter, r *http.Request) {
			if location != "" {
				w.Header().Set("Location", location)
				w.WriteHeader(308)
			}
		}), func(s *httptest.Server) {
			s.Listener.Close()
			s.Listener, s.TLS = l, config
		})
	}
	start("80", "https://127.0.0.1/end", nil)
	start("443", "", new(tls.Config))
	start("8080", "https://127.0.0.1:443/end", nil)
	for _, host := range []string{"127.0.0.1", "127.0.0.1:80"} {
		require.NoError(t, ask(t, userOptions+"method=POST http://u:p@"+host+"/begin", ForWait))
		list := got.take()
		require.Len(t, list, 2)
		assert.Len(t, list[1].mine, 5)
		assert.Equal(t, []string{"POST", "mine", "127.0.0.1"}, []string{list[1].method, list[1].body, list[1].host})
	}
	require.NoError(t, ask(t, userOptions+"method=POST http://u:p@127.0.0.1:8080/begin", ForWait))
	list := got.take()
	require.Len(t, list, 2)
	assert.Equal(t, receivedRequest{method: "GET", path: "/end", host: "127.0.0.1:443"}, list[1])
}

func TestRedirectKeepsTrustOnTheSameOriginOrToTLSOnTheDefaultPorts(t *testing.T) {
	for _, test := range []struct {
		from, to string
		want     bool
	}{
		{"http://h/a", "http://h/b", true},
		{"http://h/", "http://h:80/", true},
		{"http://h:8080/", "http://h:8080/", true},
		{"https://h/", "https://h:443/", true},
		{"http://h/", "https://h/", true},
		{"http://h:80/", "https://h:443/", true},
		{"http://h/", "http://h:8080/", false},
		{"http://h:8080/", "http://h/", false},
		{"https://h/", "https://h:8443/", false},
		{"http://h/", "https://h:8443/", false},
		{"http://h:8080/", "https://h/", false},
		{"http://h:8080/", "https://h:8443/", false},
		{"http://h:8443/", "https://h:8443/", false},
		{"http://h:443/", "https://h/", false},
		{"https://h/", "http://h/", false},
		{"https://h:80/", "http://h:443/", false},
		{"https://h:80/", "http://h:80/", false},
		{"http://h/", "http://h:0/", false},
		{"http://h/", "http://h:99999/", false},
	} {
		from, err := url.Parse(test.from)
		require.NoError(t, err)
		to, err := url.Parse(test.to)
		require.NoError(t, err)
		assert.Equal(t, test.want, keepsTrust(from, to), "%s to %s", test.from, test.to)
	}
}

// hintRedirected explains that parts of the request were not sent after the redirect. A plain GET
// or HEAD has no such parts, so its failure gets the hint for the status.
func TestFailureAfterARedirectToAnotherOriginHasAHint(t *testing.T) {
	b := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) })
	a := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, b, 302) })
	for options, want := range map[string]string{
		"": hintForStatus(401), "method=HEAD ": hintForStatus(401),
		"method=POST ": hintRedirected, "body=x ": hintRedirected, "header='Authorization: x' ": hintRedirected,
	} {
		err := ask(t, options+a, ForWait)
		assert.EqualError(t, err, "status 401")
		assert.Equal(t, want, Hint(err), options)
	}
	assert.Equal(t, hintRedirected, Hint(ask(t, strings.Replace(a, "//", "//u:p@", 1), ForWait)))
	assert.Equal(t, hintForStatus(401), Hint(ask(t, "header='Authorization: x' "+b, ForWait)))
}

// A server may leave characters in the Location header unescaped. The probe escapes them, as
// browsers do.
func TestRedirectToAnUnescapedURLIsEscaped(t *testing.T) {
	var got requestRecorder
	url := serveHTTP(t, got.record(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Location", `/a é?a b="c"&d=%20+{é}`)
			w.WriteHeader(302)
		}
	}))
	require.NoError(t, ask(t, url+"/", ForWait))
	list := got.take()
	require.Len(t, list, 2)
	assert.Equal(t, "/a%20%C3%A9?a%20b=%22c%22&d=%20+%7B%C3%A9%7D", list[1].path)
}
