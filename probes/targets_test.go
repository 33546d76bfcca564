package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTargets runs random trials. Each has one to three random targets, with random servers
// and names, on a network in memory and in fake time. The promises of this package are checked
// from outside, against what the servers, the name server and the caller observe.
//
//	TARGETS=N  the number of trials, instead of trialsInTests; without SEED, they have a new seed
//	SEED=S     the seed, instead of 1
//	TARGET=N   the number of the first trial, instead of 0
//
// Without these variables, trialsInTests trials of the seed 1 are run, and then half as many of
// a new seed. If CI is set too, the new seed is left out, so that the result depends on the code
// alone.
func TestTargets(t *testing.T) {
	certs := newCertificates(t)
	if _, set := os.LookupEnv("GODEBUG"); !set {
		os.Setenv("GODEBUG", "tlsmlkem=0") // a cheaper key exchange: most of the time is spent in TLS handshakes
		defer os.Unsetenv("GODEBUG")
	}
	_, err := systemRoots(t.Context()) // the first call reads files, and later calls return its result; made here, because a trial that does not lock sharedFiles must not read files
	require.NoError(t, err)
	fresh := uint64(time.Now().UnixNano())
	seed, first, count := uint64(1), uint64(0), uint64(trialsInTests)
	if os.Getenv("TARGETS") != "" {
		seed = fresh
	}
	chosen := false
	for name, value := range map[string]*uint64{"SEED": &seed, "TARGET": &first, "TARGETS": &count} {
		if text := os.Getenv(name); text != "" {
			*value, err = strconv.ParseUint(text, 10, 64)
			require.NoError(t, err, name)
			chosen = true
		}
	}
	runTrials(t, certs, seed, first, count)
	if !chosen && os.Getenv("CI") == "" {
		runTrials(t, certs, fresh, 0, count/2)
	}
}

// runTrials runs count trials of a seed on all processors. first is the number of the first of
// them. If a promise is broken in a trial, runTrials starts no further trials and reports that
// trial.
func runTrials(t *testing.T, certs *certificates, seed, first, count uint64) {
	t.Helper()
	began := time.Now()
	var next, targets atomic.Uint64
	var broken atomic.Pointer[func(*testing.T)]
	next.Store(first)
	t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("worker", func(t *testing.T) {
				t.Parallel()
				for n := next.Add(1) - 1; n < first+count; n = next.Add(1) - 1 {
					tr := newTrial(seed, n)
					targets.Add(uint64(len(tr.targets)))
					o := tr.run(t, certs)
					if problems := o.check(); len(problems) > 0 {
						report := func(t *testing.T) { tr.report(t, certs, seed, n, problems[0]) }
						broken.Store(&report)
						next.Store(first + count)
					}
				}
			})
		}
	})
	if report := broken.Load(); report != nil {
		(*report)(t)
	}
	t.Logf("%d trials of seed %d with %d targets, %.0f trials a second", count, seed, targets.Load(), float64(count)/time.Since(began).Seconds())
}

// A trial that reads files holds the lock sharedFiles, so only one such trial runs at a time. All
// trials share the threads that read files (the package variable files, in files.go). Without the
// lock, a thread that was started in one trial could read a file for another trial, and send the
// result to that trial on a channel. But a channel that is made in one bubble of synctest cannot
// be used in another.
var sharedFiles sync.Mutex

// An observation holds what was observed of a trial from outside this package. A trial makes one
// call of Wait, Ask or RunHook.
type observation struct {
	*trial
	*record
	parsed   []Target
	attempts [][]attempt // of each target
	updates  []timedUpdate
	result   error
	ended    time.Duration
	leftOpen int // connections that were open when the call returned
	leftAsks int // attempts that were running when the call returned
}

type attempt struct {
	begin, end time.Duration
	err        error
}

type timedUpdate struct {
	Update
	at time.Duration
}

// run runs the trial in fake time.
func (tr *trial) run(t *testing.T, certs *certificates) *observation {
	o := &observation{trial: tr, record: new(record), attempts: make([][]attempt, len(tr.targets))}
	readsFiles := false
	for _, plan := range tr.targets {
		target, err := tr.parse(plan, certs)
		if err != nil {
			o.fault("a target of the generator is not valid: %v", err)
			return o
		}
		readsFiles = readsFiles || plan.kind == "file" || plan.kind == "unix" || plan.ca != ""
		o.parsed = append(o.parsed, target)
	}
	if readsFiles {
		sharedFiles.Lock()
		defer sharedFiles.Unlock()
	}
	defer func() {
		if p := recover(); p != nil { // synctest panics, for example, if goroutines are still blocked at the end
			o.fault("panic: %v", p)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if p := recover(); p != nil {
				o.fault("panic: %v\n%s", p, debug.Stack())
			}
		}()
		o.inFakeTime(t.Context(), certs)
	})
	return o
}

// parse parses a target. Each target has its own environment, in which only envVariable is set:
// its value is the URL of the target.
func (tr *trial) parse(plan *targetPlan, certs *certificates) (Target, error) {
	parser := Parser{LookupEnv: func(name string) (string, bool) { return plan.url(), name == envVariable }}
	return parser.Parse(strings.ReplaceAll(plan.text(certs.dir), "/DIR/", certs.dir+"/"), tr.use)
}

