package probes

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// A kind of target. A new one is a file with its build function, and a row here: Parse,
// its messages and the pages (see [Kinds]) are made from this table.
type kind struct {
	name    string // its scheme too, except for "command"
	form    string // how it is written
	ready   string // when it is ready
	details string // more for the manual, in sentences
	example string
	options []option // those that only this kind has
	build   func(*reading) Probe
}

// scheme reports whether it is written as name://.
func (k kind) scheme() bool { return k.name != "command" }

const (
	readyAccepts = "a connection is accepted"
	readyStatus  = "the status is 200 to 399"
	readyServing = "grpc.health.v1 answers SERVING"
	readyServer  = "the server itself says that it accepts clients"
	sameOnTLS    = "The connection uses TLS, and the certificate is verified."
)

var kinds = []kind{
	{name: "tcp", form: "tcp://HOST:PORT", ready: readyAccepts, options: talkOptions, build: buildTCP, example: "tcp://db:5432",
		details: "Behind a proxy that accepts every connection, such as a service mesh or docker-proxy, it is always ready: probe http, grpc or the server's own scheme there."},
	{name: "unix", form: "unix:///PATH", ready: readyAccepts, options: talkOptions, build: buildUnix, example: "unix:///run/app.sock"},
	{name: "http", form: "http://HOST[:PORT]/PATH", ready: readyStatus, options: httpOptions, build: buildHTTP, example: "'status=204 timeout=2s http://auth/healthz'",
		details: "A probe follows redirects on the same host name, 10 at most; one to another host counts as ready. " +
			"What was written for the URL (method, headers, user, body, client certificate) is sent to the same scheme and port only, or from http to https on their default ports; any other redirect is followed with a plain GET, or HEAD if `method=` is HEAD. " +
			"A hook follows no redirect: a 3xx is a failure. " +
			"Spaces, control characters, characters that are not ASCII, backquotes and `\"<>\\^{|}` in the path or query are refused: write `%20`."},
	{name: "https", form: "https://HOST[:PORT]/PATH", ready: readyStatus, options: slices.Concat(httpOptions, tlsOptions), build: buildHTTP, example: "'ca=/etc/tls/ca.pem https://auth/healthz'", details: sameOnTLS},
	{name: "grpc", form: "grpc://HOST:PORT[/SERVICE]", ready: readyServing, build: buildGRPC, example: "grpc://auth:50051",
		details: "Without SERVICE the server as a whole is asked for."},
	{name: "grpcs", form: "grpcs://HOST:PORT[/SERVICE]", ready: readyServing, options: tlsOptions, build: buildGRPC, example: "'server-name=auth.example grpcs://auth:50051/users'", details: sameOnTLS},
	{name: "file", form: "file:///PATH", ready: "it exists", build: buildFile, example: "file:///shared/ready"},
	{name: "dns", form: "dns://NAME", ready: "it resolves", build: buildDNS, example: "dns://db.prod.svc",
		details: "Here `timeout=` covers the lookup."},
	{name: "postgres", form: "postgres://HOST[:PORT]", ready: readyServer, build: buildPostgres, example: "'postgres://app@db/app?sslmode=require'",
		details: "The default port is 5432. The user and the database are sent, over TLS if `sslmode=` is require, verify-ca or verify-full, so that a ready server logs nothing. It logs each attempt while it starts, as for `pg_isready`."},
	{name: "postgresql", form: "postgresql://HOST[:PORT]", ready: readyServer, build: buildPostgres, example: "postgresql://db",
		details: "The same as `postgres://`."},
	{name: "mysql", form: "mysql://HOST[:PORT]", ready: readyServer, build: buildServer(3306, askMySQL), example: "mysql://db",
		details: "MySQL or MariaDB. The default port is 3306. MariaDB logs one refused login of `usher-probe` each time it is ready."},
	{name: "redis", form: "redis://HOST[:PORT]", ready: readyServer, build: buildServer(6379, askRedis), example: "redis://cache",
		details: "The default port is 6379. It must answer PING and not be loading its data. With a password it does not tell whether it is loading: use `redis-cli` as a command then."},
	{name: "amqp", form: "amqp://HOST[:PORT]", ready: readyServer, build: buildServer(5672, askAMQP), example: "amqp://queue",
		details: "The default port is 5672. RabbitMQ logs one connection that the client closed each time it is ready."},
	{name: "nats", form: "nats://HOST[:PORT]", ready: readyServer, build: buildServer(4222, askNATS), example: "nats://bus",
		details: "The default port is 4222."},
	{name: "mqtt", form: "mqtt://HOST[:PORT]", ready: readyServer, build: buildServer(1883, askMQTT), example: "mqtt://broker",
		details: "The default port is 1883."},
	{name: "memcached", form: "memcached://HOST[:PORT]", ready: readyServer, build: buildServer(11211, askMemcached), example: "memcached://cache",
		details: "The default port is 11211."},
	{name: "command", form: "a command", ready: "it exits 0; no shell: write `sh -c '...'` for one", build: buildCommand, example: "'redis-cli -h cache ping'",
		details: "It is split into words by the quoting rules of the shell; nothing is expanded."},
}

