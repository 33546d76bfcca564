package supervisor

import (
	"fmt"
	"slices"
	"time"
)

// clientLines adds --drain-idle and at most three clients to some of the lives with --grace.
// Each client connects at a random time: from, plus at most ten seconds.
func (g *generator) clientLines(from time.Duration) {
	if g.grace == 0 || g.chance(70) {
		return
	}
	g.flag("--drain-idle %v", g.span(g.grace))
	g.flag("--health :8086") // usher itself listens on this port, so connections to it do not count as clients
	if g.chance(10) {
		g.machine = append(g.machine, pick(g, "sockets cannot be listed", "the kernel does not count the bytes of connections",
			"the descriptors of processes cannot be read", "/proc/net/snmp cannot be read", "a poll of the connections takes 20ms"))
	}
	for range g.IntN(4) {
		line := "a client "
		if g.chance(20) {
			line += "of port 9000 "
		}
		at := from + g.span(10*time.Second)
		line += fmt.Sprintf("connects at %v", at)
		for range g.IntN(4) {
			at += g.span(5 * time.Second)
			line += fmt.Sprintf(", sends a request at %v", at)
			if g.chance(85) {
				at += g.span(20 * time.Second)
				line += fmt.Sprintf(", is answered at %v", at)
			}
		}
		if g.chance(60) {
			line += fmt.Sprintf(", disconnects at %v", at+g.span(20*time.Second))
		}
		g.machine = append(g.machine, line)
	}
}

// betweenPolls is a little more than the time between two polls of the connections
// (pollInterval, 100 ms).
const betweenPolls = 101 * time.Millisecond

// checkIdle: the wait of --drain-idle ends when no client waits for an answer ("is owed" one)
// and, for the time DrainIdle, no client has sent or received a byte or opened a connection.
// The wait also ends when the drain's time is over, when the app exits, and when a SIGINT skips
// the drain.
func (c *checked) checkIdle() {
	began, ended := neverAt, seenEvent{}
	for _, e := range c.events {
		switch e.Kind {
		case IdleStarted:
			began = e.At
		case IdleFinished:
			ended = e
		}
	}
	tcp := &c.k.tcp
	if len(c.cfg.IdleExcept) == 0 || began == neverAt || ended.Kind != IdleFinished || tcp.unlistable || tcp.uncounted || tcp.noFDs || tcp.noSNMP {
		return
	}
	if ended.Err == nil {
		for i := range tcp.clients {
			c.checkClientWasIdle(&tcp.clients[i], ended.At-tcp.takes) // the time at which the last poll began
		}
		if ended.At < began+c.cfg.DrainIdle {
			c.fail("idle: it lasted from %v to %v, less than %v", began, ended.At, c.cfg.DrainIdle)
		}
	}
	if tcp.takes > 0 {
		return
	}
	if at := c.idleAt(began); at+2*betweenPolls < ended.At {
		c.fail("idle: the clients were idle at %v, and the app served until %v", at, ended.At)
	}
}

func (c *checked) checkClientWasIdle(client *fakeClient, at time.Duration) {
	if c.isOwed(client, at) {
		c.fail("idle: it ended at %v, when the client that connected at %v was owed an answer", at, client.opens)
	}
	for _, moved := range c.activities(client) {
		// usher does not see what happens on a connection between the last poll that shows it and its end.
		seen := moved == client.opens || moved < client.closes-betweenPolls
		if seen && moved > at-c.cfg.DrainIdle && moved < at {
			c.fail("idle: it ended at %v, and a client was active at %v", at, moved)
		}
	}
}

// activities returns the times at which a client opened its connection, or sent or received
// bytes. If a connection is closed while its client is owed an answer, that counts as an
// activity, because usher assumes that the answer was sent before the close. A connection to
// another container of the pod (a port other than 80) counts only when it is opened, because
// the kernel counts new connections for the whole network namespace.
func (c *checked) activities(client *fakeClient) (all []time.Duration) {
	all = append(all, client.opens)
	if client.port != 80 {
		return all
	}
	for _, b := range slices.Concat(client.sends, client.answers) {
		if b.at < client.closes {
			all = append(all, b.at)
		}
	}
	if c.isOwed(client, client.closes-1) {
		all = append(all, client.closes)
	}
	return all
}

// isOwed reports whether, at the given time, a client waits for the answer to a request that it
// has sent to the app. A request that is a minute old by then (or as old as the drain may last, if
// that is longer) does not count, because usher assumes that no answer follows (see longestAnswer).
func (c *checked) isOwed(client *fakeClient, at time.Duration) bool {
	last := func(all []fakeBytes) (last time.Duration) {
		for _, b := range all {
			if b.at < at {
				last = max(last, b.at)
			}
		}
		return last
	}
	sent := last(client.sends)
	return client.port == 80 && client.opens < at && at < client.closes && sent > last(client.answers) && at-sent < max(time.Minute, c.drainEnd)
}

// idleAt returns the first time, on a grid of 10 ms, at which all clients have been idle for
// DrainIdle plus betweenPolls. It adds betweenPolls because usher may notice an activity one
// poll late. The time is at least DrainIdle after began. If there is none before the end of the
// run, idleAt returns an hour less than neverAt, so that the caller can add to it without
// overflow.
func (c *checked) idleAt(began time.Duration) time.Duration {
	for at := began + c.cfg.DrainIdle; at < c.endAt; at += 10 * time.Millisecond {
		active := func(client fakeClient) bool {
			return c.isOwed(&client, at) || slices.ContainsFunc(c.activities(&client), func(moved time.Duration) bool {
				return moved > at-c.cfg.DrainIdle-betweenPolls && moved <= at
			})
		}
		if !slices.ContainsFunc(c.k.tcp.clients, active) {
			return at
		}
	}
	return neverAt - time.Hour
}
