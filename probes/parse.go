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

// A kind describes one kind of target. To add a kind, add a file with its build function,
// and add an element to kinds. Parse, its messages and the documentation (see [Kinds]) use
// that slice.
type kind struct {
	name    string // also the scheme, except for "command" and "env"
	form    string // how to write a target of this kind
	ready   string // the text that says when a target of this kind is ready
	details string // more sentences about this kind, for the manual
	example string
	options []option // the options of this kind, without those that all kinds have (the variable options)
	build   func(*targetParser) Probe
}

// hasScheme reports whether targets of this kind are written as name://….
func (k kind) hasScheme() bool { return k.name != "command" && k.name != "env" }

const (
	readyAccepts = "a connection is accepted"
	readyStatus  = "the status is 200 to 399"
	readyServing = "grpc.health.v1 answers SERVING"
	readyServer  = "the server accepts clients, by its own protocol"
	sameOnTLS    = "The connection uses TLS, and the certificate is verified."
)

var kinds = []kind{
	{name: "tcp", form: "tcp://HOST:PORT", ready: readyAccepts, options: slices.Concat(sendExpectOptions, goneOptions), build: buildTCP, example: "tcp://db:5432",
		details: "Behind a proxy that accepts every connection, such as a service mesh or docker-proxy, it is always ready: probe http, grpc or the server's own scheme there."},
	{name: "unix", form: "unix:///PATH", ready: readyAccepts, options: slices.Concat(sendExpectOptions, goneOptions), build: buildUnix, example: "unix:///run/app.sock"},
	{name: "http", form: "http://HOST[:PORT]/PATH", ready: readyStatus, options: slices.Concat(httpOptions, goneOptions), build: buildHTTP, example: "'status=204 timeout=2s http://auth/healthz'",
		details: "A probe follows redirects on the same host name, 10 at most; one to another host counts as ready. " +
			"What was written for the URL (method, headers, user, body, client certificate) is sent to the same scheme and port only, or from http to https on their default ports; any other redirect is followed with a plain GET, or HEAD if `method=` is HEAD. " +
			"A hook follows no redirect: a 3xx is a failure. " +
			"Spaces, control characters, characters that are not ASCII, backquotes and `\"<>\\^{|}` in the path or query are refused: write `%20` for a space."},
	{name: "https", form: "https://HOST[:PORT]/PATH", ready: readyStatus, options: slices.Concat(httpOptions, goneOptions, tlsOptions), build: buildHTTP, example: "'ca=/etc/tls/ca.pem https://auth/healthz'", details: sameOnTLS},
	{name: "grpc", form: "grpc://HOST:PORT[/SERVICE]", ready: readyServing, build: buildGRPC, example: "grpc://auth:50051",
		details: "Without SERVICE the health of the whole server is requested."},
	{name: "grpcs", form: "grpcs://HOST:PORT[/SERVICE]", ready: readyServing, options: tlsOptions, build: buildGRPC, example: "'server-name=auth.example grpcs://auth:50051/users'", details: sameOnTLS},
	{name: "file", form: "file:///PATH", ready: "it exists", options: goneOptions, build: buildFile, example: "file:///shared/ready"},
	{name: "dns", form: "dns://NAME", ready: "it resolves", options: goneOptions, build: buildDNS, example: "dns://db.prod.svc",
		details: "Here `timeout=` covers the lookup. A lookup that takes longer counts for the next attempt only: with `successes=`, choose a `timeout=` that is longer than a lookup."},
	{name: "postgres", form: "postgres://HOST[:PORT]", ready: readyServer, options: tlsOptions, build: buildPostgres, example: "'postgres://app@db/app?sslmode=require'",
		details: "The default port is 5432. The user and the database are sent, so that a ready server logs nothing. It logs each attempt while it starts, as for `pg_isready`. " +
			"TLS is used as libpq does for `sslmode=` require, verify-ca and verify-full, with `ca=` or `sslrootcert=` or the system's authorities. " +
			"Without these a server that wants TLS is ready, but logs that this client is not allowed. " +
			"A hot standby is ready. A pooler answers for itself: probe the server's own address, or `psql -c 'select 1'` through the pooler as a command."},
	{name: "postgresql", form: "postgresql://HOST[:PORT]", ready: readyServer, options: tlsOptions, build: buildPostgres, example: "'postgresql://db?sslmode=verify-full'",
		details: "The same as `postgres://`."},
	{name: "mysql", form: "mysql://HOST[:PORT]", ready: readyServer, options: tlsOptions, build: buildMySQL, example: "mysql://db",
		details: "MySQL or MariaDB. The default port is 3306. MariaDB logs one refused login of `usher-probe` each time it is ready; without a login the attempt would count towards `max_connect_errors`, and the server would block the host. " +
			"TLS is used if the URL requires it, as by `ssl-mode=REQUIRED`, VERIFY_CA or VERIFY_IDENTITY, `tls=true` or `useSSL=true`."},
	{name: "redis", form: "redis://HOST[:PORT]", ready: readyServer, build: buildServer(6379, askRedis), example: "redis://cache",
		details: "The default port is 6379. It must answer PING and not be loading its data. A server that wants a password counts as ready even while it loads its data: use `redis-cli` as a command then. " +
			"A Sentinel and a node of a cluster answer for themselves: for the cluster, probe `send='CLUSTER INFO\\r\\nQUIT\\r\\n' expect=cluster_state:ok tcp://cache:6379`."},
	{name: "rediss", form: "rediss://HOST[:PORT]", ready: readyServer, options: tlsOptions, build: buildServerTLS(6379, askRedis), example: "'ca=/etc/tls/ca.pem rediss://cache'",
		details: "The same as `redis://` over TLS, and the certificate is verified."},
	{name: "amqp", form: "amqp://HOST[:PORT]", ready: readyServer, build: buildServer(5672, askAMQP), example: "amqp://queue",
		details: "The default port is 5672. RabbitMQ logs one connection that the client closed each time it is ready."},
	{name: "amqps", form: "amqps://HOST[:PORT]", ready: readyServer, options: tlsOptions, build: buildServerTLS(5671, askAMQP), example: "amqps://queue",
		details: "The same as `amqp://` over TLS, and the certificate is verified. The default port is 5671."},
	{name: "nats", form: "nats://HOST[:PORT]", ready: readyServer, options: tlsOptions, build: buildNATS, example: "nats://bus",
		details: "The default port is 4222. If the server requires TLS, the probe performs the handshake; the certificate is verified if one of the options for TLS is given. " +
			"A server with `handshake_first: true` is never ready, because it sends nothing before TLS: probe its monitoring port, `http://bus:8222/healthz`."},
	{name: "mqtt", form: "mqtt://HOST[:PORT]", ready: readyServer, build: buildServer(1883, askMQTT), example: "mqtt://broker",
		details: "The default port is 1883."},
	{name: "mqtts", form: "mqtts://HOST[:PORT]", ready: readyServer, options: tlsOptions, build: buildServerTLS(8883, askMQTT), example: "mqtts://broker",
		details: "The same as `mqtt://` over TLS, and the certificate is verified. The default port is 8883."},
	{name: "memcached", form: "memcached://HOST[:PORT]", ready: readyServer, build: buildServer(11211, askMemcached), example: "memcached://cache",
		details: "The default port is 11211."},
	{name: "mongodb", form: "mongodb://HOST[:PORT]", ready: readyServer, options: tlsOptions, build: buildMongoDB, example: "mongodb://db",
		details: "MongoDB 3.6 or later. The default port is 27017. A server that stands alone, a primary, a secondary and a mongos are ready; a member of a replica set that is starting, recovering, in rollback or not in the configuration is not, nor is an arbiter. " +
			"TLS is used if the URL has `tls=true` or `ssl=true`."},
	{name: "mongodb+srv", form: "mongodb+srv://NAME", ready: readyServer, options: tlsOptions, build: buildMongoSRV, example: "mongodb+srv://cluster.example",
		details: "The same as `mongodb://` for the hosts of the SRV record `_mongodb._tcp.NAME`, over TLS unless the URL has `tls=false`."},
	{name: "kafka", form: "kafka://HOST[:PORT]", ready: readyServer, build: buildServer(9092, askKafka), example: "kafka://broker",
		details: "Kafka 0.10 or later. The default port is 9092. The broker must know a controller and at least one registered broker. One that wants a login (SASL) is ready when it answers; without the mechanism PLAIN it logs one failed authentication each time it is ready."},
	{name: "kafka+ssl", form: "kafka+ssl://HOST[:PORT]", ready: readyServer, options: tlsOptions, build: buildServerTLS(9092, askKafka), example: "'ca=/etc/tls/ca.pem kafka+ssl://broker:9093'",
		details: "The same as `kafka://` over TLS, and the certificate is verified."},
	{name: "env", form: "env:NAME", ready: "the target that the variable NAME holds is ready", example: "'timeout=2s env:DATABASE_URL'",
		details: "The value is a URL. Options are written before `env:`. If the variable is not set or empty, usher starts nothing. The value is never printed, and the log calls the target `env:NAME`."},
	{name: "command", form: "a command", ready: "it exits 0; no shell: write `sh -c '...'` for one", build: buildCommand, example: "'redis-cli -h cache ping'",
		details: "It is split into words by the quoting rules of the shell; nothing is expanded."},
}