// An option of the grammar. Those of a kind have no set: its build reads them.
type option struct {
	name    string
	value   string // placeholder of its value
	form    string // an example, for messages
	meaning string
	details string // more for the manual, in sentences
	uses    []Use  // nil means every use
	repeat  bool   // may be given more than once
	set     func(t *Target, value string) error
}

var options = []option{
	{name: "timeout", value: "D", form: "timeout=2s",
		meaning: "limit of one attempt (3s, `--probe` 1s) or of a whole hook (`--drain` and `--post-stop` 10s, others none)",
		details: "It begins once an address is known. All addresses of a name are tried within it, at most 8 at a time. " +
			"An attempt that meets a mount which does not answer (NFS, FUSE) ends with its timeout too; each such mount keeps one thread, and with four of them no file target gets an answer.",
		set: func(t *Target, v string) (err error) {
			t.TimeoutWritten = true
			t.Timeout, err = ParseDuration(v)
			return err
		}},
	{name: "interval", value: "D", form: "interval=500ms", uses: []Use{ForWait, ForReady},
		meaning: "longest pause between two attempts (1s)",
		details: "Pauses begin at 10ms and grow with the time already waited.",
		set: func(t *Target, v string) (err error) {
			t.Interval, err = ParseDuration(v)
			switch {
			case err != nil:
			case t.Interval < minPause:
				err = fmt.Errorf("is less than %v, with which every pause starts", minPause)
			case t.Interval > longestInterval:
				err = fmt.Errorf("is more than %v, the longest pause there is", longestInterval)
			}
			return err
		}},
	{name: "within", value: "D", form: "within=30s", uses: []Use{ForWait, ForReady},
		meaning: "fail if this target is not ready within D",
		set: func(t *Target, v string) (err error) {
			t.Within, err = ParseDuration(v)
			return err
		}},
	{name: "optional", value: "D", form: "optional=30s", uses: []Use{ForWait},
		meaning: "continue with a warning if this target is not ready within D",
		set: func(t *Target, v string) (err error) {
			if t.Optional, err = ParseDuration(v); err == nil && t.Optional == 0 {
				err = errors.New("needs a limit")
			}
			return err
		}},
	{name: "successes", value: "N", form: "successes=3", uses: []Use{ForWait, ForReady},
		meaning: "how many attempts in a row must succeed (1)",
		set: func(t *Target, v string) (err error) {
			t.Successes, err = parseCount(v, 1)
			return err
		}},
	{name: "retries", value: "N", form: "retries=3", uses: []Use{ForStart, ForEnd},
		meaning: "how often a failed hook is retried, within its timeout (0)",
		set: func(t *Target, v string) (err error) {
			t.Retries, err = parseCount(v, 0)
			return err
		}},
	{name: "name", value: "TEXT", form: "name=database",
		meaning: "name of the target in the log",
		details: "Without it a command is called by the base name of its first word, a probe's URL is printed without user, query and fragment, and a hook's URL without its path too. " +
			"A command's name ends where a secret may begin after a typo: at a space, an equals sign, a colon or a quote.",
		set: func(t *Target, v string) error {
			if v == "" || strings.ContainsFunc(v, unicode.IsControl) {
				return errors.New("needs text without control characters")
			}
			t.Name = v
			return nil
		}},
}

