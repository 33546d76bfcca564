package probes

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Limits of an attempt. The kubelet has the same limit for the body.
const (
	maxHeaderBytes = 64 << 10
	maxBodyBytes   = 10 << 10
	maxRedirects   = 10
)

var httpOptions = []option{
	{name: "method", value: "METHOD", form: "method=POST", meaning: "method of the request (GET)"},
	{name: "status", value: "LIST", form: "status=200-299,401", meaning: "statuses that count as ready, such as `200-299,401`"},
	{name: "header", value: "'NAME: VALUE'", form: "header='Accept: text/plain'", repeat: true,
		meaning: "header; if the last word of VALUE is `@/PATH`, it is replaced by the content of that file",
		details: "For example `header='Authorization: Bearer @/run/secrets/token'`. White space around the content is dropped. `Host` may be set. The file is read at each attempt. It must be a regular file, or a symbolic link to one, of at most 64 KiB."},
	{name: "body", value: "TEXT", form: "body='{}'", meaning: "body of the request"},
	{name: "match", value: "REGEXP", form: "match='^ok'", meaning: "regular expression on the answer's first 10 KiB",
		details: "If it does not match, the error says whether the answer is longer."},
}

// An httpProbe is ready when the status is accepted and, if there is a match=, the body
// matches it. An attempt changes no field.
type httpProbe struct {
	hook   bool
	url    *url.URL // without user and fragment
	method string
	user   *url.Userinfo
	header []headerField
	body   string
	status []statusRange // nil without status=
	match  *regexp.Regexp
	tls    tlsSettings
}

// A headerField is one header= option, with the name of the header in canonical form.
type headerField struct {
	name, value string
	file        *optionFile // the file whose content is appended to value; nil: there is none
}

// A statusRange includes both ends.
type statusRange struct{ from, to int }

// A hop is one request of an attempt: the first one, or one after a redirect.
type hop struct {
	*http.Request
	// trusted is true until keepsTrust rejects a redirect. Only a trusted hop gets the
	// target's headers, user, body and client certificate, or a method other than GET and
	// HEAD.
	trusted bool
}

// Ask sends a request. A probe also follows redirects to the same host name; a hook follows
// none (see nextHop). All requests share the attempt's timeout and the addresses of the host
// name.
func (h *httpProbe) Ask(ctx context.Context, a Attempt) error {
	addrs, err := a.resolver().Lookup(ctx, h.url.Hostname())
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(ctx, a.Timeout)
	defer cancel()
	return errOrCause(ctx, h.followRedirects(ctx, addrs, a.HookVars))
}

// followRedirects sends the first request, and one more after each redirect that nextHop
// follows.
func (h *httpProbe) followRedirects(ctx context.Context, addrs []netip.Addr, hookVars []HookVar) error {
	req, err := h.request(ctx, hookVars)
	if err != nil {
		return err
	}
	next := &hop{req, true}
	for range maxRedirects + 1 {
		if next, err = h.sendHop(ctx, addrs, next); next == nil || err != nil {
			return err
		}
	}
	return fmt.Errorf("more than %d redirects", maxRedirects)
}

// sendHop sends a request. If nextHop follows a redirect, sendHop returns the next
// request. Otherwise it checks the response.
func (h *httpProbe) sendHop(ctx context.Context, addrs []netip.Addr, req *hop) (*hop, error) {
	secure := h.tls
	if !req.trusted {
		secure.cert, secure.key = nil, nil
	}
	e, err := sendRequest(ctx, addrs, req.Request, &secure)
	if err != nil {
		return nil, err
	}
	defer e.conn.Close()
	next, err := h.nextHop(req, e.response)
	if next != nil || err != nil {
		return next, err
	}
	return nil, h.check(e, req.trusted)
}

// check returns an error if the status or the body does not match.
func (h *httpProbe) check(e *exchange, trusted bool) error {
	if status := e.response.StatusCode; !h.accepts(status) {
		hint := hintForStatus(status)
		if own := hintsForKubernetes[status]; own != "" && e.response.Header.Get("Audit-Id") != "" {
			hint = own
		}
		if isProxyStatus(status) {
			// receivedBody does not wait for the rest of the body, which may never end.
			hint = cmp.Or(hintForProxy(e.response.Header.Get, e.receivedBody()), hint)
		}
		if !trusted && h.sendsMoreThanGet() {
			hint = hintRedirected
		}
		return hintedError{fmt.Errorf("status %d", status), hint}
	}
	body, err := e.readBody()
	switch {
	case err != nil:
		return err
	case h.match == nil && h.status == nil && bytes.HasPrefix(body, []byte("It looks like you are trying to access MongoDB over HTTP")):
		return errMongoDB // MongoDB answers HTTP requests with status 200 even if it is not ready
	case h.match == nil || h.match.Match(body):
		return nil
	case e.isLongerThan(body):
		return hintedError{fmt.Errorf("the first %d KiB do not match match=, and the response is longer", maxBodyBytes>>10), hintLonger}
	}
	return errors.New("body does not match match=")
}

