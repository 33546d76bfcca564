package probes

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"
)

// check returns the promises of doc.go and the manual that were broken in a trial. It compares
// the plan of the trial with what was observed, and reads no state of the package.
func (o *observation) check() (problems []string) {
	if len(o.faults) > 0 {
		return o.faults
	}
	c := checker{observation: o}
	if o.leftOpen > 0 {
		c.broken("%d connections are open after the call has returned", o.leftOpen)
	}
	if o.leftAsks > 0 {
		c.broken("%d attempts are running after the call has returned", o.leftAsks)
	}
	c.shownTexts()
	c.wire()
	c.lookupRate()
	c.connections()
	for i := range o.targets {
		c.attemptTimes(i)
		c.pauses(i)
		c.falseReady(i)
	}
	switch {
	case o.use.Hook():
		c.hook()
	case o.use == ForProbe:
		c.once()
	default:
		c.wait()
	}
	return c.problems
}

type checker struct {
	*observation
	problems []string
}

func (c *checker) broken(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *checker) brokenBy(i int, format string, args ...any) {
	c.broken("target %s: "+format, append([]any{c.targets[i].text("CERTS")}, args...)...)
}

// shownTexts checks that no name, error, hint or status contains a secret of a target or text
// from a server, and that no error is empty.
func (c *checker) shownTexts() {
	show := func(what, text string) {
		for _, hidden := range []string{secret, "CANARY", base64.StdEncoding.EncodeToString([]byte(userPassword))} {
			if strings.Contains(text, hidden) {
				c.broken("%s shows %q: %q", what, hidden, text)
			}
		}
	}
	err := func(what string, err error) {
		if err != nil {
			show(what, err.Error())
			show("a hint", Hint(err))
			if err.Error() == "" {
				c.broken("%s has no text", what)
			}
		}
	}
	for i, t := range c.parsed {
		show("a name", t.Name)
		for _, a := range c.attempts[i] {
			err("an error", a.err)
		}
	}
	err("the result", c.result)
	for _, u := range c.updates {
		for _, s := range append(slices.Clone(u.Pending), u.Status) {
			if s.Target != nil {
				show("a status", s.String())
			}
		}
	}
}

// wire checks that no password is sent in plain text. (Databases and brokers get no password, and
// HTTP servers get it in Base64.) It also checks that secrets are sent only to the hosts, ports
// and sockets of the targets' URLs, and only over TLS if the target uses TLS. A redirect from http
// on port 80 to https on port 443 of the same host may also carry them. Only hooks may send the
// header Usher-Reason.
func (c *checker) wire() {
	type receiver struct {
		address string
		secure  bool
	}
	allowed := map[receiver]bool{}
	for _, t := range c.targets {
		allowed[receiver{t.path, false}] = true
		for _, a := range c.addresses(t) {
			allowed[receiver{joinPort(a, t.portNumber()), t.usesTLS()}] = true
			if t.kind == "http" && t.portNumber() == 80 {
				allowed[receiver{joinPort(a, 443), true}] = true
			}
		}
	}
	basic := base64.StdEncoding.EncodeToString([]byte(userPassword))
	for _, s := range c.sent {
		data := strings.ReplaceAll(s.data.String(), secretHost, "") // secretHost contains secret, but is allowed here: it is in the Host header of a request that follows a redirect to another port of this host
		if strings.Contains(data, "pw-"+secret) {
			c.broken("a password is sent to %s", s.address)
		}
		if !allowed[receiver{s.address, s.secure}] && (strings.Contains(data, secret) || strings.Contains(data, basic)) {
			c.broken("a secret is sent to %s (over TLS: %v), where a redirect leads", s.address, s.secure)
		}
		if hasHookHeader := strings.Contains(data, "Usher-Reason: signal"); hasHookHeader && !c.use.Hook() {
			c.broken("a probe sends a header of hooks")
		}
	}
}

// lookupRate checks that a name is looked up at most once a second, however many targets use it,
// and that an address or localhost is not looked up. Targets with gone=true do not share the
// lookups of the other targets, because they use strictResolver (gone.go). So a name that both
// use may be looked up twice a second.
func (c *checker) lookupRate() {
	byName := map[string][]time.Duration{}
	for _, l := range c.lookups {
		byName[l.name] = append(byName[l.name], l.begun)
		if isLiteral(l.name) {
			c.broken("%s is looked up", l.name)
		}
	}
	for name, begun := range byName {
		gone, others := 0, 0
		for _, t := range c.targets {
			if slices.Contains(t.hosts, name) {
				if t.gone {
					gone = 1
				} else {
					others = 1
				}
			}
		}
		slices.Sort(begun)
		most := max(1, gone+others)
		for i := range begun {
			if i >= most && begun[i]-begun[i-most] < time.Second {
				c.broken("name %q is looked up again after %v", name, begun[i]-begun[i-most])
			}
		}
	}
}

