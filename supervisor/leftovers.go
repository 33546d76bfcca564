package supervisor

import (
	"context"
	"syscall"
	"time"
)

// Leftovers are the processes that are still alive after the app has exited. What
// they have under way may be finished, so each is asked to stop at most once: the
// second SIGTERM kills many programs that finish their work after the first.
//
//  1. The app gets its stop signal; with --group its whole process group does.
//  2. Once the app has exited, the roots are asked: the leftovers that are usher's
//     own children, because their parent has exited. What a root manages itself,
//     such as the workers of a prefork server, is for the root to end. The roots
//     are asked at once if the app cannot have told them: it exited by itself, or
//     it was killed by the stop signal, or they were usher's children before that.
//     If it has handled its stop signal it may have told them, and they are asked
//     when half of the time that was left has passed. The same holds for the
//     children of a root that exits. A root that reads what another process prints,
//     such as tee, is not asked before that one has exited: the next line that it
//     prints would kill it with SIGPIPE.
//  3. The last call, after four fifths of the time: everything that has not been
//     asked gets SIGTERM. A shell with a trap waits for its foreground child, and
//     nobody has told that child.
//  4. SIGKILL for everything.
//
// Where /proc does not show who is whose child, everything that can be reached is
// asked at the moment of step 2, and there is no last call.
type leftovers struct {
	signalled time.Time      // when the app got its stop signal, or exited by itself
	killAt    time.Time      // when everything gets SIGKILL
	signal    syscall.Signal // that asks the roots
	appAsked  bool           // the app got its stop signal
	handledAt time.Time      // when an interrupted hook exited, which may have told its children
	called    bool           // the last call is over
	appCaught bool           // the app had a handler for its stop signal

	before  map[procID]bool      // usher's children when the app got its signal
	asked   map[procID]bool      // who has had a signal that asks it to stop
	parents map[procID]int       // who was whose child before its parent exited
	due     map[procID]time.Time // when to ask a root
	caught  map[procID]bool      // who had a handler for the signal when the app got it
}

// Parts of the time between the stop signal and SIGKILL.
const (
	lastCallNum, lastCallDen = 4, 5
	// stopLookTime bounds the look at /proc before the stop signal, which waits for it.
	stopLookTime = 100 * time.Millisecond
	// lookPause is how many times as long as a look took nobody looks again: there
	// may be thousands of processes, and each exit is a reason to look.
	lookPause = 10
	// reraiseTime is how long a handler may take to run. An app that was killed by the
	// signal that it catches has perhaps told its children and then raised the signal
	// again; a child whose handler is gone after this time has been told.
	reraiseTime = 100 * time.Millisecond
)

func (l *leftovers) begin(signalled, killAt time.Time, sig syscall.Signal) {
	l.signalled, l.killAt, l.signal = signalled, killAt, sig
}

func (l *leftovers) lastCallAt() time.Time {
	return l.signalled.Add(l.killAt.Sub(l.signalled) * lastCallNum / lastCallDen)
}

func (s *supervisor) lastCallLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, s.leftovers.lastCallAt())
}

// sight is what a look has seen.
type sight struct {
	procs  []proc
	ok     bool // false: /proc does not show processes, or the time was over
	reaped int  // how many processes had been reaped when it began
	took   time.Duration
}

// look lists the processes beside usher, in a goroutine: thousands of them take a
// while. Usher's own commands and what has been reaped meanwhile are left out.
func (s *supervisor) look(ctx context.Context) sight {
	v := sight{reaped: s.loop.reaped}
	began := time.Now()
	var procs []proc
	var ok bool
	run := s.loop.sys.look()
	j := s.loop.spawn(func() error { procs, ok = run(); return nil })
	if s.loop.until(ctx, j.hasEnded) != nil {
		return v
	}
	v.ok, v.took = ok, time.Since(began)
	for _, p := range procs {
		owner := s.loop.owners[p.pid] != nil && p.pid != s.app.pid
		if r, gone := s.loop.exits[p.pid]; !owner && (!gone || r.n <= v.reaped) {
			v.procs = append(v.procs, p)
		}
	}
	return v
}

