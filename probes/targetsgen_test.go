package probes

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// trialGenerator makes one random trial. The same seed and number give the same trial.
type trialGenerator struct {
	*rand.Rand
	trial
	span time.Duration // servers and names change at random times, none of them later than twice this time
}

func newTrial(seed, n uint64) *trial {
	g := &trialGenerator{Rand: rand.New(rand.NewPCG(seed, n))}
	g.use = pick(g, ForWait, ForWait, ForWait, ForWait, ForReady, ForReady, ForProbe, ForStart, ForEnd)
	g.span = pick(g, 300*time.Millisecond, time.Second, time.Second, 3*time.Second)
	if g.chance(3) {
		g.span = 40 * time.Second
	}
	count := 1
	if g.use == ForWait || g.use == ForReady || g.use == ForProbe {
		g.limit = g.span + g.duration(pick(g, time.Second, 3*time.Second, 3*time.Second, 8*time.Second, 20*time.Second))
		count = pick(g, 1, 1, 1, 2, 3)
	}
	for range count {
		g.target()
	}
	if slices.ContainsFunc(g.targets, (*targetPlan).usesTLS) && g.chance(80) {
		g.limit = min(g.limit, g.span+time.Second) // a shorter trial has fewer TLS handshakes, which take most of the time of the test
	}
	return &g.trial
}

func (g *trialGenerator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *trialGenerator, of ...T) T { return of[g.IntN(len(of))] }

// duration returns a duration up to limit. Most are from a short list, so that several things
// often happen at the same instant.
func (g *trialGenerator) duration(limit time.Duration) time.Duration {
	for {
		d := pick(g, time.Millisecond, 10*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond, 300*time.Millisecond,
			500*time.Millisecond, time.Second, 2*time.Second, 3*time.Second, 5*time.Second, 10*time.Second, time.Duration(1+g.IntN(20_000))*time.Millisecond)
		if d <= limit {
			return d
		}
	}
}

// commonKinds are generated more often than the other elements of the table kinds.
var commonKinds = []string{"http", "http", "http", "https", "https", "tcp", "tcp", "grpc", "postgres", "mysql", "dns", "unix"}

func (g *trialGenerator) target() {
	t := &targetPlan{kind: pick(g, commonKinds...)}
	if g.chance(60) {
		k := pick(g, kinds...)
		if k.name != "env" {
			t.kind = k.name
		}
	}
	number := len(g.targets) + 1
	g.targets = append(g.targets, t)
	g.commonOptions(t)
	switch t.kind {
	case "file", "unix":
		t.path = fmt.Sprintf("/DIR/%s%d", t.kind, number)
	case "command":
		t.path = fmt.Sprintf("check%d", number)
	case "dns":
		t.hosts = []string{g.hostName(t)}
	case "mongodb+srv":
		t.hosts = []string{fmt.Sprintf("cluster%d.test", number)}
	default:
		g.host(t, number)
	}
	g.kindOptions(t)
	if aliases := aliasesOf[t.kind]; aliases != nil && g.chance(30) {
		t.scheme = pick(g, aliases...)
	}
	g.environment(t)
}

// aliasesOf are other schemes that mean the same kind, and that take the same URL after them.
var aliasesOf = map[string][]string{
	"postgres":  {"pgsql", "postgis", "postgres+asyncpg", "jdbc:postgresql", "r2dbc:pool:postgresql", "JDBC:PostgreSQL"},
	"mysql":     {"mysql2", "mariadb", "mysql+pymysql", "jdbc:mysql", "r2dbc:mariadb"},
	"redis":     {"valkey"},
	"rediss":    {"valkeys"},
	"amqp":      {"pyamqp"},
	"memcached": {"memcache"},
}