// Parse reads one target, `[option=value ...] TARGET`, for the given use.
//
// The text is split into words by the quoting rules of the POSIX shell (single
// quotes, double quotes, backslash); nothing is ever expanded. Options come
// first. What a shell would act on must be quoted in a command, because a user
// who wrote it meant a shell.
//
// Limits are Go durations or numbers of seconds; timeout=0 and within=0 mean no
// limit. A request is a GET unless method= says otherwise, with body= too. All mistakes
// of a text are reported, joined, each with the word that is wrong and the form
// that is right. They never hold what may be secret: the user, query or fragment
// of a URL, a header's value, a body, a command's arguments. After a typo those may
// be in the first word of a command: see [CommandName].
func Parse(text string, use Use) (Target, error) {
	words, err := split(text)
	if err != nil {
		return Target{}, err
	}
	r := reading{use: use, values: map[string][]string{}}
	r.target.Use, r.target.Interval, r.target.Successes = use, MaxInterval, 1
	switch use {
	case ForWait, ForReady:
		r.target.Timeout = ProbeTimeout
	case ForEnd:
		r.target.Timeout = EndTimeout
	case ForProbe:
		r.target.Timeout = OnceTimeout
	}
	words = r.takeOptions(words)
	k, known := r.takeTarget(words)
	r.setOptions(k, known)
	if known && r.canBuild() {
		r.target.Kind = k.name
		r.target.Probe = k.build(&r)
	}
	if r.target.Within > 0 && r.target.Optional > 0 {
		r.mistake("within= and optional= exclude each other: the passing of one is fatal, of the other a warning")
	}
	if len(r.mistakes) > 0 {
		return Target{}, errors.Join(r.mistakes...)
	}
	if r.target.Name == "" {
		r.target.Name = r.name
	}
	return r.target, nil
}

// A reading is what is known of a text so far.
type reading struct {
	use      Use
	scheme   string
	rest     string              // what follows scheme://
	torn     bool                // more words follow the URL: it may be cut in two
	argv     []word              // of a command
	order    []string            // options in the order of the text
	values   map[string][]string // and what was written for them
	name     string              // what build calls the target
	target   Target
	mistakes []error
}

func (r *reading) mistake(format string, args ...any) {
	r.mistakes = append(r.mistakes, fmt.Errorf(format, args...))
}

// canBuild is false when there is nothing that build could read. It is true
// after mistakes in options: those of the target shall be reported with them.
func (r *reading) canBuild() bool { return r.scheme != "" || len(r.argv) > 0 }

// value is what was written for an option that does not repeat, "" without it.
func (r *reading) value(option string) string {
	if v := r.values[option]; len(v) > 0 {
		return v[0]
	}
	return ""
}

var (
	assignment = onDemand(`^([A-Za-z_][A-Za-z0-9_-]*)=`)
	schemed    = onDemand(`^([A-Za-z][A-Za-z0-9+.-]*)://`)
	bare       = onDemand(`^(\[[0-9A-Fa-f:.%]+\]|[\pL\pN._-]*):[0-9]+/?$`)
	lowerCase  = onDemand(`^[a-z-]+$`)
)