// connections checks that on each connection at most 64 KiB of headers and 10 KiB of a body are
// read (with 6 KiB to spare, and more if the body is sent in chunks), and that every dial goes to
// an address of a target. At most 8 dials may run at a time for each host, with at most 4 hosts
// for each target. If the trial has only one target, and it is for HTTP, an attempt may make at
// most 11 requests: the first, and one for each of 10 redirects.
func (c *checker) connections() {
	known := map[string]bool{}
	most := 0
	for _, t := range c.targets {
		addrs := c.addresses(t)
		for _, a := range addrs {
			known[a] = true
		}
		most += 8 * min(max(1, len(t.hosts)), 4)
		if t.kind == "mongodb+srv" {
			most += 8
		}
	}
	if c.mostDials > most {
		c.broken("%d dials run at the same time", c.mostDials)
	}
	if len(c.targets) == 1 && strings.HasPrefix(c.targets[0].kind, "http") {
		for _, a := range c.attempts[0] {
			requests := 0
			for _, s := range c.answers {
				if a.begin <= s.at && s.at <= a.end {
					requests++
				}
			}
			if requests > 11 {
				c.brokenBy(0, "%d requests in one attempt", requests)
			}
		}
	}
	for _, d := range c.dials {
		limit := 64<<10 + bodyLimit + 6<<10
		if d.read > limit && !c.sendsChunks(d) {
			c.broken("%d bytes are read on one connection", d.read)
		}
		if host, _, err := net.SplitHostPort(d.address); err == nil && !known[host] {
			c.broken("a dial to %s, which is no address of a target", d.address)
		}
	}
}

// sendsChunks reports whether the server may have sent its body in chunks (RFC 9112, section
// 7.1), and less than 256 KiB were read. A line with its size precedes each chunk, so such a
// response has several times as many bytes as its body if the chunks are small.
func (c *checker) sendsChunks(d *dialRecord) bool {
	s := c.server(d.address)
	return s != nil && s.at(d.at).framing == "chunks" && d.read < 256<<10
}

// addresses returns every address that a target has at some time of the trial.
func (c *checker) addresses(t *targetPlan) (addrs []string) {
	for _, h := range c.hostsOf(t) {
		if isLiteral(h) {
			addrs = append(addrs, addressesOf(h)...)
		} else if n := c.name(h); n != nil {
			for _, p := range n.phases {
				addrs = append(addrs, p.addrs...)
			}
		}
	}
	return addrs
}

// hostsOf returns the hosts of a target. Those of a mongodb+srv target come from its SRV record.
func (c *checker) hostsOf(t *targetPlan) []string {
	if t.kind != "mongodb+srv" {
		return t.hosts
	}
	if n := c.name("_mongodb._tcp." + t.hosts[0]); n != nil {
		return n.last().addrs
	}
	return nil
}

// namesOf returns the names that attempts of a target look up.
func (c *checker) namesOf(t *targetPlan) (names []string) {
	if t.kind == "mongodb+srv" {
		names = append(names, "_mongodb._tcp."+t.hosts[0])
	}
	for _, h := range c.hostsOf(t) {
		if !isLiteral(h) {
			names = append(names, h)
		}
	}
	return names
}

// attemptTimes checks that the attempts of a target do not overlap, and that none takes longer
// than its timeout. The timeout begins when an address is known, so the time of lookups does
// not count. It does count for dns targets, whose attempt is the lookup, and for hooks, whose
// timeout covers the whole hook.
func (c *checker) attemptTimes(i int) {
	t := c.targets[i]
	names := c.namesOf(t)
	limit := t.attemptTimeout(c.use)
	for k, a := range c.attempts[i] {
		if k > 0 && a.begin < c.attempts[i][k-1].end {
			c.brokenBy(i, "two attempts run at the same time")
		}
		took := a.end - a.begin
		if t.kind != "dns" && !c.use.Hook() {
			for _, l := range c.lookups {
				if slices.Contains(names, l.name) {
					took -= max(0, min(a.end, l.end)-max(a.begin, l.begun))
				}
			}
		}
		if limit > 0 && took > limit {
			c.brokenBy(i, "attempt %d takes %v", k+1, took)
		}
	}
}