func (g *trialGenerator) commonOptions(t *targetPlan) {
	if g.chance(50) {
		t.timeout = g.duration(5 * time.Second)
	}
	if g.use.Hook() {
		if g.use == ForStart && t.timeout == 0 {
			t.timeout = 10 * time.Second
		}
		if g.chance(60) {
			t.retries = 1 + g.IntN(6)
		}
		return
	}
	if g.use == ForProbe {
		t.gone = g.canBeGone(t.kind) && g.chance(15)
		return
	}
	if g.chance(40) {
		t.interval = max(10*time.Millisecond, g.duration(5*time.Second))
	}
	switch {
	case g.chance(20):
		t.within = g.duration(20 * time.Second)
	case g.use == ForWait && g.chance(20):
		t.optional = g.duration(20 * time.Second)
	}
	t.successes = 1
	if g.chance(20) {
		t.successes = 2 + g.IntN(3)
	}
	t.gone = g.canBeGone(t.kind) && g.chance(15)
}

func (g *trialGenerator) canBeGone(kind string) bool {
	return slices.Contains([]string{"tcp", "unix", "http", "https", "dns", "file"}, kind)
}

// host chooses the hosts and the port of a target.
func (g *trialGenerator) host(t *targetPlan, number int) {
	if t.kind == "tcp" || strings.HasPrefix(t.kind, "grpc") || g.chance(30) {
		t.port = 7000 + number
	}
	switch {
	case g.chance(40):
		t.hosts = []string{fmt.Sprintf("10.0.%d.1", number)}
	case g.chance(20):
		t.hosts = []string{"localhost"}
		t.port = 7000 + number
	default:
		t.hosts = []string{g.hostName(t)}
	}
	if t.isServer() && g.chance(20) {
		t.hosts = nil
		for i := range 2 + g.IntN(5) {
			t.hosts = append(t.hosts, fmt.Sprintf("10.0.%d.%d", number, i+1))
		}
	}
}

// hostName returns one of a few names, so that targets often share a name. If it returns
// secretHost, it also puts the URL of the target into an environment variable.
func (g *trialGenerator) hostName(t *targetPlan) string {
	names := []string{"a.test", "b.test", "c.test"}
	if g.use != ForProbe && g.chance(20) {
		t.inEnv = true
		names = []string{secretHost}
	}
	name := pick(g, names...)
	if g.name(name) == nil {
		g.addName(name)
	}
	return name
}

func (g *trialGenerator) addName(name string) {
	n := &namePlan{name: name}
	block := 1 + len(g.names)
	var addrs []string
	for i := range pick(g, 1, 1, 1, 2, 3, 12) {
		addrs = append(addrs, fmt.Sprintf("10.1.%d.%d", block, i+1))
	}
	for from := time.Duration(0); ; from += g.duration(g.span) {
		p := namePhase{from: from, answer: pick(g, "addresses", "addresses", "does not exist", "does not exist", "fails", "times out")}
		last := from >= g.span || g.chance(50)
		if last && g.chance(80) {
			p.answer = "addresses"
		}
		switch p.answer {
		case "addresses":
			p.addrs = addrs
			if g.chance(20) {
				p.addrs = []string{fmt.Sprintf("10.1.%d.%d", block, 1+g.IntN(20))}
			}
			if g.chance(15) {
				p.delay = g.duration(3 * time.Second)
			}
		case "times out":
			p.delay = pick(g, 5*time.Second, 10*time.Second)
		default:
			if g.chance(20) {
				p.delay = g.duration(5 * time.Second)
			}
		}
		n.phases = append(n.phases, p)
		if last {
			break
		}
	}
	g.names = append(g.names, n)
}

// usesTLS reports whether the target requires TLS. (With a nats target without options for TLS,
// the probe uses TLS only if the server requires it.)
func (t *targetPlan) usesTLS() bool {
	switch t.kind {
	case "https", "grpcs", "rediss", "amqps", "mqtts", "kafka+ssl":
		return true
	case "mongodb+srv":
		return t.urlTLS != "tls=false"
	case "nats":
		return t.ca != "" || t.serverName != "" || t.insecure
	}
	return t.urlTLS != ""
}