// onDemand compiles a pattern when it is first used: an init that is given no
// target starts its app the sooner.
func onDemand(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// takeOptions reads the option=value words in front and returns the others.
func (r *reading) takeOptions(words []word) []word {
	for i, w := range words {
		m := assignment().FindStringSubmatch(w.text)
		if m == nil {
			return words[i:]
		}
		name, value := m[1], w.text[len(m[0]):]
		_, seen := r.values[name]
		o, known := findOption(name)
		switch {
		case known && seen && !o.repeat:
			r.mistake("%s= is given twice", name)
		case known:
			if w.expands() {
				r.mistake("%s=: nothing is expanded here: quote the $ or ` that is meant as such", name)
			}
			r.order = append(r.order, name)
			r.values[name] = append(r.values[name], value)
		case r.unquoted() != "":
			// Not repeated: it is the rest of a value that was not quoted, and may be
			// the half of a password.
			r.mistake("%s= has more words behind it: quote a value that has spaces, as in header='K: V'", r.unquoted())
		case isOption(strings.ToLower(name)):
			r.mistake("%s= is not an option: those are lower case: write %s=", name, strings.ToLower(name))
		case lowerCase().MatchString(name):
			r.mistake("unknown option %s=: known are %s; for an environment variable write env %s=value cmd", name, optionList(), name)
		default:
			r.mistake("%s= is not an option: for an environment variable write env %s=value cmd", name, name)
		}
	}
	return nil
}

// unquoted is the last option so far whose value is free text, and may be secret: if
// what follows is neither an option nor a URL, it is the rest of that value. "" if
// there is no such option.
func (r *reading) unquoted() string {
	for _, name := range slices.Backward(r.order) {
		if slices.Contains([]string{"header", "body", "match", "send", "expect"}, name) {
			return name
		}
	}
	return ""
}

// takeTarget finds the kind of the target that the remaining words name.
func (r *reading) takeTarget(words []word) (k kind, known bool) {
	if len(words) == 0 {
		if len(r.values) > 0 || len(r.mistakes) > 0 {
			r.mistake("options without a target: write " + aTarget + " after them")
		} else {
			r.mistake("empty target: write " + aTarget)
		}
		return kind{}, false
	}
	first := words[0]
	if m := schemed().FindStringSubmatch(first.text); m != nil {
		r.oneWord(words)
		scheme := strings.ToLower(m[1])
		k, known := findKind(scheme)
		if base := strings.TrimSuffix(scheme, "s"); !known && !slices.Contains([]string{"file", "unix", "dns"}, base) && isScheme(base) {
			r.mistake("unknown scheme %s://: TLS is spoken for https:// and grpcs:// only: write tcp://HOST:PORT", scheme)
			return kind{}, false
		}
		if !isScheme(scheme) {
			r.mistake("unknown scheme %s://: known are %s; write tcp://HOST:PORT for any other server", scheme, schemeList())
			return kind{}, false
		}
		if first.expands() {
			r.mistake("%s://: nothing is expanded here: quote the $ or ` that is meant as such", scheme)
		}
		r.scheme, r.rest = scheme, first.text[len(m[0]):]
		return k, true
	}
	if scheme, _, ok := strings.Cut(first.text, ":"); ok {
		if k, known := findKind(strings.ToLower(scheme)); known {
			r.mistake("%s: without //: write %s", scheme, k.form)
			return kind{}, false
		}
	}
	if before, _, ok := strings.Cut(first.text, "://"); ok && !strings.Contains(before, "/") {
		r.mistake("what stands before :// is no scheme: known are %s; write tcp://HOST:PORT for any other server", schemeList())
		return kind{}, false
	}
	if user, _, ok := strings.Cut(first.text, "@"); ok && strings.IndexAny(user, "/.") != 0 && strings.Contains(user, ":") {
		// Not repeated, and not taken for a command that logs would name: it
		// is a URL that has lost its scheme, and so holds a password.
		r.mistake("USER:PASSWORD@HOST without a scheme: write " + aTarget)
		return kind{}, false
	}
	if strings.HasPrefix(first.text, "-") {
		r.mistake("a command does not begin with a dash: write " + aTarget)
		return kind{}, false
	}
	if r.unquoted() == "" && bare().MatchString(first.text) {
		r.mistake("%q has no scheme: write tcp://%s", first.text, strings.TrimSuffix(first.text, "/"))
		return kind{}, false
	}
	if name, _, ok := strings.Cut(first.text, ":"); ok {
		if o, known := findOption(strings.ToLower(name)); known {
			r.mistake("%s: is not how an option is written: write %s", o.name, o.form)
			return kind{}, false
		}
	}
	if text := r.unquoted(); text != "" {
		// Not taken for a command that messages would name: it may be half a password.
		r.mistake("%s= is for a URL, and what follows is none: quote a value that has spaces, as in header='K: V'", text)
		return kind{}, false
	}
	if isJSON(first.text) {
		r.mistake(jsonHint)
		return kind{}, false
	}
	if host, ok := schemelessURL(first.text); ok {
		r.mistake("%s/… has no scheme: write http://%s/…, or ./%[1]s/… for a command", host, host)
		return kind{}, false
	}
	// A path may have a blank in it, a name that is looked up in PATH never has.
	if i := strings.IndexFunc(first.text, unicode.IsSpace); i >= 0 && !strings.Contains(first.text[:i], "/") {
		r.mistake("the command %s is one word with blanks in it: write its arguments as separate words, without quotes around all of it", CommandName(first.text))
		return kind{}, false
	}
	r.argv = words
	return findKind("command")
}

// oneWord refuses what follows a URL; it names options only, as an argument may
// be secret.
func (r *reading) oneWord(words []word) {
	r.torn = len(words) > 1
	for _, w := range words[1:] {
		if m := assignment().FindStringSubmatch(w.text); m != nil {
			if _, known := findOption(m[1]); known {
				r.mistake("%s= comes after the target: write it before", m[1])
				continue
			}
		}
		r.mistake("more words after the URL: a target is one URL, or one command; quote spaces that belong to it")
		return
	}
}

// setOptions applies the options of every kind, and refuses those that do not
// go with this use or this kind.
func (r *reading) setOptions(k kind, known bool) {
	for _, name := range r.order {
		o, _ := findOption(name)
		switch {
		case o.uses != nil && !slices.Contains(o.uses, r.use):
			r.mistake("%s= is for %s only, not for %s", name, useList(o.uses), r.use)
		case o.set != nil:
			if err := o.set(&r.target, r.value(name)); err != nil {
				r.mistake("%s= %w: write for example %s", name, err, o.form)
			}
		case known && !slices.ContainsFunc(k.options, func(have option) bool { return have.name == name }):
			r.mistake("%s= is for %s, not for %s", name, kindsWith(name), k.name)
		}
	}
}

func findKind(name string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

func isOption(name string) bool {
	_, known := findOption(name)
	return known
}

func isScheme(name string) bool {
	k, known := findKind(name)
	return known && k.scheme()
}

func findOption(name string) (option, bool) {
	for _, o := range allOptions() {
		if o.name == name {
			return o, true
		}
	}
	return option{}, false
}

// allOptions are those of every kind and those of one, each once.
func allOptions() []option {
	all := slices.Clone(options)
	for _, k := range kinds {
		for _, o := range k.options {
			if !slices.ContainsFunc(all, func(have option) bool { return have.name == o.name }) {
				all = append(all, o)
			}
		}
	}
	return all
}

func optionList() string {
	var names []string
	for _, o := range allOptions() {
		names = append(names, o.name+"=")
	}
	return strings.Join(names, " ")
}

const aTarget = "a target, such as tcp://HOST:PORT, http://HOST/PATH or a command"

func schemeList() string {
	var names []string
	for _, k := range kinds {
		if k.scheme() {
			names = append(names, k.name+"://")
		}
	}
	return strings.Join(names, " ")
}

func kindsWith(name string) string {
	var names []string
	for _, k := range kinds {
		if slices.ContainsFunc(k.options, func(o option) bool { return o.name == name }) {
			names = append(names, k.name)
		}
	}
	return strings.Join(names, " and ")
}

func useList(uses []Use) string {
	var names []string
	for _, u := range uses {
		names = append(names, u.String())
	}
	return strings.Join(names, " and ")
}

// ParseDuration reads a limit: a Go duration ("1m30s", "200ms") or a bare number
// of seconds ("30", "1.5"). 0 is a duration, and means no limit wherever this
// package takes one. What is negative or longer than 292 years is refused.
func ParseDuration(s string) (time.Duration, error) {
	text := s
	if s != "" && strings.Trim(s, "0123456789.") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	switch {
	case strings.HasPrefix(s, "-") && (err != nil || d < 0):
		return 0, fmt.Errorf("%s is negative", quoteNumber(s))
	case err != nil:
		return 0, fmt.Errorf("%s is not a duration, like 30s, 1m30s or a number of seconds", quoteNumber(s))
	case d == 0 && strings.ContainsAny(s, "123456789"):
		return 0, fmt.Errorf("%s is less than a nanosecond", quoteNumber(s))
	}
	return d, nil
}

// parseCount reads a number of times, which is at least least.
func parseCount(s string, least int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > math.MaxInt32 {
		return 0, fmt.Errorf("%s is not a number from %d on", quoteNumber(s), least)
	}
	return n, nil
}