var errMongoDB = hintedError{errors.New("MongoDB's port, which does not speak HTTP"), "write mongodb:// instead of http://"}

// sendsMoreThanGet reports whether the first request differs from a plain GET or HEAD: by a
// user, a header, a body, a client certificate or another method.
func (h *httpProbe) sendsMoreThanGet() bool {
	return h.user != nil || len(h.header) > 0 || h.body != "" || h.tls.cert != nil ||
		h.method != http.MethodGet && h.method != http.MethodHead
}

// accepts reports whether a status counts as ready. If status= is given, only the listed
// statuses count as ready. Otherwise a probe accepts 200 to 399, as the kubelet does, and a
// hook accepts 200 to 299, because a redirect means that the server has not executed the
// request.
func (h *httpProbe) accepts(status int) bool {
	if h.status == nil {
		return 200 <= status && (status < 300 || !h.hook && status < 400)
	}
	return slices.ContainsFunc(h.status, func(r statusRange) bool { return r.from <= status && status <= r.to })
}

// request makes the first request of an attempt.
func (h *httpProbe) request(ctx context.Context, hookVars []HookVar) (*http.Request, error) {
	req := &http.Request{Method: h.method, URL: h.url, Header: defaultHeader(), Close: true}
	if h.user != nil { // basic authentication, RFC 7617; a header= for Authorization replaces it
		password, _ := h.user.Password()
		req.SetBasicAuth(h.user.Username(), password)
	}
	if err := h.setHeader(ctx, req); err != nil {
		return nil, err
	}
	h.setBody(req)
	for _, f := range hookVars {
		if name := headerName(f.Name); h.hook && req.Header.Values(name) == nil {
			req.Header.Set(name, f.Value)
		}
	}
	return req, nil
}

// setHeader applies the header= options. The first option for a name replaces the header with
// that name that req already has, such as Accept. Further options for that name add values. An
// empty value removes the header.
func (h *httpProbe) setHeader(ctx context.Context, req *http.Request) error {
	seen := map[string]bool{}
	for _, f := range h.header {
		value := f.value
		if f.file != nil {
			text, err := f.file.read(ctx, maxHeaderBytes)
			if err != nil {
				return err
			}
			// Editors put a newline at the end of a file. It is not part of the value.
			content := strings.Trim(strings.TrimSuffix(string(text), "\n"), " \t\r")
			if content == "" && value != "" {
				return fmt.Errorf("the file of header= %s is empty", f.name)
			}
			value += content
			if reason := f.invalidValue(value); reason != "" {
				return fmt.Errorf("header= %s: %s", f.name, reason)
			}
		}
		switch {
		case f.name == "Host":
			req.Host = value
		case value == "" && f.name == "User-Agent":
			req.Header[f.name] = []string{""} // with an empty value, net/http sends no User-Agent
		case value == "":
			req.Header.Del(f.name)
		case seen[f.name]:
			req.Header.Add(f.name, value)
		default:
			req.Header.Set(f.name, value)
		}
		seen[f.name] = true
	}
	return nil
}

// invalidValue returns the reason why a value cannot be sent, or "" if it can.
func (f headerField) invalidValue(value string) string {
	switch {
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
		return "a control character in its value"
	case f.name == "Host" && (value == "" || strings.ContainsFunc(value, isInvalidInHostHeader)):
		return "write it once, as header='Host: NAME[:PORT]'"
	}
	return ""
}

// isInvalidInHostHeader reports whether net/http rejects a character in the Host header. If
// Host contains such a character, net/http sends an empty Host, and the server may respond as
// another virtual host.
func isInvalidInHostHeader(c rune) bool {
	return isInvalidInHost(c) && !strings.ContainsRune("[]:%~!$&'()*+,;=", c)
}

// setBody sets the body of a request, if there is one.
func (h *httpProbe) setBody(req *http.Request) {
	if h.body != "" {
		req.ContentLength = int64(len(h.body))
		req.Body = io.NopCloser(strings.NewReader(h.body))
	}
}