func (g *trialGenerator) kindOptions(t *targetPlan) {
	switch t.kind {
	case "postgres", "postgresql":
		t.urlTLS = pick(g, "", "", "", "sslmode=verify-full", "sslmode=require")
	case "mysql":
		t.urlTLS = pick(g, "", "", "", "ssl-mode=VERIFY_IDENTITY", "ssl-mode=REQUIRED")
	case "mongodb":
		t.urlTLS = pick(g, "", "", "tls=true")
	case "mongodb+srv":
		t.urlTLS = pick(g, "", "tls=false", "tls=false")
	}
	if !t.gone && (t.usesTLS() || t.kind == "nats" && g.chance(30)) {
		switch {
		case g.chance(65):
			t.ca = pick(g, "good", "good", "good", "good", "other")
		case g.chance(60):
			t.insecure = true
		}
		if g.chance(15) {
			t.serverName = pick(g, "elsewhere.test", "a.test")
		}
	}
	if t.isServer() {
		if t.kind != "mongodb+srv" && g.chance(60) || t.kind == "mongodb+srv" && g.chance(30) {
			t.user, t.path = userPassword, "/db"
		}
		if g.chance(30) {
			t.path, t.query = "/db", "password=pw-"+secret
		}
	}
	if t.kind == "http" || t.kind == "https" {
		g.httpOptions(t)
	}
	if strings.HasPrefix(t.kind, "grpc") && g.chance(40) {
		t.path = "/service"
		if g.use.Hook() {
			t.path += "-" + secret
		}
	}
	if (t.kind == "tcp" || t.kind == "unix") && !t.gone {
		t.send, t.expect = g.chance(25), g.chance(40)
	}
}

func (g *trialGenerator) httpOptions(t *targetPlan) {
	t.path = pick(g, "", "/", "/healthz")
	if g.use.Hook() {
		t.path = "/hook-" + secret
	}
	if g.chance(25) {
		t.user = userPassword
	}
	if g.chance(25) {
		t.query = "token=query-" + secret
	}
	if t.gone {
		return
	}
	if g.chance(20) {
		t.status = pick(g, "200-299,401", "503", "301", "404,200")
	}
	t.match = g.chance(25)
	if g.chance(30) {
		t.secrets = append(t.secrets, "header="+headerSecret)
	}
	if g.chance(15) {
		t.secrets = append(t.secrets, "body="+bodySecret, "method=POST")
	}
}

// environment plans the servers of a target, and for mongodb+srv also the names.
func (g *trialGenerator) environment(t *targetPlan) {
	switch t.kind {
	case "file", "unix", "command":
		g.addServer(t, t.path)
		return
	case "dns":
		return
	case "mongodb+srv":
		g.srv(t)
		return
	}
	for _, host := range t.hosts {
		g.serversOf(t, host, t.portNumber())
	}
}

func (g *trialGenerator) serversOf(t *targetPlan, host string, port int) {
	var addrs []string
	if isLiteral(host) {
		addrs = addressesOf(host)
	} else {
		for _, p := range g.name(host).phases {
			for _, a := range p.addrs {
				if !slices.Contains(addrs, a) {
					addrs = append(addrs, a)
				}
			}
		}
	}
	if len(addrs) == 0 {
		return
	}
	best := g.IntN(len(addrs) + 1)
	dead := pick(g, "", "", dropsPackets, dropsPackets, isClosed) // how addresses without a server react; "": each in its own way
	for i, a := range addrs {
		if address := joinPort(a, port); i != best && len(addrs) > 1 && g.chance(80) && g.server(address) == nil {
			g.addDeadServer(address, dead)
		} else {
			g.addServer(t, address)
		}
	}
	if (t.kind == "http" || t.kind == "https") && g.chance(40) { // plan servers at the addresses to which redirects lead
		for _, to := range []targetPlan{{kind: "http", port: 80}, {kind: "http", port: 81}, {kind: "https", port: 443}} {
			to.hosts, to.match = t.hosts, t.match
			g.addServer(&to, joinPort(addrs[0], to.port))
		}
	}
}