// rememberProcesses looks, before the app gets its stop signal, who is usher's
// child already and who is whose, and with --group who gets the signal too.
func (s *supervisor) rememberProcesses(ctx context.Context) {
	if s.cfg.Grace == 0 {
		return
	}
	s.loop.exits = map[int]reaping{}
	lookCtx, cancel := context.WithTimeout(ctx, stopLookTime)
	defer cancel()
	l := &s.leftovers
	l.before, l.asked, l.caught = map[procID]bool{}, map[procID]bool{}, map[procID]bool{}
	for _, p := range s.look(lookCtx).procs {
		l.remember(p)
		l.caught[p.procID] = p.catches(s.stopSignal())
		if p.pid == s.app.pid {
			l.appCaught = l.caught[p.procID]
		}
		if p.own && p.pid != s.app.pid {
			l.before[p.procID] = true
		}
		if p.pid == s.app.pid || s.cfg.Group && p.group == s.app.pid {
			l.asked[p.procID] = true
		}
	}
}

func (l *leftovers) remember(p proc) {
	if l.parents == nil {
		l.parents = map[procID]int{}
	}
	if !p.own {
		l.parents[p.procID] = p.parent
	}
}

// endLeftovers ends what is still alive after the app. Without --grace nobody is
// asked: the kernel kills what is left together with PID 1.
func (s *supervisor) endLeftovers(ctx context.Context) {
	s.untilCommandsExit()
	if s.loop.reap(); s.loop.alone {
		return
	}
	if s.cfg.Grace == 0 {
		s.lookAndReport(ctx)
		return
	}
	s.enter(Leftovers)
	defer measure(&s.summary.Leftovers)()
	s.beginLeftovers()
	killCtx, cancel := context.WithDeadlineCause(ctx, s.leftovers.killAt, errShare)
	defer cancel()
	if s.askLeftovers(killCtx); s.loop.alone {
		return
	}
	s.emit(Event{Kind: LeftoversKilled})
	goneCtx, cancel := s.limit(ctx, s.budget.settled())
	defer cancel()
	s.killLeftovers(goneCtx)
}

// beginLeftovers is for an app that got no stop signal: one that has exited by
// itself leaves the reserve to its leftovers, counted from its exit, and a start
// that failed does so from now on. After a stop signal all of the budget is theirs.
func (s *supervisor) beginLeftovers() {
	l := &s.leftovers
	if s.loop.exits == nil {
		s.loop.exits = map[int]reaping{}
	}
	if !l.signalled.IsZero() {
		l.appAsked = s.cfg.StopSignal != NoSignal
		return
	}
	killAt := s.shutdownStart.Add(s.budget.Kill)
	begin := time.Now()
	if s.appExited() {
		begin = s.app.exited
	}
	if own := begin.Add(s.budget.Reserve); s.stopSignalReceived() == 0 && own.Before(killAt) {
		killAt = own
	}
	l.begin(begin, killAt, s.stopSignal())
}

// askLeftovers asks the roots as they become due, and everything at the last call,
// until none is left or killCtx ends.
func (s *supervisor) askLeftovers(killCtx context.Context) {
	l := &s.leftovers
	alone := func() bool { return s.loop.alone }
	for first := true; ; first = false {
		v := s.look(killCtx)
		if killCtx.Err() != nil || s.loop.alone {
			return
		}
		if first && s.app.pid != 0 && s.reason == nil {
			s.reportLeftovers(v)
		}
		if !v.ok {
			s.askUnseen(killCtx)
			return
		}
		for _, p := range v.procs {
			l.remember(p)
		}
		next := s.askRoots(v.procs)
		if !l.called && !time.Now().Before(l.lastCallAt()) {
			s.callAll(v)
		} else if !l.called && l.lastCallAt().Before(next) {
			next = l.lastCallAt()
		}
		nextCtx, cancel := context.WithDeadline(killCtx, next)
		err := s.loop.until(nextCtx, func() bool { return s.loop.alone || s.loop.reaped != v.reaped })
		cancel()
		if err == nil && !s.loop.alone {
			pauseCtx, cancel := context.WithTimeout(killCtx, lookPause*v.took)
			s.loop.until(pauseCtx, alone)
			cancel()
		}
		if s.loop.alone {
			return
		}
	}
}

