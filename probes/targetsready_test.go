package probes

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// falseReady checks that each success has evidence. For most kinds this is a complete answer of
// the server that means ready, sent while the attempt ran, over a connection that this target
// trusts.
func (c *checker) falseReady(i int) {
	for k, a := range c.attempts[i] {
		if a.err == nil && !c.evidence(c.targets[i], a) {
			c.brokenBy(i, "attempt %d from %v to %v succeeds, and the target was not ready", k+1, a.begin, a.end)
		}
	}
}

func (c *checker) evidence(t *targetPlan, a attempt) bool {
	if t.gone {
		return c.isGone(t, a)
	}
	switch t.kind {
	case "file":
		return c.hadPhase(t.path, a, accepts)
	case "dns":
		return c.lookedUp(t, t.hosts[0], a, "addresses", anyAddrs)
	case "tcp", "unix":
		if !t.expect {
			return slices.ContainsFunc(c.dials, func(d *dialRecord) bool {
				return d.listens == accepts && a.begin <= d.at && d.at <= a.end && c.isOwnAddress(t, d.address)
			})
		}
	}
	redirected := false
	for _, s := range c.answers {
		if s.at < a.begin || s.at > a.end || !c.isOwnHost(t, s.address) {
			continue
		}
		if t.kind == "http" || t.kind == "https" {
			// MongoDB's port answers HTTP requests with 200, even if MongoDB is not ready. A probe
			// recognizes the text of that answer and rejects it, unless status= or match= is given.
			// With match= alone it is not ready either, because that text does not match.
			speaksHTTP := s.speaks == "http" || s.speaks == "mongodb" && t.status != ""
			if !speaksHTTP || s.secure && !t.trusts(s.cert) {
				continue
			}
			if s.secure != (t.kind == "https") && !redirected {
				continue
			}
			redirected = redirected || isFollowed(t, c.use, s)
			if accepted(t, c.use, s.status) && !isFollowed(t, c.use, s) && (!t.match || s.matches) {
				return true
			}
			continue
		}
		if !s.ready || t.kind != "command" && (s.speaks != protocolOf(t.kind) || !c.isOwnAddress(t, s.address)) {
			continue
		}
		beforeTLS := s.state == isFull && s.speaks == "mysql" // a full MySQL server, which counts as ready, rejects a client before TLS
		if t.usesTLS() && s.secure && t.trusts(s.cert) || !t.usesTLS() && !s.secure || beforeTLS {
			return true
		}
	}
	return false
}

func anyAddrs([]string) bool { return true }

func (c *checker) isOwnAddress(t *targetPlan, address string) bool {
	if t.hosts == nil {
		return address == t.path
	}
	return slices.ContainsFunc(c.addresses(t), func(a string) bool {
		return address == joinPort(a, t.portNumber()) || t.kind == "mongodb+srv" && address == joinPort(a, 27017)
	})
}

// isOwnHost is like isOwnAddress, but accepts any port.
func (c *checker) isOwnHost(t *targetPlan, address string) bool {
	return c.isOwnAddress(t, address) ||
		slices.ContainsFunc(c.addresses(t), func(a string) bool { return strings.HasPrefix(address, strings.TrimSuffix(joinPort(a, 1), "1")) })
}

// hadPhase reports whether the server at path had a phase with this value of listens at some
// time of the attempt.
func (c *checker) hadPhase(path string, a attempt, listens string) bool {
	s := c.server(path)
	if s == nil {
		return listens == isMissing
	}
	for i, p := range s.phases {
		ends := i+1 < len(s.phases) && s.phases[i+1].from < a.begin
		if p.listens == listens && p.from <= a.end && !ends {
			return true
		}
	}
	return false
}

// lookedUp reports whether the attempt may have used a lookup of name with this answer, and
// with addresses that uses accepts (uses(addrs) is true). Such a lookup began during the
// attempt, or at most 2 s before, because after that time an attempt starts a new lookup. If the
// lookup took at least the timeout of an attempt, it may have begun up to 30 s before, because
// resolveNow returns the result of a lookup that outlasted an earlier attempt.
func (c *checker) lookedUp(t *targetPlan, name string, a attempt, answer string, uses func(addrs []string) bool) bool {
	return slices.ContainsFunc(c.lookups, func(l lookupRecord) bool {
		oldest := a.begin - 2*time.Second
		if l.end-l.begun >= t.attemptTimeout(c.use) {
			oldest = a.begin - 30*time.Second
		}
		return l.name == name && l.result.answer == answer && l.end <= a.end && l.begun >= oldest && uses(l.result.addrs)
	})
}

