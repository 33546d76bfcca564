package probes

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A trial is a set of random targets with random servers and names. A trial is plain data, so
// that it can be shrunk, and printed by String.
type trial struct {
	use     Use
	limit   time.Duration // the timeout of the context, like --wait-timeout; 0: none
	targets []*targetPlan
	servers []*serverPlan
	names   []*namePlan
}

// A targetPlan is one target. A field with the name of an option holds its value or, if it is a
// bool, says whether the option is given.
type targetPlan struct {
	kind   string // a name in the table of kinds
	scheme string // the scheme, if it is not kind
	hosts  []string
	port   int
	user   string
	path   string
	query  string
	inEnv  bool // the URL is in an environment variable

	timeout, interval, within, optional time.Duration // 0: the option is not given
	successes, retries                  int
	gone                                bool
	// HTTP
	status  string
	match   bool
	secrets []string // options with secret values, each as NAME=VALUE
	// TCP and unix sockets
	send, expect bool
	// TLS
	ca         string // the authority whose file ca= names: "good", or "other", which has signed only the certificate "other authority" (see newCertificates); "": not given
	serverName string
	insecure   bool
	urlTLS     string // the parameter of the URL that turns TLS on or off
}

// A serverPlan describes how one address and port, one socket, one file or one command behaves
// during a trial.
type serverPlan struct {
	address string
	phases  []*serverPhase
}

// How an address reacts to a connection. A file or command "accepts" if it exists.
const (
	accepts       = "accepts"
	isClosed      = "refuses"
	dropsPackets  = "drops packets"
	isUnreachable = "is unreachable"
	isMissing     = "is missing" // the socket, file or command does not exist
	hasNoIPv6     = "has no IPv6"
)

// A serverPhase lasts until the next one begins. A connection keeps the phase in which it was
// dialed.
type serverPhase struct {
	from    time.Duration
	listens string
	speaks  string // the protocol, or what the server does instead
	state   string // the state that the server reports
	variant int    // selects one of several answers that a server may give in this state
	cert    string // the certificate; "": no TLS

	connects time.Duration // how long it takes to connect
	delay    time.Duration // before the first byte
	stall    time.Duration // before the byte stallAt
	stallAt  int
	piece    int    // the maximum number of bytes that are sent at once; 0: no limit
	ends     string // how the connection ends at the byte endAt: "EOF", "a reset" or "silence"; "": it is not cut off
	endAt    int
	lingers  bool // after its answer the server does not close the connection, and sends more if variant is even

	// HTTP
	status   int
	location string
	size     int    // of the body
	framing  string // how the length of the body is sent: "length", "chunks" or "close"
	matchAt  int    // where the text for match= begins in the body; -1: nowhere
	interim  bool
}

// A namePlan is what the name server answers for one name.
type namePlan struct {
	name   string
	phases []namePhase
}

type namePhase struct {
	from   time.Duration
	answer string // "addresses", "does not exist", "fails", "times out"
	addrs  []string
	delay  time.Duration
}

func at[T any](phases []T, now time.Duration, from func(T) time.Duration) (found T) {
	for _, p := range phases {
		if from(p) <= now {
			found = p
		}
	}
	return found
}

func (s *serverPlan) at(now time.Duration) *serverPhase {
	return at(s.phases, now, func(p *serverPhase) time.Duration { return p.from })
}

func (s *serverPlan) last() *serverPhase { return s.phases[len(s.phases)-1] }

func (n *namePlan) at(now time.Duration) namePhase {
	return at(n.phases, now, func(p namePhase) time.Duration { return p.from })
}

func (n *namePlan) last() namePhase { return n.phases[len(n.phases)-1] }

// secret is a part of each value that must never be shown.
const secret = "s3cr3t"

const (
	envVariable  = "TARGET_URL"
	userPassword = "user-" + secret + ":pw-" + secret
	secretHost   = "h-" + secret + ".test" // the host of a URL in an environment variable
	sentText     = "send-" + secret
	headerSecret = "X-Token: header-" + secret
	bodySecret   = "body-" + secret
	matchedText  = "the-app-is-ready"
)

// url returns the URL of a target, or its command.
func (t *targetPlan) url() string {
	switch t.kind {
	case "command":
		return "check arg-" + secret + " " + t.path
	case "file", "unix":
		return t.kind + "://" + t.path
	case "dns":
		return "dns://" + t.hosts[0]
	}
	var hosts []string
	for _, h := range t.hosts {
		if strings.Contains(h, ":") {
			h = "[" + h + "]"
		}
		if t.port != 0 {
			h += ":" + strconv.Itoa(t.port)
		}
		hosts = append(hosts, h)
	}
	u := cmp.Or(t.scheme, t.kind) + "://"
	if t.user != "" {
		u += t.user + "@"
	}
	u += strings.Join(hosts, ",") + t.path
	separator := "?"
	for _, q := range []string{t.urlTLS, t.query} {
		if q != "" {
			u += separator + q
			separator = "&"
		}
	}
	return u
}