// askRoots asks the roots that are due, and returns when the next one is.
func (s *supervisor) askRoots(procs []proc) (next time.Time) {
	l := &s.leftovers
	next = l.killAt
	var names []string
	for _, p := range procs {
		if !p.own || l.asked[p.procID] || p.filter {
			continue
		}
		switch due := s.dueTime(p); {
		case !due.After(time.Now()) && l.caught[p.procID] && !p.catches(l.signal):
			l.asked[p.procID] = true // its handler was for one signal, and it has had that
		case !due.After(time.Now()):
			names = s.ask(p, l.signal, names)
		case due.Before(next):
			next = due
		}
	}
	if len(names) > 0 {
		s.emit(Event{Kind: LeftoversSignalled, Signal: l.signal, Names: names, Count: len(names)})
	}
	return next
}

// dueTime is when a root is asked. It is fixed when the root is first seen, by the
// way in which its parent has exited.
func (s *supervisor) dueTime(p proc) time.Time {
	l := &s.leftovers
	if due, known := l.due[p.procID]; known {
		return due
	}
	if l.due == nil {
		l.due = map[procID]time.Time{}
	}
	l.due[p.procID] = s.firstDue(p)
	return l.due[p.procID]
}

func (s *supervisor) firstDue(p proc) (atOnce time.Time) {
	l := &s.leftovers
	later := func(exited time.Time) time.Time { return exited.Add(l.killAt.Sub(exited) / 2) }
	if l.before[p.procID] {
		return atOnce
	}
	parent, reaped := s.loop.exits[l.parents[p.procID]]
	switch byApp := !reaped || l.parents[p.procID] == s.app.pid; {
	case !byApp && parent.Signal != 0 && (parent.Signal == l.signal || parent.Signal == syscall.SIGTERM):
		return atOnce
	case !byApp:
		return later(parent.at)
	case s.app.pid == 0 && !l.handledAt.IsZero():
		return later(l.handledAt)
	case !l.appAsked:
		return atOnce
	case s.app.exit.Signal == l.signal && l.appCaught:
		return s.app.exited.Add(reraiseTime)
	case s.app.exit.Signal == l.signal:
		return atOnce
	}
	return later(s.app.exited)
}

// ask sends a signal that asks p to stop, and adds p's name to names. SIGCONT,
// because a stopped process acts on no signal but SIGKILL.
func (s *supervisor) ask(p proc, sig syscall.Signal, names []string) []string {
	if s.leftovers.asked == nil {
		s.leftovers.asked = map[procID]bool{}
	}
	s.leftovers.asked[p.procID] = true
	switch err := s.loop.sys.kill(p.pid, sig); err {
	case nil:
	case syscall.ESRCH: // it has just exited
		return names
	default:
		s.emit(Event{Kind: SignalFailed, PID: p.pid, Name: p.name, Signal: sig, Err: err})
		return names
	}
	s.loop.sys.kill(p.pid, syscall.SIGCONT)
	return append(names, p.name)
}

// lastCall is the last call while the app is still alive.
func (s *supervisor) lastCall(killCtx context.Context) {
	if v := s.look(killCtx); v.ok && !s.appExited() {
		s.callAll(v)
	}
}

