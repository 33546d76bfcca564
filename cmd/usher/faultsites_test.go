package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// phaseNames are the names of the phases that testdata/inject.c counts. The comment after a
// name says which event begins the phase.
var phaseNames = []string{
	"the runtime's start",
	"checks",       // the first epoll_create1
	"wait",         // listen, for --health
	"wait command", // a fork; the next three phases begin with a fork too
	"pre-start",
	"start and ready",
	"post-start",
	"forwarding", // usher receives SIGUSR1
	"drain",      // usher receives SIGTERM
	"drain hook", // a fork
	"stop",       // usher sends SIGTERM to the app
	"leftovers",  // usher sends SIGTERM to a leftover
	"post-stop",  // a fork
}

const (
	phaseRuntime = 0
	phaseChecks  = 1
	phaseWait    = 2
	phaseLast    = 100 // later than all others
)

// site stands for all system calls of a run that agree in four things: the phase, whether a
// child makes the call, the number of the system call, and its kind (see kind_of in
// testdata/inject.c), which may be empty.
type site struct {
	phase int
	child int // 1: the call is made in a child of usher before its execve(2)
	call  *failingCall
	kind  string
}

func (s site) String() string {
	child := map[int]string{1: "child "}[s.child]
	phase := fmt.Sprint("phase ", s.phase)
	if s.phase < len(phaseNames) {
		phase = phaseNames[s.phase]
	}
	return fmt.Sprintf("%s: %s%s", phase, child, strings.TrimSpace(s.call.name+" "+s.kind))
}

// fault is one system call that fails.
type fault struct {
	site
	use   int // the number of the call that fails, counted from 1 among the calls of the site
	errno syscall.Errno
	pid1  bool // usher is PID 1
}

func (f fault) String() string {
	as := map[bool]string{true: "PID 1", false: "subreaper"}[f.pid1]
	return fmt.Sprintf("%s, %v #%d %s", as, f.site, f.use, unix.ErrnoName(f.errno))
}

// spec returns the argument of testdata/inject.c that describes the fault:
// PHASE:CHILD:NUMBER:KIND:USE:ERRNO.
func (f fault) spec() string {
	return fmt.Sprintf("%d:%d:%d:%s:%d:%d", f.phase, f.child, f.call.number, cmp.Or(f.kind, "-"), f.use, int(f.errno))
}

// trace returns nil if usher has to handle the fault. On the other faults
// (faultsOfTheRuntime) the Go runtime itself prints a trace and ends usher; for these, trace
// returns a pattern that matches the beginning of that text.
func (f fault) trace() *regexp.Regexp {
	for _, r := range faultsOfTheRuntime {
		if r.call == f.call.name && r.kind == f.kind && f.child == 0 && r.from <= f.phase && f.phase <= r.to &&
			(r.uses == nil || slices.Contains(r.uses, f.use)) && slices.Contains(r.errnos, f.errno) {
			return regexp.MustCompile("^(" + r.trace + ")")
		}
	}
	return nil
}

// listSites runs usher without a fault, and returns the number of calls of each site.
func listSites(t *testing.T, pid1 bool) map[site]int {
	t.Helper()
	r := runWithFault(t, pid1, "list")
	require.Equal(t, 7, r.code, lastLines(r.log))
	sites := map[site]int{}
	for line := range strings.Lines(r.report) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 4)
		if len(fields) < 4 {
			continue
		}
		var n [3]int
		for i := range n {
			var err error
			n[i], err = strconv.Atoi(fields[i])
			require.NoError(t, err, line)
		}
		s := site{phase: n[0], child: n[1], call: findCall(n[2], fields[3]), kind: fields[3]}
		require.NotNil(t, s.call, "failingCalls does not list the system call %d %s", n[2], s.kind)
		sites[s]++
	}
	return sites
}

func findCall(number int, kind string) *failingCall {
	i := slices.IndexFunc(failingCalls, func(c failingCall) bool {
		return c.number == number && (c.kind == "*" || c.kind == kind)
	})
	if i < 0 {
		return nil
	}
	return &failingCalls[i]
}

// allFaults returns the faults in which the first, the second or the last call of a site
// fails, with each errno of that call.
func allFaults(sites map[site]int, pid1 bool) (all []fault) {
	for _, s := range sorted(sites) {
		uses := []int{1, 2, sites[s]}
		for _, use := range uses[:min(3, sites[s])] {
			for _, e := range s.call.errnos {
				all = append(all, fault{s, use, e, pid1})
			}
		}
	}
	return all
}

func sorted(sites map[site]int) []site {
	return slices.SortedFunc(maps.Keys(sites), func(a, b site) int {
		return cmp.Or(cmp.Compare(a.phase, b.phase), strings.Compare(a.String(), b.String()))
	})
}

func matching(faults []fault, pattern string) []fault {
	re := regexp.MustCompile(pattern)
	return slices.DeleteFunc(faults, func(f fault) bool { return !re.MatchString(f.String()) })
}

// someFaults returns at most two faults for each kind of system call, if possible in
// different phases and with different errnos. It adds those faults of allFaults that
// are in the list regressions, because an earlier usher broke a promise with them.
func someFaults(sites map[site]int, pid1 bool) (some []fault) {
	const each = 2
	type group struct {
		child int
		call  *failingCall
		kind  string
	}
	places := map[group][]site{}
	var groups []group
	for _, s := range sorted(sites) {
		g := group{s.child, s.call, s.kind}
		if places[g] == nil {
			groups = append(groups, g)
		}
		places[g] = append(places[g], s)
	}
	for i, g := range groups {
		for j := range min(each, len(places[g])*len(g.call.errnos)) {
			s := places[g][(i+j*len(places[g])/each)%len(places[g])]
			some = append(some, fault{s, 1 + j%2*(min(2, sites[s])-1), g.call.errnos[(i+j)%len(g.call.errnos)], pid1})
		}
	}
	for _, f := range allFaults(sites, pid1) {
		if slices.Contains(regressions, f.String()) {
			some = append(some, f)
		}
	}
	slices.SortFunc(some, func(a, b fault) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(some, func(a, b fault) bool { return a.String() == b.String() })
}