// isGone reports whether there is evidence that the target was gone during the attempt: each
// address refused the connection or needed IPv6 where there is none, the name did not exist, the
// file or socket was missing, or the socket refused the connection.
func (c *checker) isGone(t *targetPlan, a attempt) bool {
	switch t.kind {
	case "file":
		return c.hadPhase(t.path, a, isMissing)
	case "unix":
		return c.hadPhase(t.path, a, isMissing) || c.hadPhase(t.path, a, isClosed)
	case "dns":
		return c.lookedUp(t, t.hosts[0], a, "does not exist", anyAddrs)
	}
	refused := func(addrs []string) bool {
		return !slices.ContainsFunc(addrs, func(addr string) bool {
			return !slices.ContainsFunc(c.dials, func(d *dialRecord) bool {
				return d.address == joinPort(addr, t.portNumber()) && a.begin <= d.at && d.at <= a.end && (d.listens == isClosed || d.listens == hasNoIPv6)
			})
		})
	}
	if isLiteral(t.hosts[0]) {
		return refused(addressesOf(t.hosts[0]))
	}
	return c.lookedUp(t, t.hosts[0], a, "does not exist", anyAddrs) || c.lookedUp(t, t.hosts[0], a, "addresses", refused)
}

// accepted reports whether a status counts as ready.
func accepted(t *targetPlan, use Use, status int) bool {
	switch t.status {
	case "":
		return 200 <= status && (status < 300 || status < 400 && !use.Hook())
	case "200-299,401":
		return 200 <= status && status < 300 || status == 401
	}
	return slices.Contains(strings.Split(t.status, ","), strconv.Itoa(status))
}

// isFollowed reports whether a redirect is followed. A probe follows a redirect to the same host
// name, unless the status of the redirect is listed in status=. A hook follows no redirect.
func isFollowed(t *targetPlan, use Use, s *answer) bool {
	if use.Hook() || s.location == "" || t.status != "" && accepted(t, use, s.status) {
		return false
	}
	return !strings.Contains(s.location, "//elsewhere.test")
}

// trusts reports whether the target accepts a certificate.
func (t *targetPlan) trusts(cert string) bool {
	unverified := strings.HasSuffix(t.urlTLS, "=require") || strings.HasSuffix(t.urlTLS, "=REQUIRED")
	if t.insecure || unverified && t.ca == "" || t.kind == "nats" && !t.usesTLS() {
		return true
	}
	anyName := unverified && t.serverName == ""
	switch cert {
	case "good":
		return t.ca == "good" && t.serverName != "elsewhere.test"
	case "wrong name":
		return t.ca == "good" && (t.serverName == "elsewhere.test" || anyName)
	case "other authority":
		return t.ca == "other" && t.serverName != "elsewhere.test"
	}
	return false
}

// A sureReadiness says from when on a target is certainly ready, because the servers and names
// of its plan no longer change.
type sureReadiness struct {
	ok      bool
	from    time.Duration // the time since the start of the trial
	each    time.Duration // the maximum duration of an attempt that begins at that time or later, without its lookups
	lookups time.Duration // the maximum duration of the lookups of such an attempt
	slack   time.Duration // how long such attempts may still use the results of lookups that began before that time
}

// latest returns the time by which the readiness must have been reported. An attempt that begins
// before s.from+s.slack may fail, and may last until its timeout. After a pause, t.successes
// successful attempts follow.
func (s sureReadiness) latest(t *targetPlan, use Use) time.Duration {
	pause := t.longestPause()
	return s.from + s.slack + t.attemptTimeout(use) + pause + s.each + s.lookups + time.Duration(t.successes-1)*(s.each+s.lookups+pause)
}

// whenSure returns from when on a target is certainly ready. If that is not certain, s.ok is
// false.
func (c *checker) whenSure(i int) (s sureReadiness) {
	t := c.targets[i]
	timeout := t.attemptTimeout(c.use)
	changes := func(from time.Duration) { s.from = max(s.from, from) }
	for _, name := range c.namesOf(t) {
		n := c.name(name)
		if n == nil {
			return s
		}
		changes(n.last().from)
		longest := time.Duration(0)
		for _, p := range n.phases {
			longest = max(longest, p.delay)
		}
		if longest > 0 && (c.use.Hook() || t.kind == "dns" && c.use == ForProbe) {
			return s // the timeout covers the lookup too, so an attempt may time out
		}
		if longest >= timeout && t.kind == "dns" && t.successes > 1 {
			return s // a slow lookup gives one success; the next attempt waits for a new lookup, and times out
		}
		s.lookups += longest
		s.slack += longest + 2*time.Second + timeout + t.longestPause()
	}
	ready := false
	switch t.kind {
	case "file", "unix", "command":
		if server := c.server(t.path); server != nil {
			p := server.last()
			changes(p.from)
			s.each = p.delay
			switch {
			case t.gone:
				ready = p.listens == isMissing || p.listens == isClosed
			case t.kind == "file":
				ready, s.each = p.listens == accepts, 0
			case t.kind == "unix":
				ready, s.each = c.phaseReady(t, p)
			default:
				ready = p.listens == accepts && p.speaks == "command" && p.state == isReady
			}
		}
	case "dns":
		ready = c.name(t.hosts[0]).last().answer == map[bool]string{true: "does not exist", false: "addresses"}[t.gone]
	default:
		ready = c.hostsReady(t, &s, changes)
	}
	s.ok = ready && (timeout == 0 || s.each < timeout)
	return s
}