// srv plans the SRV record of a target, and the names and servers of the hosts in that record.
func (g *trialGenerator) srv(t *targetPlan) {
	var hosts []string
	for i := range 1 + g.IntN(2) {
		name := fmt.Sprintf("node%d.%s", i, t.hosts[0])
		g.addName(name)
		hosts = append(hosts, name)
		g.serversOf(t, name, 27017)
	}
	n := &namePlan{name: "_mongodb._tcp." + t.hosts[0]}
	if g.chance(30) {
		n.phases = append(n.phases, namePhase{answer: pick(g, "does not exist", "fails")})
	}
	from := time.Duration(0)
	if len(n.phases) > 0 {
		from = g.duration(g.span)
	}
	n.phases = append(n.phases, namePhase{from: from, answer: "addresses", addrs: hosts})
	g.names = append(g.names, n)
}

// addDeadServer plans an address at which no server ever listens.
func (g *trialGenerator) addDeadServer(address, listens string) {
	if listens == "" {
		listens = pick(g, isClosed, isClosed, dropsPackets, isUnreachable)
		if strings.HasPrefix(address, "[::1]") && g.chance(50) {
			listens = hasNoIPv6
		}
	}
	g.servers = append(g.servers, &serverPlan{address, []*serverPhase{{listens: listens, matchAt: -1}}})
}

// addServer plans what happens at one address, unless that is planned already.
func (g *trialGenerator) addServer(t *targetPlan, address string) {
	if g.server(address) != nil {
		return
	}
	s := &serverPlan{address: address}
	g.servers = append(g.servers, s)
	for from := time.Duration(0); ; from += g.duration(g.span) {
		last := from >= g.span || g.chance(35)
		p := g.phase(t)
		if last && g.chance(75) {
			p = g.cleanPhase(t)
		}
		p.from = from
		s.phases = append(s.phases, p)
		if last {
			return
		}
	}
}

// phase returns a random behaviour, in which the target may be ready or not.
func (g *trialGenerator) phase(t *targetPlan) *serverPhase {
	p := &serverPhase{listens: accepts, matchAt: -1}
	if g.chance(30) {
		p.listens = pick(g, isClosed, isClosed, isClosed, isClosed, dropsPackets, isUnreachable)
		if t.hosts == nil {
			p.listens = isMissing
		}
		if t.kind == "unix" && g.chance(30) {
			p.listens = isClosed
		}
		return p
	}
	p.speaks = protocolOf(t.kind)
	switch {
	case g.chance(8):
		p.speaks = pick(g, "http", "grpc", "postgres", "mysql", "redis", "amqp", "nats", "mqtt", "memcached", "mongodb", "kafka", "tcp")
	case g.chance(18):
		p.speaks = pick(g, saysNothing, sendsGarbage, echoes, isEndless)
	}
	if t.kind == "command" {
		p.speaks = pick(g, "command", "command", "command", saysNothing)
	}
	p.state = pick(g, isReady, isReady, isReady, wantsPassword, isFull, isStarting, isStarting)
	p.variant = g.IntN(60)
	switch tls := t.usesTLS(); {
	case tls && g.chance(90), !tls && g.chance(5), p.speaks == "nats" && g.chance(30):
		p.cert = pick(g, "good", "good", "good", "expired", "not yet valid", "wrong name", "other authority", "self-signed")
	}
	g.httpAnswer(t, p)
	if g.chance(20) {
		p.delay = g.duration(5 * time.Second)
	}
	if g.chance(15) {
		p.stall, p.stallAt = g.duration(5*time.Second), g.IntN(g.bytes())
	}
	if g.chance(15) {
		p.piece = 1 + g.IntN(9)
	}
	if g.chance(25) {
		p.ends, p.endAt = pick(g, "EOF", "EOF", "a reset", "silence"), g.IntN(g.bytes())
	}
	g.slowConnect(t, p)
	p.lingers = g.chance(10)
	return p
}