// text returns the target as a user writes it. certs is the directory of the certificates.
func (t *targetPlan) text(certs string) string {
	var words []string
	add := func(given bool, format string, args ...any) {
		if given {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(t.timeout != 0, "timeout=%v", t.timeout)
	add(t.interval != 0, "interval=%v", t.interval)
	add(t.within != 0, "within=%v", t.within)
	add(t.optional != 0, "optional=%v", t.optional)
	add(t.successes > 1, "successes=%d", t.successes)
	add(t.retries > 0, "retries=%d", t.retries)
	add(t.gone, "gone=true")
	add(t.status != "", "status=%s", t.status)
	add(t.match, "match=%s", matchedText)
	for _, s := range t.secrets {
		add(true, "'%s'", s)
	}
	add(t.send, `'send=%s\r\n'`, sentText)
	add(t.expect, "expect=%s", matchedText)
	add(t.ca != "", "ca=%s/%s.pem", certs, t.ca)
	add(t.serverName != "", "server-name=%s", t.serverName)
	add(t.insecure, "insecure=true")
	if t.inEnv {
		return strings.Join(append(words, "env:"+envVariable), " ")
	}
	u := t.url()
	if t.kind != "command" {
		u = "'" + u + "'"
	}
	return strings.Join(append(words, u), " ")
}

func (t *targetPlan) attemptTimeout(u Use) time.Duration {
	switch {
	case t.timeout != 0:
		return t.timeout
	case u == ForProbe:
		return time.Second
	case u == ForStart:
		return 0
	case u == ForEnd:
		return 10 * time.Second
	}
	return 3 * time.Second
}

func (t *targetPlan) longestPause() time.Duration { return cmp.Or(t.interval, time.Second) }

// defaultPorts holds the default ports that the manual documents.
var defaultPorts = map[string]int{"http": 80, "https": 443, "postgres": 5432, "postgresql": 5432, "mysql": 3306, "redis": 6379, "rediss": 6379,
	"amqp": 5672, "amqps": 5671, "nats": 4222, "mqtt": 1883, "mqtts": 8883, "memcached": 11211, "mongodb": 27017, "kafka": 9092, "kafka+ssl": 9092}

func (t *targetPlan) portNumber() int { return cmp.Or(t.port, defaultPorts[t.kind]) }

// isServer reports whether the kind is for databases or brokers, to which no password is sent.
func (t *targetPlan) isServer() bool {
	return !slices.Contains([]string{"tcp", "unix", "http", "https", "grpc", "grpcs", "file", "dns", "command"}, t.kind)
}

// isLiteral reports whether a host needs no lookup.
func isLiteral(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}

func addressesOf(host string) []string {
	if host == "localhost" {
		return []string{"127.0.0.1", "::1"}
	}
	return []string{host}
}

func (tr *trial) server(address string) *serverPlan {
	for _, s := range tr.servers {
		if s.address == address {
			return s
		}
	}
	return nil
}

func (tr *trial) name(name string) *namePlan {
	for _, n := range tr.names {
		if n.name == name {
			return n
		}
	}
	return nil
}

// protocolOf returns the protocol that a server must speak for a kind of target.
func protocolOf(kind string) string {
	switch kind {
	case "https":
		return "http"
	case "grpcs":
		return "grpc"
	case "postgresql":
		return "postgres"
	case "rediss", "amqps", "mqtts":
		return strings.TrimSuffix(kind, "s")
	case "kafka+ssl":
		return "kafka"
	case "mongodb+srv":
		return "mongodb"
	case "unix":
		return "tcp"
	}
	return kind
}

// String describes the trial for the report of a failure.
func (tr *trial) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "use %v", tr.use)
	if tr.limit > 0 {
		fmt.Fprintf(&b, ", the context ends after %v", tr.limit)
	}
	b.WriteString("\n")
	for _, t := range tr.targets {
		fmt.Fprintf(&b, "target %s\n", t.text("CERTS"))
		if t.inEnv {
			fmt.Fprintf(&b, "  %s=%s\n", envVariable, t.url())
		}
	}
	for _, n := range tr.names {
		fmt.Fprintf(&b, "name %s\n", n.name)
		for _, p := range n.phases {
			fmt.Fprintf(&b, "  from %v: %s %s", p.from, p.answer, strings.Join(p.addrs, " "))
			if p.delay > 0 {
				fmt.Fprintf(&b, " after %v", p.delay)
			}
			b.WriteString("\n")
		}
	}
	for _, s := range tr.servers {
		fmt.Fprintf(&b, "server %s\n", s.address)
		for _, p := range s.phases {
			fmt.Fprintf(&b, "  from %v: %v\n", p.from, p)
		}
	}
	return b.String()
}

// String describes the phase without the time at which it begins.
func (p *serverPhase) String() string {
	if p.listens != accepts {
		return p.listens
	}
	text := []string{"speaks " + p.speaks}
	add := func(given bool, format string, args ...any) {
		if given {
			text = append(text, fmt.Sprintf(format, args...))
		}
	}
	add(p.state != "", "%s (variant %d)", p.state, p.variant)
	add(p.speaks == "http", "status %d, body of %d bytes by %s", p.status, p.size, p.framing)
	add(p.speaks == "http" && p.matchAt >= 0, "text for match= at %d", p.matchAt)
	add(p.location != "", "Location: %s", p.location)
	add(p.interim, "after interim responses")
	add(p.cert != "", "TLS with the certificate %q", p.cert)
	add(p.connects > 0, "connects after %v", p.connects)
	add(p.delay > 0, "first byte after %v", p.delay)
	add(p.stall > 0, "%v before byte %d", p.stall, p.stallAt)
	add(p.piece > 0, "at most %d bytes at once", p.piece)
	add(p.ends != "", "%s at byte %d", p.ends, p.endAt)
	add(p.lingers, "sends more, and never closes")
	return strings.Join(text, ", ")
}

func joinPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