// classOf returns the class of the result of an attempt. Each value of failureKind (backoff.go)
// has one class. The class "several" is for an error that combines the errors of several hosts.
func classOf(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "success"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ENOENT):
		return "missing"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return "timeout"
	case errors.As(err, &errno):
		return "errno"
	case strings.HasPrefix(err.Error(), "no host is ready"): // the hosts may have failed in different ways
		return "several"
	case strings.Contains(err.Error(), "name does not resolve"), strings.Contains(err.Error(), "cannot look up name"), strings.Contains(err.Error(), "no SRV record"):
		return "lookup"
	}
	return "answer"
}

// pauses checks the pauses between attempts. They begin at 10 ms, and grow with the time already
// waited, up to interval=. The jitter is a quarter of the pause, or half of the duration of the
// last attempt if that is more. The pauses are shorter after a refused connection or a missing
// socket or file, because such an attempt costs the server nothing. A failure of a class that
// has not occurred before restarts the pauses. After a success the pause is interval=.
func (c *checker) pauses(i int) {
	interval := c.targets[i].longestPause()
	all := c.attempts[i]
	seen := map[string]bool{}
	first := 0 // all[first:k+1] are the latest attempts in a row with the same class
	for k := range len(all) - 1 {
		took, pause := all[k].end-all[k].begin, all[k+1].begin-all[k].end
		class := classOf(all[k].err)
		if classOf(all[first].err) != class {
			first = k
		}
		mean, growth := 165*time.Millisecond, time.Duration(24)
		if class == "refused" || class == "missing" {
			mean, growth = 60*time.Millisecond, 160
		}
		const head = 40 * time.Millisecond // when a new class of failure restarts the pauses, they begin as if it had already lasted for this time (restartAge in backoff.go)
		longest, shortest := max(mean, (all[k].end+head)/growth), time.Duration(0)
		if lasts := all[k].end - all[first].end; lasts > time.Second && class != "several" {
			shortest = max(mean, lasts/growth)
		}
		switch {
		case class == "success":
			longest, shortest = interval, interval
		case k == 0:
			longest = 10 * time.Millisecond
		case !seen[class] && !seen["several"] && class != "several":
			longest = head
		}
		longest = min(longest+max(longest/4, took/2), interval)
		shortest = min(shortest, interval)
		shortest = max(shortest-max(shortest/4, took/2), 7500*time.Microsecond)
		if pause > longest {
			c.brokenBy(i, "a long pause of %v after an attempt of %v: %v (at most %v)", pause, took, all[k].err, longest)
		}
		if pause < shortest {
			c.brokenBy(i, "a short pause of %v after an attempt of %v: %v (at least %v)", pause, took, all[k].err, shortest)
		}
		seen[class] = true
	}
}

// hook checks that a failed hook is retried up to retries= times, that it ends when its timeout
// expires, and that it succeeds if and only if its last try does.
func (c *checker) hook() {
	t := c.targets[0]
	if tries := len(c.attempts[0]); tries > t.retries+1 || tries < 1 {
		c.brokenBy(0, "%d tries with retries=%d", tries, t.retries)
	}
	if limit := t.attemptTimeout(c.use); limit > 0 && c.ended > limit {
		c.brokenBy(0, "the hook takes %v", c.ended)
	}
	last := c.attempts[0][len(c.attempts[0])-1]
	if (c.result == nil) != (last.err == nil) {
		c.brokenBy(0, "the result is %v, and that of the last try %v", c.result, last.err)
	}
	if c.result != nil && len(c.attempts[0]) <= t.retries && !errors.Is(c.result, context.DeadlineExceeded) {
		c.brokenBy(0, "only %d tries with retries=%d: %v", len(c.attempts[0]), t.retries, c.result)
	}
	c.missedOnce(0)
}

// once checks --probe: each target is probed once, and the result is an error if one of them is
// not ready.
func (c *checker) once() {
	failed := false
	for i := range c.targets {
		if len(c.attempts[i]) != 1 {
			c.brokenBy(i, "%d attempts", len(c.attempts[i]))
			continue
		}
		failed = failed || c.attempts[i][0].err != nil
		c.missedOnce(i)
	}
	if failed != (c.result != nil) {
		c.broken("the result of --probe is %v", c.result)
	}
}

// missedOnce checks that the first attempt succeeds if the target is ready from the start of the
// trial on, and the attempt can end before the time limit of the trial.
func (c *checker) missedOnce(i int) {
	s := c.whenSure(i)
	if s.ok && s.from == 0 && c.attempts[i][0].err != nil && (c.limit == 0 || s.each+s.lookups < c.limit) {
		c.brokenBy(i, "it is ready all the time, but: %v", c.attempts[i][0].err)
	}
}

