package probes

import (
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

// What is read of an answer. The body's limit is that of the kubelet's probes.
const (
	maxHeaderBytes = 64 << 10
	maxBodyBytes   = 10 << 10
	maxRedirects   = 10
)

var httpOptions = []option{
	{name: "method", value: "METHOD", form: "method=POST", meaning: "method of the request (GET)"},
	{name: "status", value: "LIST", form: "status=200-299,401", meaning: "statuses that count as ready, such as `200-299,401`"},
	{name: "header", value: "'NAME: VALUE'", form: "header='Accept: text/plain'", repeat: true,
		meaning: "header; a VALUE `@/PATH` is read from that file",
		details: "`Host` may be set. The file is read at each attempt. It must be a regular file, or a symbolic link to one, of at most 64 KiB."},
	{name: "body", value: "TEXT", form: "body='{}'", meaning: "body of the request"},
	{name: "match", value: "REGEXP", form: "match='^ok'", meaning: "regular expression on the answer's first 10 KiB"},
}

// An httpProbe says yes when the status, and the body if there is a match=, are
// as they should be. It is never changed after it was built; every attempt makes
// its own request, and so sends the body again.
type httpProbe struct {
	hook   bool
	url    *url.URL // without user and fragment
	method string
	user   *url.Userinfo
	header []headerField
	body   string
	status []statusRange // nil where status= is not written
	match  *regexp.Regexp
	secure security
}

// A headerField is one header=, its name in the canonical form.
type headerField struct {
	name, value string
	file        *optionFile // instead of value
}

// A statusRange holds both of its ends.
type statusRange struct{ from, to int }

// A hop is one request of an attempt: the first one, or one that follows a redirect.
type hop struct {
	*http.Request
	// trusted is true as long as no redirect has led away from the scheme and port
	// that the user wrote. Only a trusted hop gets what was written for them: method,
	// headers, user, body and client certificate.
	trusted bool
}

// Ask makes one request, and those that its redirects ask for. All share the
// attempt's timeout and the addresses of the one host name.
func (h *httpProbe) Ask(ctx context.Context, a Attempt) error {
	addrs, err := a.resolver().Lookup(ctx, h.url.Hostname())
	if err != nil {
		return err
	}
	ctx, cancel := limit(ctx, a.Timeout)
	defer cancel()
	return orCause(ctx, h.visit(ctx, addrs, a.Facts))
}

// visit follows redirects to the answer that counts.
func (h *httpProbe) visit(ctx context.Context, addrs []netip.Addr, facts []Fact) error {
	req, err := h.request(ctx, facts)
	if err != nil {
		return err
	}
	next := &hop{req, true}
	for range maxRedirects + 1 {
		if next, err = h.step(ctx, addrs, next); next == nil || err != nil {
			return err
		}
	}
	return fmt.Errorf("more than %d redirects", maxRedirects)
}

// step sends a request. It returns the next one if the answer is a redirect to
// follow, else it judges the answer.
func (h *httpProbe) step(ctx context.Context, addrs []netip.Addr, req *hop) (*hop, error) {
	secure := h.secure
	if !req.trusted {
		secure.cert, secure.key = nil, nil
	}
	e, err := send(ctx, addrs, req.Request, &secure)
	if err != nil {
		return nil, err
	}
	defer e.conn.Close()
	next, err := h.follow(req, e.answer)
	if next != nil || err != nil {
		return next, err
	}
	return nil, h.judge(e, req.trusted)
}

// judge compares an answer with what it should be.
func (h *httpProbe) judge(e *exchange, trusted bool) error {
	if status := e.answer.StatusCode; !h.accepts(status) {
		hint := hintOfStatus(status)
		if !trusted && h.hasMore() {
			hint = hintElsewhere
		}
		return hinted{fmt.Errorf("status %d", status), hint}
	}
	body, err := e.body()
	if err != nil {
		return err
	}
	if h.match != nil && !h.match.Match(body) {
		return errors.New("body does not match match=")
	}
	return nil
}

// hasMore reports whether the first request is more than a GET or HEAD of a URL.
func (h *httpProbe) hasMore() bool {
	return h.user != nil || len(h.header) > 0 || h.body != "" || h.secure.cert != nil ||
		h.method != http.MethodGet && h.method != http.MethodHead
}

// accepts reports whether a status is a yes: those of status=, else what the
// kubelet takes for one; a hook is done only when the server says that it is.
func (h *httpProbe) accepts(status int) bool {
	if h.status == nil {
		return 200 <= status && (status < 300 || !h.hook && status < 400)
	}
	return slices.ContainsFunc(h.status, func(r statusRange) bool { return r.from <= status && status <= r.to })
}

// request makes the first request of an attempt.
func (h *httpProbe) request(ctx context.Context, facts []Fact) (*http.Request, error) {
	req := &http.Request{Method: h.method, URL: h.url, Header: plainHeader(), Close: true}
	if h.user != nil { // as RFC 7617 has it; a header= replaces it
		password, _ := h.user.Password()
		req.SetBasicAuth(h.user.Username(), password)
	}
	if err := h.setHeader(ctx, req); err != nil {
		return nil, err
	}
	h.setBody(req)
	for _, f := range facts {
		if name := headerName(f.Name); h.hook && req.Header.Values(name) == nil {
			req.Header.Set(name, f.Value)
		}
	}
	return req, nil
}

// setHeader applies header=. The first of a name replaces what usher sends by
// itself, further ones are added to it; an empty value sends none.
func (h *httpProbe) setHeader(ctx context.Context, req *http.Request) error {
	seen := map[string]bool{}
	for _, f := range h.header {
		value := f.value
		if f.file != nil {
			text, err := f.file.read(ctx, maxHeaderBytes)
			if err != nil {
				return err
			}
			// Every editor puts a newline at the end.
			value = strings.Trim(strings.TrimSuffix(string(text), "\n"), " \t\r")
			if hint := f.unfit(value); hint != "" {
				return fmt.Errorf("header= %s: %s", f.name, hint)
			}
		}
		switch {
		case f.name == "Host":
			req.Host = value
		case value == "" && f.name == "User-Agent":
			req.Header[f.name] = []string{""} // how net/http is told to send none
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

// unfit says what keeps a value from being sent, "" if nothing does.
func (f headerField) unfit(value string) string {
	switch {
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
		return "a control character in its value"
	case f.name == "Host" && (value == "" || strings.ContainsFunc(value, notInHostHeader)):
		return "write it once, as header='Host: NAME[:PORT]'"
	}
	return ""
}

// notInHostHeader is what net/http would not send: it would send no name at all,
// and be answered by another virtual host.
func notInHostHeader(c rune) bool {
	return notInHost(c) && !strings.ContainsRune("[]:%~!$&'()*+,;=", c)
}

// setBody gives a request a reader of the body of its own.
func (h *httpProbe) setBody(req *http.Request) {
	if h.body != "" {
		req.ContentLength = int64(len(h.body))
		req.Body = io.NopCloser(strings.NewReader(h.body))
	}
}

// headerName turns USHER_TIME_LEFT into Usher-Time-Left.
func headerName(fact string) string {
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(strings.ToLower(fact), "_", "-"))
}

// follow makes the request that an answer asks for, or returns nil when the answer
// is the last one. It is, for a hook; where status= lists it; and when it leads to
// another host: the one that was asked is up, and the kubelet counts that as ready.
func (h *httpProbe) follow(req *hop, resp *http.Response) (*hop, error) {
	location := resp.Header.Get("Location")
	if h.hook || !redirects(resp.StatusCode) || location == "" || h.status != nil && h.accepts(resp.StatusCode) {
		return nil, nil
	}
	to, err := req.URL.Parse(location)
	if err != nil {
		return nil, errors.New("redirects to something that is not a URL")
	}
	if !strings.EqualFold(to.Hostname(), h.url.Hostname()) {
		return nil, nil
	}
	if to.Scheme != "http" && to.Scheme != "https" {
		return nil, errors.New("redirects to something that is not HTTP")
	}
	to.User, to.Fragment = nil, ""
	to.RawQuery = escapeQuery(to.RawQuery)
	next := &hop{&http.Request{Method: req.Method, URL: to, Header: req.Header.Clone(), Close: true}, req.trusted}
	if !keepsTrust(req.URL, to) {
		// Another port may belong to another program, and without TLS anybody on the
		// way can read the request.
		next.trusted = false
		next.Header = plainHeader()
		if next.Method != http.MethodHead {
			next.Method = http.MethodGet
		}
		return next, nil
	}
	if u, err := url.Parse(location); err == nil && u.Host == "" {
		next.Host = req.Host // a relative one stays on the virtual host
	}
	// RFC 9110, section 15.4: 307 and 308 keep the method and the body. With the
	// others every client goes on with a GET.
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

// keepsTrust reports whether a redirect leads to the same scheme and port, or from
// http to https on their default ports: the usual redirect of clients to TLS. The
// caller has compared the host names.
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

func redirects(status int) bool {
	return slices.Contains([]int{301, 302, 303, 307, 308}, status)
}

func plainHeader() http.Header {
	return http.Header{"User-Agent": {"usher"}, "Accept": {"*/*"}}
}

func buildHTTP(r *reading) Probe {
	h := &httpProbe{hook: r.use.Hook(), method: http.MethodGet, body: r.value("body")}
	authority, rest := r.authority()
	if strings.Contains(rest, "@") {
		// Else a password with a / in it would be taken for a host and a path,
		// looked up, and named in logs.
		r.mistake("%s:// with an @ behind the host: write %%40, and in a user or password %%2F %%3F %%23 for / ? #", r.scheme)
	}
	user := strings.LastIndexByte(authority, '@')
	before := len(r.mistakes)
	preset, _ := portOf(&url.URL{Scheme: r.scheme})
	r.hostPort(authority[user+1:], preset)
	r.refuseUnescaped(rest)
	u, err := url.Parse(r.scheme + "://" + r.rest)
	if err != nil && len(r.mistakes) == before {
		r.mistake("%s://: not a URL: a %% that begins no escape (write %%25), or a character of the user that must be escaped", r.scheme)
	}
	if err == nil {
		r.name = r.scheme + "://" + u.Host
		if !h.hook {
			r.name += u.EscapedPath()
		}
		h.user = u.User
		u.User, u.Fragment, u.RawFragment = nil, "", ""
		h.url = u
	}
	h.setMethod(r)
	h.setStatus(r)
	h.setHeaders(r)
	h.match = r.expression("match")
	if h.match != nil && h.method == http.MethodHead {
		r.mistake("match= finds nothing in the answer to method=HEAD, which has no body: leave one of them out")
	}
	h.secure = r.security()
	return h
}

// mustEscape are the printable characters that neither a path nor a query may have
// (RFC 3986, section 3). They would be sent as they are, and be taken for the end
// of the request target, or be refused.
const mustEscape = "\"<>\\^`{|}"

// refuseUnescaped reports characters in the path and the query that must be
// escaped. It prints neither of them, because they may be secret.
func (r *reading) refuseUnescaped(rest string) {
	rest, _, _ = strings.Cut(rest, "#") // a fragment is not sent
	i := strings.IndexFunc(rest, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(mustEscape, c) })
	if i < 0 {
		return
	}
	switch c := rest[i]; {
	case c == ' ':
		r.mistake("%s:// with a space in its path or query: write %%20, or + in a query", r.scheme)
	case c < ' ' || c == 0x7f:
		r.mistake("%s:// with a control character in its path or query: write it as %%XX, as in %%0A for a newline", r.scheme)
	case c > 0x7f:
		r.mistake("%s:// with a character in its path or query that is not ASCII: write each byte of it as %%XX, as in %%C3%%A9 for é", r.scheme)
	default:
		r.mistake("%s:// with a %c in its path or query: write %%%02X", r.scheme, c, c)
	}
}

// escapeQuery escapes what a server has left unescaped in the query of a redirect,
// as browsers do.
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

func (h *httpProbe) setMethod(r *reading) {
	if _, written := r.values["method"]; !written {
		return
	}
	h.method = r.value("method")
	if h.method == "" || h.method == http.MethodConnect || strings.Trim(h.method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		r.mistake("method= is not the upper-case name of one: write for example method=POST")
	}
}

func (h *httpProbe) setStatus(r *reading) {
	if _, written := r.values["status"]; !written {
		return
	}
	for _, part := range strings.Split(r.value("status"), ",") {
		low, high, ranged := strings.Cut(part, "-")
		if !ranged {
			high = low
		}
		from, err1 := parseCount(low, 100)
		to, err2 := parseCount(high, 100)
		const only = http.StatusSwitchingProtocols // of those below 200 it alone ends an answer
		if err1 != nil || err2 != nil || from > to || to > 599 || to < 200 && (only < from || to < only) {
			r.mistake("status= %s is no status or range of them in 200-599, or 101: write for example status=200-299,401", quoteNumber(part))
			continue
		}
		h.status = append(h.status, statusRange{from, to})
	}
}

// setHeaders reads header='Name: value'.
func (h *httpProbe) setHeaders(r *reading) {
	hosts := 0
	for _, text := range r.values["header"] {
		name, value, ok := strings.Cut(text, ":")
		if !ok || !isToken(name) {
			r.mistake("header= is not a name, a colon and a value: write for example header='Accept: text/plain'")
			continue
		}
		f := headerField{name: textproto.CanonicalMIMEHeaderKey(name), value: strings.Trim(value, " \t")}
		if f.name == "Host" {
			hosts++
		}
		switch {
		case slices.Contains([]string{"Content-Length", "Transfer-Encoding", "Trailer", "Connection"}, f.name):
			r.mistake("header= %s: it belongs to the connection, and is set by usher", f.name)
		case hosts > 1:
			r.mistake("header= Host: write it once, as header='Host: NAME[:PORT]'")
		case strings.HasPrefix(f.value, "@/"):
			f.file = r.optionFile("header= "+f.name, f.value[1:])
		case f.unfit(f.value) != "":
			r.mistake("header= %s: %s", f.name, f.unfit(f.value))
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