// slowConnect sometimes makes a connection take time. The time is often a multiple of 300 ms,
// after which dial tries the next address (stagger in dial.go), so that two connections are
// established at the same instant. A unix socket is left out, because the kernel connects to it
// at once.
func (g *trialGenerator) slowConnect(t *targetPlan, p *serverPhase) {
	if t.hosts != nil && g.chance(20) {
		p.connects = pick(g, 300*time.Millisecond, 600*time.Millisecond, 900*time.Millisecond, g.duration(2*time.Second))
	}
}

// bytes returns an upper limit for serverPhase.stallAt and endAt: how many bytes a server sends
// before it stalls or ends the connection. The larger limits are for TLS, with which a server
// sends more bytes.
func (g *trialGenerator) bytes() int { return pick(g, 8, 40, 200, 1500, 4000) }

// httpAnswer plans the answer of an HTTP server.
func (g *trialGenerator) httpAnswer(t *targetPlan, p *serverPhase) {
	p.status = pick(g, 200, 200, 200, 200, 204, 301, 302, 307, 308, 303, 401, 404, 429, 500, 503, 503, 599)
	if 300 < p.status && p.status < 400 && len(t.hosts) == 1 {
		host := t.hosts[0]
		p.location = pick(g, "/next", "http://"+host+":81/", "http://"+host+"/", "https://"+host+"/", "http://"+host+":"+strconv.Itoa(t.portNumber()), "http://"+strings.ToUpper(host)+":"+strconv.Itoa(t.portNumber())+"/x",
			"http://elsewhere.test/CANARY", "//elsewhere.test/", "ftp://"+host+"/CANARY", "http://[CANARY", "https://"+host+":443/?CANARY", "http://"+host+":99999/")
	}
	p.size = pick(g, 0, 3, 100, 5000, 10<<10, 11<<10, 30<<10, 200<<10)
	p.framing = pick(g, "length", "chunks", "close")
	p.interim = g.chance(8)
	if g.chance(60) {
		p.matchAt = g.IntN(p.size + 1)
	}
}

// cleanPhase returns a behaviour in which the target is ready in most cases. The checks use
// phaseReady to find out whether it is certainly ready.
func (g *trialGenerator) cleanPhase(t *targetPlan) *serverPhase {
	if t.gone {
		if t.kind == "file" || t.kind == "unix" && g.chance(50) {
			return &serverPhase{listens: isMissing}
		}
		return &serverPhase{listens: isClosed}
	}
	p := &serverPhase{listens: accepts, speaks: protocolOf(t.kind), state: pick(g, isReady, isReady, wantsPassword, isFull), variant: g.IntN(60), matchAt: -1}
	if slices.Contains([]string{"tcp", "grpc", "command"}, p.speaks) {
		p.state = isReady
	}
	if p.speaks == "tcp" && !t.send {
		p.variant |= 1
	}
	if p.speaks == "redis" && p.state == isReady {
		p.variant -= p.variant % 3
	}
	if t.usesTLS() {
		p.cert = "good"
		if t.serverName == "elsewhere.test" {
			p.cert = "wrong name"
		}
	}
	g.httpAnswer(t, p)
	p.location = ""
	p.status = pick(g, 200, 200, 299)
	if !g.use.Hook() && g.chance(15) {
		p.status, p.location = 302, "http://elsewhere.test/CANARY"
	}
	if t.status != "" {
		p.status, _ = strconv.Atoi(t.status[:3])
	}
	p.matchAt = g.IntN(min(p.size, bodyLimit-len(matchedText)) + 1)
	if g.chance(30) {
		p.delay = g.duration(time.Second)
	}
	if g.chance(20) {
		p.stall, p.stallAt = g.duration(500*time.Millisecond), g.IntN(g.bytes())
	}
	g.slowConnect(t, p)
	p.lingers = g.chance(10)
	if g.chance(15) {
		p.piece = 1 + g.IntN(9)
	}
	return p
}