// wait checks what Wait reports, and when it ends.
func (c *checker) wait() {
	readyAt, skippedAt := make([]time.Duration, len(c.targets)), make([]time.Duration, len(c.targets))
	inARow, tried := make([]int, len(c.targets)), make([]int, len(c.targets))
	progress := 5 * time.Second
	for _, u := range c.updates {
		if u.Kind == WaitProgress {
			if u.at != progress {
				c.broken("progress is reported at %v", u.at)
			}
			progress += 30 * time.Second
			continue
		}
		i := 0
		for n := range c.parsed {
			if &c.parsed[n] == u.Status.Target {
				i = n
			}
		}
		t := c.targets[i]
		switch u.Kind {
		case TargetTried:
			if readyAt[i] > 0 || skippedAt[i] > 0 {
				c.brokenBy(i, "an attempt after the end")
			}
			if inARow[i]++; u.Status.Last != nil {
				inARow[i] = 0
			}
			if tried[i] >= len(c.attempts[i]) || c.attempts[i][tried[i]].err != u.Status.Last {
				c.brokenBy(i, "attempt %d is reported wrongly: %v", tried[i]+1, u.Status.Last)
			}
			tried[i]++
			if u.Status.Attempts != tried[i] {
				c.brokenBy(i, "attempt %d is reported as %d", tried[i], u.Status.Attempts)
			}
			if inARow[i] > t.successes {
				c.brokenBy(i, "not reported as ready after %d successes", t.successes)
			}
		case TargetReady:
			readyAt[i] = u.at + 1 // not u.at, because 0 means never
			if inARow[i] != t.successes {
				c.brokenBy(i, "ready after %d successes in a row, but successes=%d", inARow[i], t.successes)
			}
		case TargetSkipped:
			skippedAt[i] = u.at + 1
			if u.at != t.optional && u.at != c.limit || t.optional == 0 {
				c.brokenBy(i, "skipped at %v", u.at)
			}
		}
	}
	if c.ended > progress {
		c.broken("no progress is reported at %v", progress)
	}
	end := c.limit
	var pending []*Target
	for i, t := range c.targets {
		done := readyAt[i] > 0 || skippedAt[i] > 0
		if !done {
			pending = append(pending, &c.parsed[i])
			if t.within > 0 {
				end = min(end, t.within)
			}
		}
		own := t.within + t.optional
		if own > 0 && readyAt[i] > own+1 {
			c.brokenBy(i, "ready after its own limit, at %v", readyAt[i])
		}
		if t.optional > 0 && !done && c.ended > t.optional {
			c.brokenBy(i, "not skipped at its limit")
		}
		if t.optional > 0 && !done && errors.Is(c.result, context.DeadlineExceeded) {
			c.brokenBy(i, "not skipped at the deadline of the wait")
		}
		if s := c.whenSure(i); s.ok {
			latest := s.latest(t, c.use)
			switch {
			case readyAt[i] > latest+1:
				c.brokenBy(i, "ready since %v at the latest, and reported only at %v (limit %v)", s.from, readyAt[i], latest)
			case readyAt[i] == 0 && max(skippedAt[i], c.ended) > latest+1 && (skippedAt[i] == 0 || skippedAt[i] > latest+1):
				c.brokenBy(i, "ready since %v at the latest, and never reported", s.from)
			}
		}
	}
	c.waitResult(end, pending)
}

// waitResult checks the result of Wait. end is the time at which a wait that fails must end.
func (c *checker) waitResult(end time.Duration, pending []*Target) {
	if c.ended > c.limit {
		c.broken("the wait ends %v after its deadline", c.ended-c.limit)
	}
	if c.result == nil {
		if len(pending) > 0 {
			c.broken("the wait succeeds with %d pending targets", len(pending))
		}
		return
	}
	var failed *PendingError
	if !errors.As(c.result, &failed) {
		c.broken("the wait fails with %v", c.result)
		return
	}
	if c.ended != end {
		c.broken("the wait fails at %v, not at %v: %v", c.ended, end, c.result)
	}
	var named []*Target
	for _, s := range failed.Pending {
		named = append(named, s.Target)
	}
	if !slices.Equal(named, pending) {
		c.broken("the wait fails with the wrong pending targets: %v", c.result)
	}
	var within *WithinError
	if end < c.limit && (!errors.As(c.result, &within) || within.Target.Within != end) {
		c.broken("within= ends the wait, but: %v", c.result)
	}
	if end == c.limit && !errors.As(c.result, &within) && !errors.Is(c.result, context.DeadlineExceeded) {
		c.broken("the deadline ends the wait, but: %v", c.result)
	}
}