// callAll asks everything that has not been asked, once. There may be thousands of
// processes: signals and the deadline do not wait for the last of them.
func (s *supervisor) callAll(v sight) {
	l := &s.leftovers
	l.called = true
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var names []string
	for i, p := range v.procs {
		if i%reapAtOnce == reapAtOnce-1 {
			s.loop.until(ended, never)
		}
		if !time.Now().Before(l.killAt) {
			break
		}
		if r, gone := s.loop.exits[p.pid]; gone && r.n > v.reaped || l.asked[p.procID] || p.pid == s.app.pid {
			continue
		}
		names = s.ask(p, syscall.SIGTERM, names)
	}
	if len(names) > 0 {
		s.emit(Event{Kind: LastCall, Signal: syscall.SIGTERM, Names: names, Count: len(names)})
	}
}

// askUnseen asks everything that can be reached, when the roots would be asked, and
// waits. With --group that has had the signal: it cannot be told apart here from
// what has not.
func (s *supervisor) askUnseen(killCtx context.Context) {
	l := &s.leftovers
	alone := func() bool { return s.loop.alone }
	dueCtx, cancel := context.WithDeadline(killCtx, s.firstDue(proc{}))
	defer cancel()
	if s.loop.until(dueCtx, alone) == nil {
		return
	}
	if killCtx.Err() == nil && !(s.cfg.Group && l.appAsked) {
		s.loop.sys.signalAll(l.signal)
		s.loop.sys.signalAll(syscall.SIGCONT)
		s.emit(Event{Kind: LeftoversSignalled, Signal: l.signal, Count: -1})
	}
	s.loop.until(killCtx, alone)
}

// lookAndReport names what the kernel is about to kill.
func (s *supervisor) lookAndReport(ctx context.Context) {
	if s.app.pid == 0 {
		return
	}
	lookCtx, cancel := context.WithTimeout(ctx, stopLookTime)
	defer cancel()
	s.reportLeftovers(s.look(lookCtx))
}

func (s *supervisor) reportLeftovers(v sight) {
	e := Event{Kind: LeftoversFound, Count: -1}
	if v.ok {
		e.Count = len(v.procs)
		for _, p := range v.procs {
			e.Names = append(e.Names, p.name)
		}
	}
	if e.Count != 0 { // else they are exiting already
		s.emit(e)
	}
}

// untilCommandsExit waits a little for usher's own commands, which have been
// terminated: a probe for /readyz may be under way, and is no leftover of the app.
func (s *supervisor) untilCommandsExit() {
	ctx, cancel := context.WithTimeout(context.Background(), s.cancelTime())
	defer cancel()
	s.loop.until(ctx, func() bool { return !s.loop.commandsLeft() })
}

// killOthers sends SIGKILL beside the loop: a subreaper first has to find whom.
func (s *supervisor) killOthers(thorough bool) *job {
	run := s.loop.sys.killOthers(thorough)
	return s.loop.spawn(func() error { run(); return nil })
}

// Beyond the deadline a subreaper may take this long to find what it has to kill
// among thousands of processes, and this long without anything exiting before it
// looks thoroughly, or gives up.
const (
	subreaperKillTime = 700 * time.Millisecond
	subreaperWait     = 50 * time.Millisecond
)

// killLeftovers sends SIGKILL to everything and waits until it is gone or ctx ends.
func (s *supervisor) killLeftovers(ctx context.Context) {
	if s.pid1 {
		s.killOthers(false)
		s.loop.until(ctx, func() bool { return s.loop.alone })
		return
	}
	limitCtx, cancel := context.WithTimeout(context.Background(), subreaperKillTime)
	defer cancel()
	for thorough := false; ; {
		exits := s.killRound(limitCtx, thorough)
		if s.loop.alone || limitCtx.Err() != nil || !exits && thorough {
			return
		}
		thorough = !exits
	}
}

// killRound kills what it finds, and reports whether anything exits after that. Then
// another round is needed: what has exited may have left children.
func (s *supervisor) killRound(ctx context.Context, thorough bool) (exits bool) {
	reaped := s.loop.reaped
	j := s.killOthers(thorough)
	if s.loop.until(ctx, func() bool { return j.done || s.loop.alone }) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, subreaperWait)
	defer cancel()
	s.loop.until(ctx, func() bool { return s.loop.alone || s.loop.reaped != reaped })
	return s.loop.reaped != reaped
}