// An option describes an option of a target. If only some kinds have the option, set is nil:
// the build functions of these kinds read the option's value, and applyGone reads that of
// gone=.
type option struct {
	name    string
	value   string // placeholder of its value
	form    string // an example for messages
	meaning string
	details string // more sentences for the manual
	uses    []Use  // nil means every use
	repeat  bool   // may be given more than once
	set     func(t *Target, value string) error
}

var options = []option{
	{name: "timeout", value: "D", form: "timeout=2s",
		meaning: "limit of one attempt (3s, `--probe` 1s) or of a whole hook (`--drain` and `--post-stop` 10s, others none)",
		details: "It begins once an address is known. All addresses of a name are tried within it, at most 8 at a time. " +
			"An attempt that meets a mount which does not answer (NFS, FUSE) ends with its timeout too; each such mount keeps one thread, and with two of them no file target gets an answer.",
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
			case t.Interval < minDelay:
				err = fmt.Errorf("is less than %v, the first delay", minDelay)
			case t.Interval > maxInterval:
				err = fmt.Errorf("is more than %v, the longest interval", maxInterval)
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

// Parse parses one target, `[option=value ...] TARGET`, for the given use.
//
// The text is split into words by the quoting rules of the POSIX shell (single quotes,
// double quotes, backslash); nothing is expanded. Options come first. In a command, unquoted
// characters that are special to a shell are an error, because no shell is used.
//
// Durations are Go durations or numbers of seconds; timeout=0 and within=0 mean no limit.
// An HTTP request is a GET unless method= is given, even with body=. If several words are
// wrong, the error of Parse joins their errors. Each of them shows the wrong word, if that is
// safe, and the right form. No error contains text that may be secret, such as the user,
// query or fragment of a URL, the value of a header, a body, or a command's arguments. After a
// typo the first word of a command may contain a secret, so errors show only the part of it
// that [CommandName] returns.
func Parse(text string, use Use) (Target, error) { return Parser{}.Parse(text, use) }

// Parse is like the function Parse. It also accepts env:NAME if LookupEnv is not nil.
func (parser Parser) Parse(text string, use Use) (Target, error) {
	words, err := splitWords(text)
	if err != nil {
		return Target{}, err
	}
	p := targetParser{use: use, lookupEnv: parser.LookupEnv, values: map[string][]string{}}
	p.target.Use, p.target.Interval, p.target.Successes = use, DefaultInterval, 1
	switch use {
	case ForWait, ForReady:
		p.target.Timeout = ProbeTimeout
	case ForEnd:
		p.target.Timeout = EndTimeout
	case ForProbe:
		p.target.Timeout = OnceTimeout
	}
	words = p.takeOptions(words)
	k, known := p.takeTarget(words)
	p.setOptions(k, known)
	if known { // the target is parsed even if an option is wrong, so that Parse reports the errors of both
		p.target.Kind = k.name
		fileKinds := []string{"file", "unix", "https", "grpcs", "dns"}
		if slices.Contains(fileKinds, k.name) || slices.ContainsFunc(p.values["header"], func(h string) bool { return strings.Contains(h, "@") }) {
			p.target.ReadsFiles = true
		}
		before := len(p.errs)
		p.target.Probe = k.build(&p)
		if p.env != "" {
			p.name = "env:" + p.env
			for i, err := range p.errs[before:] {
				p.errs[before+i] = fmt.Errorf("env:%s: %w", p.env, err)
			}
		}
		p.target.Probe = p.applyGone(p.target.Probe)
	}
	if p.target.Within > 0 && p.target.Optional > 0 {
		p.addError("within= and optional= cannot be combined: a target that is not ready in time is fatal with within=, a warning with optional=")
	}
	if len(p.errs) > 0 {
		return Target{}, errors.Join(p.errs...)
	}
	if p.target.Name == "" {
		p.target.Name = p.name
	}
	return p.target, nil
}

// A targetParser holds the state of one call of Parse.
type targetParser struct {
	use           Use
	lookupEnv     func(name string) (value string, found bool) // nil: env:NAME is rejected
	env           string                                       // the NAME of the target env:NAME, a variable that holds the URL; "" for other targets
	scheme        string                                       // the URL's scheme in lower case, but for env:NAME the kind's name, because messages show this field; some build functions decide by it on TLS and the default port
	written       string                                       // the URL's scheme in lower case, also for env:NAME; it may name a driver, as in postgresql+asyncpg
	rest          string                                       // the text of the URL after scheme://
	hasExtraWords bool                                         // more words follow the URL, so the URL may contain an unquoted space
	hidesHosts    bool                                         // errors and names do not show the host, because it is in the URL's query or in the variable of env:NAME, and may be secret
	argv          []word                                       // the words of a command
	order         []string                                     // the names of the given options, in the order of the text
	values        map[string][]string                          // the values of each given option, by its name
	name          string                                       // the name of the target in logs if name= is not given; set by kind.build, for env:NAME by Parse
	target        Target
	errs          []error
}

func (p *targetParser) addError(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

// value returns the value of an option that may be given only once. It returns "" if the
// option is not given.
func (p *targetParser) value(option string) string {
	if v := p.values[option]; len(v) > 0 {
		return v[0]
	}
	return ""
}

var (
	optionPrefix  = lazyRegexp(`^([A-Za-z_][A-Za-z0-9_-]*)=`)
	schemePrefix  = lazyRegexp(`^([A-Za-z][A-Za-z0-9+.-]*|(?i:jdbc|r2dbcs?):[A-Za-z0-9+.-]*(?::[A-Za-z-]+)?)://`)
	bareHostPort  = lazyRegexp(`^(\[[0-9A-Fa-f:.%]+\]|[\pL\pN._-]*):[0-9]+/?$`)
	bareHostPorts = lazyRegexp(`^([A-Za-z0-9._-]+:[0-9]+,)+[A-Za-z0-9._-]+:[0-9]+$`) // a list, as in Kafka's bootstrap.servers
	lowerCaseName = lazyRegexp(`^[a-z-]+$`)
)

// lazyRegexp compiles a pattern at its first use. If all patterns were compiled when usher
// starts, the app would start later, even without targets.
func lazyRegexp(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// takeOptions takes the leading option=value words and returns the other words.
func (p *targetParser) takeOptions(words []word) []word {
	for i, w := range words {
		m := optionPrefix().FindStringSubmatch(w.text)
		if m == nil {
			return words[i:]
		}
		name, value := m[1], w.text[len(m[0]):]
		_, seen := p.values[name]
		o, known := findOption(name)
		switch {
		case seen && !o.repeat:
			p.addError("%s= is given twice", name)
		case known:
			if w.wouldExpand() {
				p.addError("%s=: variables and commands are not expanded: quote a $ or ` that is part of the text", name)
			}
			p.order = append(p.order, name)
			p.values[name] = append(p.values[name], value)
		case p.freeTextOption() != "":
			// The word is not shown, because it is the rest of an unquoted value and may be
			// part of a password.
			p.addError("%s= is followed by more words: quote a value that has spaces, as in header='K: V'", p.freeTextOption())
		case isOption(strings.ToLower(name)):
			p.addError("%s= is not an option: options are lower-case: write %s=", name, strings.ToLower(name))
		case lowerCaseName().MatchString(name):
			p.addError("unknown option %s=: known are %s; for an environment variable write env %s=value cmd", name, optionList(), name)
		default:
			p.addError("%s= is not an option: for an environment variable write env %s=value cmd", name, name)
		}
	}
	return nil
}

// freeTextOption returns the name of the last option in p.order whose value is free text, or
// "". If the word after the options is neither an option nor a URL, it is probably the rest of
// that value, which has spaces but was written without quotes. The word may then be secret.
func (p *targetParser) freeTextOption() string {
	for _, name := range slices.Backward(p.order) {
		if slices.Contains([]string{"header", "body", "match", "send", "expect"}, name) {
			return name
		}
	}
	return ""
}

// takeTarget determines the kind of the target from the words after the options. It also sets
// fields of p: for a URL and env:NAME scheme, written, rest and hasExtraWords, for env:NAME also
// env and hidesHosts, and for a command argv.
func (p *targetParser) takeTarget(words []word) (k kind, known bool) {
	if len(words) == 0 {
		if len(p.values) > 0 || len(p.errs) > 0 {
			p.addError("options without a target: write " + targetForm + " after them")
		} else {
			p.addError("empty target: write " + targetForm)
		}
		return kind{}, false
	}
	first := words[0]
	if strings.HasPrefix(first.text, "env:") {
		return p.takeEnv(words)
	}
	if m := schemePrefix().FindStringSubmatch(first.text); m != nil {
		p.rejectExtraWords(words)
		scheme := strings.ToLower(m[1])
		k, known := findScheme(scheme)
		if base := strings.TrimSuffix(scheme, "s"); !known && !slices.Contains([]string{"file", "unix", "dns"}, base) && isScheme(base) {
			p.addError("unknown scheme %s://: over TLS there are %s: write tcp://HOST:PORT", scheme, tlsSchemeList())
			return kind{}, false
		}
		if parts := strings.SplitN(scheme, ":", 3); !known && len(parts) > 2 {
			scheme = parts[0] + ":" + parts[1]
		}
		if !known {
			if _, advice := adviceFor(scheme + ":"); advice != "" {
				p.addError("unknown scheme %s://: %s", scheme, advice)
			} else {
				p.addError("unknown scheme %s://: known are %s; write tcp://HOST:PORT for any other server", scheme, schemeList())
			}
			return kind{}, false
		}
		if first.wouldExpand() {
			p.addError("%s://: variables and commands are not expanded: quote a $ or ` that is part of the text", scheme)
		}
		p.scheme, p.written, p.rest = scheme, scheme, first.text[len(m[0]):]
		return k, true
	}
	if scheme, _, ok := strings.Cut(first.text, ":"); ok && !strings.Contains(scheme, "+") {
		lower := strings.ToLower(scheme)
		own, advice := adviceFor(first.text)
		_, java := cutJava(lower + ":")
		switch k, known := findScheme(lower); {
		case java && advice != "":
			p.addError("unknown scheme %s:%s: %s", lower, own, advice)
			return kind{}, false
		case java:
			p.addError("%s: without //: write %[1]s:postgresql://HOST/DATABASE or %[1]s:mysql://HOST/DATABASE", lower)
			return kind{}, false
		case !isScheme(lower) && bareHostPort().MatchString(first.text): // HOST:PORT, such as oracle:1521, is handled below
		case advice != "":
			p.addError("unknown scheme %s: %s", lower, advice)
			return kind{}, false
		case known:
			p.addError("%s: without //: write %s", scheme, k.form)
			return kind{}, false
		}
	}
	if before, _, ok := strings.Cut(first.text, "://"); ok && !strings.Contains(before, "/") {
		p.addError("invalid scheme before ://: known are %s; write tcp://HOST:PORT for any other server", schemeList())
		return kind{}, false
	}
	if user, _, ok := strings.Cut(first.text, "@"); ok && strings.IndexAny(user, "/.") != 0 && strings.Contains(user, ":") {
		// The word is probably a URL without a scheme, and may contain a password. It is not
		// shown, and not parsed as a command, because logs show the names of commands.
		p.addError("USER:PASSWORD@HOST without a scheme: write " + targetForm)
		return kind{}, false
	}
	if strings.HasPrefix(first.text, "-") {
		p.addError("a command does not start with a dash: write " + targetForm)
		return kind{}, false
	}
	if p.freeTextOption() == "" && bareHostPort().MatchString(first.text) {
		p.addError("%q has no scheme: write tcp://%s", first.text, strings.TrimSuffix(first.text, "/"))
		return kind{}, false
	}
	if p.freeTextOption() == "" && bareHostPorts().MatchString(first.text) {
		p.addError("%q has no scheme: write for example kafka://%s", first.text, first.text)
		return kind{}, false
	}
	if name, _, ok := strings.Cut(first.text, ":"); ok {
		if o, known := findOption(strings.ToLower(name)); known {
			p.addError("%s: is not the form of an option: write %s", o.name, o.form)
			return kind{}, false
		}
	}
	if text := p.freeTextOption(); text != "" {
		// The word may be part of a password. It is not parsed as a command, because
		// messages show the names of commands.
		p.addError("%s= is for a URL, but no URL follows: quote a value that has spaces, as in header='K: V'", text)
		return kind{}, false
	}
	if isJSON(first.text) {
		p.addError(jsonHint)
		return kind{}, false
	}
	if host, ok := schemelessURL(first.text); ok {
		p.addError("%s/… has no scheme: write http://%s/…, or ./%[1]s/… for a command", host, host)
		return kind{}, false
	}
	// A path may contain a space, but the name of a command in PATH hardly ever contains one.
	if i := strings.IndexFunc(first.text, unicode.IsSpace); i >= 0 && !strings.Contains(first.text[:i], "/") {
		p.addError("the command %s is one word with blanks: write its arguments as separate words, without quotes around them all", CommandName(first.text))
		return kind{}, false
	}
	p.argv = words
	return findKind("command")
}

// rejectExtraWords reports words after a URL. It shows the names of options only, because
// other words may be secret.
func (p *targetParser) rejectExtraWords(words []word) {
	p.hasExtraWords = len(words) > 1
	for _, w := range words[1:] {
		if m := optionPrefix().FindStringSubmatch(w.text); m != nil {
			if _, known := findOption(m[1]); known {
				p.addError("%s= is after the target: write it before the target", m[1])
				continue
			}
		}
		p.addError("more words after the URL: a target is one URL, or one command; quote spaces that belong to it")
		return
	}
}

// setOptions sets the fields of p.target from the options that every kind has, and reports
// their invalid values. It also reports options that are not allowed for p.use and, if the kind
// of the target is known, options that k does not have.
func (p *targetParser) setOptions(k kind, known bool) {
	for _, name := range p.order {
		o, _ := findOption(name)
		switch {
		case o.uses != nil && !slices.Contains(o.uses, p.use):
			p.addError("%s= is for %s only, not for %s", name, useList(o.uses), p.use)
		case o.set != nil:
			if err := o.set(&p.target, p.value(name)); err != nil {
				p.addError("%s= %w: write for example %s", name, err, o.form)
			}
		case known && !slices.ContainsFunc(k.options, func(have option) bool { return have.name == name }):
			p.addError("%s= is for %s, not for %s", name, kindsWith(name), k.name)
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
	return known && k.hasScheme()
}

func findOption(name string) (option, bool) {
	for _, o := range allOptions() {
		if o.name == name {
			return o, true
		}
	}
	return option{}, false
}

// allOptions returns the options that every kind has, and then the options that only some
// kinds have, each once.
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

const targetForm = "a target, such as tcp://HOST:PORT, http://HOST/PATH or a command"

func schemeList() string {
	var names []string
	for _, k := range kinds {
		if k.hasScheme() {
			names = append(names, k.name+"://")
		}
	}
	return strings.Join(names, " ")
}

// tlsSchemeList lists the schemes that consist of another kind's scheme and an s for TLS,
// such as rediss.
func tlsSchemeList() string {
	var names []string
	for _, k := range kinds {
		if base, ok := strings.CutSuffix(k.name, "s"); ok && isScheme(base) {
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
	if last := len(names) - 1; last > 1 {
		return strings.Join(names[:last], ", ") + " and " + names[last]
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

// ParseDuration parses a Go duration ("1m30s", "200ms") or a bare number of seconds ("30",
// "1.5"). A duration that is negative, longer than 292 years, or not 0 but less than a
// nanosecond is an error.
func ParseDuration(s string) (time.Duration, error) {
	text := s
	if strings.Trim(s, "0123456789.") == "" {
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

// parseCount parses a whole number from min to math.MaxInt32.
func parseCount(s string, min int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < min || n > math.MaxInt32 {
		return 0, fmt.Errorf("%s is not a whole number of at least %d", quoteNumber(s), min)
	}
	return n, nil
}