// hostsReady reports whether at least one host of the target is certainly ready after the last
// change of its name and of its servers. It calls changes with the time of each server's last
// change, and sets s.each. A host counts as ready if at least one of its addresses is ready. If
// another address accepts connections but is not ready, the host does not count, because the
// probe might use that address. With gone=true a host counts as ready if its name does not exist, or if each of its addresses
// refuses connections or needs IPv6 where there is none.
func (c *checker) hostsReady(t *targetPlan, s *sureReadiness, changes func(time.Duration)) bool {
	readyHosts, shares := 0, time.Duration(1)
	hosts := c.hostsOf(t)
	for _, host := range hosts {
		addrs := addressesOf(host)
		if !isLiteral(host) {
			p := c.name(host).last()
			if p.answer == "does not exist" && t.gone {
				return true
			}
			if p.answer != "addresses" {
				continue
			}
			addrs = p.addrs
		}
		clean, bad := 0, 0
		var longest time.Duration
		for _, a := range addrs {
			p := &serverPhase{listens: isClosed}
			if server := c.server(joinPort(a, t.portNumber())); server != nil {
				p = server.last()
				changes(p.from)
			} else if server := c.server(joinPort(a, 27017)); server != nil && t.kind == "mongodb+srv" {
				p = server.last()
				changes(p.from)
			}
			ready, each := c.phaseReady(t, p)
			switch {
			case t.gone && (p.listens == isClosed || p.listens == hasNoIPv6), !t.gone && ready:
				clean++
				longest = max(longest, each)
			case t.gone, p.listens == accepts:
				bad++
			}
		}
		if len(addrs) > 1 {
			shares = 8
		}
		if clean > 0 && bad == 0 {
			readyHosts++
			s.each = max(s.each, longest)
		}
	}
	if len(hosts) > 1 {
		shares *= 16
	}
	s.each *= shares // all addresses and hosts share one timeout, and whenSure requires s.each < timeout; so success counts as certain only if a single address takes far less
	return readyHosts > 0
}

// phaseReady reports whether a server in this phase is certainly ready, and how long an
// attempt takes.
func (c *checker) phaseReady(t *targetPlan, p *serverPhase) (ready bool, each time.Duration) {
	each = p.connects + p.delay + p.stall
	if t.kind == "memcached" {
		each *= 2 // one connection for the text protocol, and one for the binary protocol
	}
	if p.lingers {
		each += lingerTimeout // the server does not close the connection, so closeGracefully waits until lingerTimeout has passed
	}
	if p.listens != accepts {
		return false, 0
	}
	if protocolOf(t.kind) == "tcp" && !t.expect {
		return true, p.connects
	}
	if p.ends != "" || p.speaks != protocolOf(t.kind) {
		return false, 0
	}
	if p.lingers && (p.speaks == "memcached" || p.speaks == "kafka" || p.framing == "close") {
		return false, 0 // for some of these answers the client waits until the server closes the connection, which this server does not do
	}
	switch {
	case t.usesTLS():
		if p.cert == "" || !t.trusts(p.cert) {
			return false, 0
		}
	case p.cert != "" && !slices.Contains(startsTLSLater, p.speaks):
		return false, 0
	}
	switch p.speaks {
	case "tcp":
		ready = p.state == isReady && (p.variant%2 == 1 || t.send)
	case "http":
		bodyless := p.status == 204 || p.status == 304
		ready = accepted(t, c.use, p.status) &&
			(p.location == "" || c.use.Hook() || strings.Contains(p.location, "//elsewhere.test")) &&
			(!t.match || !bodyless && p.matchAt >= 0 && p.matchAt+len(matchedText) <= 10<<10)
	case "grpc":
		ready = p.state == isReady
	case "nats": // a full server closes the connection before TLS
		ready = p.state != isStarting && (p.state != isFull || !t.usesTLS())
	case "mqtt":
		ready = p.state == isReady || p.state == wantsPassword
	case "redis":
		ready = p.state != isStarting && (p.state != isReady || p.variant%3 != 1)
	default:
		ready = p.state != isStarting
	}
	return ready, each
}