// headerName turns USHER_TIME_LEFT into Usher-Time-Left.
func headerName(variable string) string {
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(strings.ToLower(variable), "_", "-"))
}

// nextHop returns the request for a redirect, or nil if the redirect is not followed. A
// hook follows no redirect. A probe follows no redirect whose status is in status=, and no
// redirect to another host. A redirect that is not followed is checked like any other
// response. Without status=, a redirect to another host counts as ready, as it does for the
// kubelet, because the host that responded is up.
func (h *httpProbe) nextHop(req *hop, resp *http.Response) (*hop, error) {
	location := resp.Header.Get("Location")
	if h.hook || !isRedirect(resp.StatusCode) || location == "" || h.status != nil && h.accepts(resp.StatusCode) {
		return nil, nil
	}
	to, err := req.URL.Parse(location)
	if err != nil {
		return nil, errors.New("redirects to an invalid URL")
	}
	if !strings.EqualFold(to.Hostname(), h.url.Hostname()) {
		return nil, nil
	}
	if to.Scheme != "http" && to.Scheme != "https" {
		return nil, errors.New("redirects to a URL that is not http or https")
	}
	to.User, to.Fragment = nil, ""
	to.RawQuery = escapeQuery(to.RawQuery)
	next := &hop{&http.Request{Method: req.Method, URL: to, Header: req.Header.Clone(), Close: true}, req.trusted}
	if !keepsTrust(req.URL, to) {
		// Another port may belong to another program, and without TLS the network can read
		// the request. Therefore the new request contains nothing that may be secret.
		next.trusted = false
		next.Header = defaultHeader()
		if next.Method != http.MethodHead {
			next.Method = http.MethodGet
		}
		return next, nil
	}
	if u, err := url.Parse(location); err == nil && u.Host == "" {
		next.Host = req.Host // after a relative redirect the Host header stays the same
	}
	// 307 and 308 keep the method and the body (RFC 9110, section 15.4). After 301, 302 and 303
	// the next request is a GET, or a HEAD if req was one, as with most clients.
	switch {
	case resp.StatusCode == 307 || resp.StatusCode == 308:
		if req.Body != nil {
			h.setBody(next.Request)
		}
	case next.Method != http.MethodHead:
		next.Method = http.MethodGet
		next.Header.Del("Content-Type")
	}
	return next, nil
}

// keepsTrust reports whether a redirect leads to the same scheme and port, or from http to
// https on their default ports, as most redirects to https do. The caller has compared the
// host names.
func keepsTrust(from, to *url.URL) bool {
	fromPort, err1 := portOf(from)
	toPort, err2 := portOf(to)
	switch {
	case err1 != nil || err2 != nil:
		return false
	case from.Scheme == to.Scheme:
		return fromPort == toPort
	}
	return from.Scheme == "http" && fromPort == 80 && toPort == 443
}

func isRedirect(status int) bool {
	return slices.Contains([]int{301, 302, 303, 307, 308}, status)
}

func defaultHeader() http.Header {
	return http.Header{"User-Agent": {"usher"}, "Accept": {"*/*"}}
}

func buildHTTP(p *targetParser) Probe {
	h := &httpProbe{hook: p.use.Hook(), method: http.MethodGet, body: p.value("body")}
	authority, rest := p.splitAuthority()
	if strings.Contains(rest, "@") {
		// The @ may belong to a password that contains a /. The part before that / would be
		// parsed as the host, looked up, and shown in logs.
		p.addError("%s:// with an @ after the host: write %%40, and in a user or password %%2F %%3F %%23 for / ? #", p.scheme)
	}
	user := strings.LastIndexByte(authority, '@')
	errsBefore := len(p.errs)
	defaultPort, _ := portOf(&url.URL{Scheme: p.scheme})
	p.parseHostPort(authority[user+1:], defaultPort)
	p.rejectUnescaped(rest)
	u, err := url.Parse(p.scheme + "://" + p.rest)
	if err != nil && len(p.errs) == errsBefore {
		p.addError("%s://: not a URL: a %% that is not an escape (write %%25), or an unescaped character in the user", p.scheme)
	}
	if err == nil {
		p.name = p.scheme + "://" + u.Host
		if !h.hook {
			p.name += u.EscapedPath()
		}
		h.user = u.User
		u.User, u.Fragment, u.RawFragment = nil, "", ""
		h.url = u
	}
	h.setMethod(p)
	h.setStatus(p)
	h.setHeaders(p)
	h.match = p.parseRegexp("match")
	if h.match != nil && h.method == http.MethodHead {
		p.addError("match= and method=HEAD cannot be combined: the response to HEAD has no body")
	}
	h.tls = p.tlsSettings()
	return h
}