func (o *observation) inFakeTime(ctx context.Context, certs *certificates) {
	o.start = time.Now()
	n := &fakeNet{record: o.record, servers: map[string]*serverPlan{}, stop: make(chan struct{})}
	n.serve = func(c *fakeConn, phase *serverPhase, address string) { serveTalk(n, c, phase, address, certs) }
	for _, s := range o.servers {
		n.servers[strings.Replace(s.address, "/DIR/", certs.dir+"/", 1)] = s
		if strings.HasPrefix(s.address, "/DIR/file") {
			o.playFile(n, s, filepath.Join(certs.dir, filepath.Base(s.address)))
		}
	}
	ctx = context.WithValue(ctx, netKey{}, n)
	var running atomic.Int64
	var mu sync.Mutex
	for i := range o.parsed {
		o.parsed[i].Probe = observedProbe{o.parsed[i].Probe, func(ask func() error) (err error) {
			running.Add(1)
			begin := o.elapsed()
			defer func() {
				if p := recover(); p != nil {
					o.fault("panic: %v\n%s", p, debug.Stack())
					err = errors.New("panic")
				}
				mu.Lock()
				defer mu.Unlock()
				o.attempts[i] = append(o.attempts[i], attempt{begin, o.elapsed(), err})
				running.Add(-1)
			}()
			return ask()
		}}
	}
	if o.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.limit)
		defer cancel()
	}
	hangs := time.AfterFunc(o.limit+5*time.Minute, func() {
		o.fault("the call does not return")
		n.shutdown()
	})
	a := Attempt{Run: o.runner(n), Resolver: o.resolver(n), HookVars: []HookVar{{"USHER_REASON", "signal"}}}
	switch {
	case o.use.Hook():
		o.result = RunHook(ctx, o.parsed[0], a)
	case o.use == ForProbe:
		o.result = Ask(ctx, o.parsed, a)
	default:
		o.result = Wait(ctx, o.parsed, a, func(u Update) { o.updates = append(o.updates, timedUpdate{u, o.elapsed()}) })
	}
	o.ended, o.leftOpen, o.leftAsks = o.elapsed(), n.openConns(), int(running.Load())
	if hangs.Stop() {
		time.Sleep(20 * time.Second) // a timer that the call has left running fires now; if it sets a deadline of a closed connection, fakeConn reports that
		n.shutdown()
	}
}

// An observedProbe passes each call of Ask to observe, which makes the call and records it.
type observedProbe struct {
	Probe
	observe func(ask func() error) error
}

func (p observedProbe) Ask(ctx context.Context, a Attempt) error {
	return p.observe(func() error { return p.Probe.Ask(ctx, a) })
}

// playFile creates or removes a file at the start of each phase of s.
func (o *observation) playFile(n *fakeNet, s *serverPlan, path string) {
	play := func(p *serverPhase) {
		os.Remove(path)
		if p.listens == accepts {
			os.WriteFile(path, nil, 0o600)
		}
	}
	play(s.phases[0])
	n.handler.Go(func() {
		defer os.Remove(path)
		for _, p := range s.phases[1:] {
			if !n.pause(p.from - o.elapsed()) {
				return
			}
			play(p)
		}
		<-n.stop
	})
}

// runner returns the Runner of the trial's commands.
func (o *observation) runner(n *fakeNet) Runner {
	return func(ctx context.Context, c Command) error {
		p := o.server(c.Argv[2]).at(o.elapsed())
		if p.listens == isMissing {
			return errors.New("not found")
		}
		after := time.NewTimer(p.delay)
		defer after.Stop()
		ended := after.C
		if p.speaks != "command" {
			ended = nil // the command hangs
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
		if p.state != isReady {
			return errors.New("exit status 1")
		}
		o.recordMu.Lock()
		defer o.recordMu.Unlock()
		o.answers = append(o.answers, &answer{at: o.elapsed(), address: c.Argv[2], ready: true})
		return nil
	}
}

// resolver returns a Resolver that answers as planned in the trial, and records each lookup.
func (o *observation) resolver(n *fakeNet) *Resolver {
	lookup := func(host string) (namePhase, error) {
		begun := o.elapsed()
		result := namePhase{answer: "does not exist"}
		if plan := o.name(host); plan != nil {
			result = plan.at(begun)
		}
		n.pause(result.delay)
		o.recordMu.Lock()
		o.lookups = append(o.lookups, lookupRecord{host, begun, o.elapsed(), result})
		o.recordMu.Unlock()
		err := &net.DNSError{Name: host, Server: "CANARY"}
		switch result.answer {
		case "addresses":
			return result, nil
		case "does not exist":
			err.Err, err.IsNotFound = "no such host", true
		case "fails":
			err.Err, err.IsTemporary = "server misbehaving", true
		case "times out":
			err.Err, err.IsTimeout = "i/o timeout", true
		}
		return result, err
	}
	return &Resolver{
		LookupNetIP: func(_ context.Context, host string) ([]netip.Addr, error) {
			result, err := lookup(host)
			return parseAddrs(result.addrs...), err
		},
		LookupSRV: func(_ context.Context, name string) (records []*net.SRV, err error) {
			result, err := lookup(name)
			for _, host := range result.addrs {
				records = append(records, &net.SRV{Target: host + ".", Port: 27017})
			}
			return records, err
		},
	}
}