// mustEscape holds printable ASCII characters that are not allowed in a path or query (RFC
// 3986, section 3). Some servers reject requests that contain them unescaped.
const mustEscape = "\"<>\\^`{|}"

// rejectUnescaped reports a character in the path or query that must be escaped. It does
// not show the path and query, because they may be secret.
func (p *targetParser) rejectUnescaped(rest string) {
	rest, _, _ = strings.Cut(rest, "#") // the fragment is not sent, so it may contain any character
	i := strings.IndexFunc(rest, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(mustEscape, c) })
	if i < 0 {
		return
	}
	switch c := rest[i]; {
	case p.env != "":
		p.addError("%s:// with a character in its path or query that must be written as %%XX", p.scheme)
	case c == ' ':
		p.addError("%s:// with a space in its path or query: write %%20, or + in a query", p.scheme)
	case c < ' ' || c == 0x7f:
		p.addError("%s:// with a control character in its path or query: write it as %%XX, as in %%0A for a newline", p.scheme)
	case c > 0x7f:
		p.addError("%s:// with a character in its path or query that is not ASCII: write each of its bytes as %%XX, as in %%C3%%A9 for é", p.scheme)
	default:
		p.addError("%s:// with a %c in its path or query: write %%%02X", p.scheme, c, c)
	}
}

// escapeQuery escapes the characters that a server has left unescaped in the query of a
// redirect, as browsers do.
func escapeQuery(query string) string {
	var b strings.Builder
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(mustEscape, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (h *httpProbe) setMethod(p *targetParser) {
	if _, written := p.values["method"]; !written {
		return
	}
	h.method = p.value("method")
	if h.method == "" || h.method == http.MethodConnect || strings.Trim(h.method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		p.addError("method= is not the upper-case name of a method: write for example method=POST")
	}
}

func (h *httpProbe) setStatus(p *targetParser) {
	if _, written := p.values["status"]; !written {
		return
	}
	for _, part := range strings.Split(p.value("status"), ",") {
		low, high, ranged := strings.Cut(part, "-")
		if !ranged {
			high = low
		}
		from, err1 := parseCount(low, 100)
		to, err2 := parseCount(high, 100)
		const only = http.StatusSwitchingProtocols // 101 is the only final status below 200
		if err1 != nil || err2 != nil || from > to || to > 599 || to < 200 && (only < from || to < only) {
			p.addError("status= %s is not a status or a range within 200-599, or 101: write for example status=200-299,401", quoteNumber(part))
			continue
		}
		h.status = append(h.status, statusRange{from, to})
	}
}

// setHeaders parses header='Name: value'.
func (h *httpProbe) setHeaders(p *targetParser) {
	hosts := 0
	for _, text := range p.values["header"] {
		name, value, ok := strings.Cut(text, ":")
		if !ok || !isToken(name) {
			p.addError("header= is not a name, a colon and a value: write for example header='Accept: text/plain'")
			continue
		}
		f := headerField{name: textproto.CanonicalMIMEHeaderKey(name), value: strings.Trim(value, " \t")}
		// If the value begins with @/, all of it is the path, which may contain spaces.
		path := f.value
		if i := strings.LastIndexAny(path, " \t"); !strings.HasPrefix(path, "@/") {
			path = path[i+1:]
		}
		if strings.HasPrefix(path, "@/") {
			f.file = p.newOptionFile("header= "+f.name, path[1:])
			f.value = strings.TrimSuffix(f.value, path)
		}
		if f.name == "Host" {
			hosts++
		}
		switch {
		case slices.Contains([]string{"Content-Length", "Transfer-Encoding", "Trailer", "Connection"}, f.name):
			p.addError("header= %s: usher sets this header itself", f.name)
		case hosts > 1:
			p.addError("header= Host: write it once, as header='Host: NAME[:PORT]'")
		case f.file != nil && f.value == "": // not checked here, because each attempt reads the value from the file
		case f.invalidValue(f.value) != "":
			p.addError("header= %s: %s", f.name, f.invalidValue(f.value))
		}
		h.header = append(h.header, f)
	}
}

// isToken reports whether s may be the name of a header (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}
