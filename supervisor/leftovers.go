package supervisor

import (
	"context"
	"syscall"
	"time"
)

// Leftovers are the processes that are still alive after the app has exited. usher
// sends each of them at most one signal to stop it, because many programs finish their
// work after the first SIGTERM and exit at once on a second one.
//
//  1. The app gets its stop signal; with --group its whole process group gets it.
//  2. When the app has exited, the roots get the app's stop signal. A root is a leftover
//     that is usher's own child, because its parent has exited. Processes below a root,
//     such as the workers of a prefork server, get no signal in this step, because the root
//     stops them. A root is signalled at once if the app cannot have signalled it. That
//     is so if the app exited by itself, if the stop signal killed the app (but see
//     reraiseTime), or if the root was usher's child before the app got that signal. If
//     the app handled its stop signal, it may have signalled its children. In that case
//     the roots are signalled when half of the time from the app's exit to killAt has
//     passed. When a root exits, its children become roots. They are signalled at once if
//     the app's stop signal or SIGTERM killed their parent, otherwise when half of the
//     time from the parent's exit to killAt has passed. A root that reads the output of
//     another leftover from a pipe, as tee does, is not signalled in this step while that
//     leftover is alive: without its reader it would get SIGPIPE.
//  3. After four fifths of the time from beganAt to killAt usher makes the last call: it
//     sends SIGTERM to every process that has not been signalled. An example is the
//     foreground child of a shell with a trap. The shell runs the trap only after this
//     child has exited, and the child may not have been signalled yet.
//  4. At killAt every process gets SIGKILL.
//
// Without a readable /proc usher cannot find out which processes are its children. In
// that case step 2 signals all processes that usher can reach, and there is no last call.
type leftovers struct {
	beganAt      time.Time      // when the app got its stop signal, or exited by itself; if the app was not started, when the phase leftovers began
	killAt       time.Time      // when all processes get SIGKILL
	signal       syscall.Signal // the signal for the roots (usher's own children)
	appSignalled bool           // the app got its stop signal
	handledAt    time.Time      // when an interrupted hook exited after it had handled SIGTERM; it may have signalled its children, so usher does not signal them at once
	called       bool           // the last call has been made: SIGTERM to every process that had not been signalled
	appCaught    bool           // the app had a handler for its stop signal

	// groupSignalled: the app's group got the stop signal, but /proc could not be read in
	// time, so the map signalled does not contain the group's processes.
	groupSignalled bool

	before    map[procID]bool      // usher's children just before the app got its stop signal; if such a child is a leftover, it is signalled at once
	signalled map[procID]bool      // processes that got a signal to stop them
	parents   map[procID]int       // the pid of each process's parent, before the process became a child of usher
	due       map[procID]time.Time // when each root (child of usher) is signalled
	caught    map[procID]bool      // whether the process had a handler for the stop signal when the app got that signal
}

const (
	// The last call (SIGTERM to every process that has not been signalled) is made after this
	// fraction of the time from beganAt to killAt.
	lastCallNum, lastCallDen = 4, 5
	// stopScanTime bounds the scan of /proc before the stop signal, because the scan
	// delays that signal. Without --grace it bounds the only scan, which delays usher's exit.
	stopScanTime = 100 * time.Millisecond
	// scanPauseFactor bounds the CPU time of scans of /proc. Every exit causes a new scan,
	// and there may be thousands of exits. So after an exit usher first waits for the
	// duration of the last scan times scanPauseFactor.
	scanPauseFactor = 10
	// reraiseTime is the delay from the app's exit to the signal for the app's children, if
	// the app had a handler for the stop signal and was killed by that signal nevertheless.
	// Such an app may have signalled its children, reset the handler and raised the signal
	// again. A child that got the signal may remove its own handler in that time. If so,
	// usher knows that the child got the signal, and does not signal it again.
	reraiseTime = 100 * time.Millisecond
)

func (l *leftovers) begin(beganAt, killAt time.Time, sig syscall.Signal) {
	l.beganAt, l.killAt, l.signal = beganAt, killAt, sig
}

func (l *leftovers) lastCallAt() time.Time {
	return l.beganAt.Add(l.killAt.Sub(l.beganAt) * lastCallNum / lastCallDen)
}

func (s *supervisor) lastCallLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, s.leftovers.lastCallAt())
}

// processScan is the result of one scan of /proc.
type processScan struct {
	procs  []proc
	ok     bool // false: /proc does not show usher's processes, or the scan timed out
	reaped int  // loop.reaped when the scan began
	took   time.Duration
}

// scanProcesses lists the processes that usher may have to stop (kernel.listProcesses). It
// reads /proc in a goroutine, because reading it is slow with thousands of processes. The
// list omits usher's running commands, and processes that were reaped during the scan.
func (s *supervisor) scanProcesses(ctx context.Context) processScan {
	scan := processScan{reaped: s.loop.reaped}
	began := time.Now()
	var procs []proc
	var ok bool
	run := s.loop.sys.listProcesses(ctx)
	j := s.loop.spawn(func() error { procs, ok = run(); return nil })
	if s.loop.until(ctx, j.hasEnded) != nil {
		return scan
	}
	scan.ok, scan.took = ok, time.Since(began)
	for _, p := range procs {
		owner := s.loop.owners[p.pid] != nil && p.pid != s.app.pid && p.pid != s.app.abandoned
		if r, gone := s.loop.exits[p.pid]; !owner && (!gone || r.n <= scan.reaped) {
			scan.procs = append(scan.procs, p)
		}
	}
	return scan
}

// rememberProcesses is called just before the app gets its stop signal. It records
// usher's children, the parents of the other processes, and which processes have a handler
// for the signal. With --group it records the processes of the app's group as signalled,
// because they get the signal together with the app. Without --grace it does nothing,
// because then usher signals no leftovers.
func (s *supervisor) rememberProcesses(ctx context.Context) {
	if s.cfg.Grace == 0 {
		return
	}
	s.loop.exits = map[int]reaping{}
	scanCtx, cancel := context.WithTimeout(ctx, stopScanTime)
	defer cancel()
	l := &s.leftovers
	l.before, l.signalled, l.caught = map[procID]bool{}, map[procID]bool{}, map[procID]bool{}
	scan := s.scanProcesses(scanCtx)
	groupSignalled := s.cfg.Group && s.cfg.StopSignal != NoSignal
	l.groupSignalled = groupSignalled && !scan.ok
	for _, p := range scan.procs {
		l.remember(p)
		l.caught[p.procID] = p.catches(s.stopSignal())
		if p.pid == s.app.pid {
			l.appCaught = l.caught[p.procID]
		}
		if p.own && p.pid != s.app.pid {
			l.before[p.procID] = true
		}
		if groupSignalled && p.group == s.app.pid {
			l.signalled[p.procID] = true
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

// endLeftovers stops the leftovers. Without --grace it only reports them. If usher is PID 1,
// the kernel then kills them when usher exits (pid_namespaces(7)).
func (s *supervisor) endLeftovers(ctx context.Context) {
	s.untilCommandsExit()
	if s.loop.reap(); s.loop.noChildren {
		return
	}
	if s.cfg.Grace == 0 {
		s.scanAndReport(ctx)
		return
	}
	s.enter(Leftovers)
	defer measure(&s.summary.Leftovers)()
	s.beginLeftovers()
	killCtx, cancel := context.WithDeadlineCause(ctx, s.leftovers.killAt, errShare)
	defer cancel()
	if s.signalLeftovers(killCtx); s.loop.noChildren {
		return
	}
	s.emit(Event{Kind: LeftoversKilled})
	goneCtx, cancel := s.limit(ctx, s.budget.settled())
	defer cancel()
	s.killLeftovers(goneCtx, len(s.cfg.PostStop) == 0)
}

// beginLeftovers sets killAt, the deadline of the leftovers, unless sendStopSignal has
// already set it. If a stop signal or a failure of ready or post-start began the shutdown,
// killAt is at Budget.Kill, counted from the start of the shutdown. Otherwise the leftovers
// may run for Budget.Reserve, counted from the app's exit, or from now if the app was not
// started, but at most until Budget.Kill.
func (s *supervisor) beginLeftovers() {
	l := &s.leftovers
	if s.loop.exits == nil {
		s.loop.exits = map[int]reaping{}
	}
	if !l.beganAt.IsZero() {
		l.appSignalled = s.cfg.StopSignal != NoSignal
		return
	}
	killAt := s.shutdownStart.Add(s.budget.Kill)
	begin := time.Now()
	if s.appExited() {
		begin = s.app.exited
	}
	stopped := s.stopSignalReceived() != 0 || s.reason != nil && s.app.pid != 0
	if own := begin.Add(s.budget.Reserve); !stopped && own.Before(killAt) {
		killAt = own
	}
	l.begin(begin, killAt, s.stopSignal())
}

// signalLeftovers signals each root (child of usher) when it is due, and at the last call
// every process that has not been signalled. It returns when usher has no children or when
// killCtx ends.
func (s *supervisor) signalLeftovers(killCtx context.Context) {
	l := &s.leftovers
	noChildren := func() bool { return s.loop.noChildren }
	for first := true; ; first = false {
		scan := s.scanProcesses(killCtx)
		if killCtx.Err() != nil || s.loop.noChildren {
			return
		}
		if first && s.app.pid != 0 && s.reason == nil {
			s.reportLeftovers(scan)
		}
		if !scan.ok {
			s.signalWithoutProc(killCtx)
			return
		}
		for _, p := range scan.procs {
			l.remember(p)
		}
		next := s.signalRoots(scan.procs)
		if !l.called && !time.Now().Before(l.lastCallAt()) {
			s.callAll(scan)
		} else if !l.called && l.lastCallAt().Before(next) {
			next = l.lastCallAt()
		}
		nextCtx, cancel := context.WithDeadline(killCtx, next)
		err := s.loop.until(nextCtx, func() bool { return s.loop.noChildren || s.loop.reaped != scan.reaped })
		cancel()
		if err == nil && !s.loop.noChildren {
			pauseCtx, cancel := context.WithTimeout(killCtx, scanPauseFactor*scan.took)
			s.loop.until(pauseCtx, noChildren)
			cancel()
		}
		if s.loop.noChildren {
			return
		}
	}
}

// signalRoots signals the roots (usher's own children) that are due. It returns the time at
// which the next root is due, or killAt if there is none.
func (s *supervisor) signalRoots(procs []proc) (next time.Time) {
	l := &s.leftovers
	next = l.killAt
	var names []string
	for _, p := range procs {
		if !p.own || s.isSignalled(p) || p.filter {
			continue
		}
		switch due := s.dueTime(p); {
		case !due.After(time.Now()) && l.caught[p.procID] && !p.catches(l.signal):
			l.signalled[p.procID] = true // when the app got its stop signal, the process had a handler; it has none now, so it must have got the signal from the app (see reraiseTime)
		case !due.After(time.Now()):
			names = s.signalLeftover(p, l.signal, names)
		case due.Before(next):
			next = due
		}
	}
	if len(names) > 0 {
		s.emit(Event{Kind: LeftoversSignalled, Signal: l.signal, Names: names, Count: len(names)})
	}
	return next
}

// isSignalled reports whether a process has got a signal to stop it: as a leftover, with the
// app's group, or with the group of a hook's or probe's command. Such a group gets SIGTERM
// and soon after it SIGKILL, so its processes need no further signal.
func (s *supervisor) isSignalled(p proc) bool {
	l := &s.leftovers
	return l.signalled[p.procID] || l.groupSignalled && p.group == s.app.pid || s.loop.isEnding(p.group)
}

// dueTime returns the time at which a root (a child of usher) is signalled. It is computed
// only once, when a scan first shows the process as a root, because it depends on the exit
// of the parent, and the kernel may reuse the parent's pid.
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
	case !l.appSignalled:
		return atOnce
	case s.app.exit.Signal == l.signal && l.appCaught:
		return s.app.exited.Add(reraiseTime)
	case s.app.exit.Signal == l.signal:
		return atOnce
	}
	return later(s.app.exited)
}

// signalLeftover signals p and appends its name to names. Then it sends SIGCONT, because
// a stopped process handles only SIGKILL until it is continued.
func (s *supervisor) signalLeftover(p proc, sig syscall.Signal, names []string) []string {
	if s.leftovers.signalled == nil {
		s.leftovers.signalled = map[procID]bool{}
	}
	s.leftovers.signalled[p.procID] = true
	switch err := s.loop.sys.kill(p.pid, sig); err {
	case nil:
	case syscall.ESRCH: // the process has just exited
		return names
	default:
		s.emit(Event{Kind: SignalFailed, PID: p.pid, Name: p.name, Signal: sig, Err: err})
		return names
	}
	s.loop.sys.kill(p.pid, syscall.SIGCONT)
	return append(names, p.name)
}

// lastCall sends SIGTERM to every process that has not been signalled yet, while the app is
// still running (step 3 of leftovers). If the app exits during the scan, signalLeftovers
// makes the last call instead.
func (s *supervisor) lastCall(killCtx context.Context) {
	if scan := s.scanProcesses(killCtx); scan.ok && !s.appExited() {
		s.callAll(scan)
	}
}

// callAll makes the last call: it sends SIGTERM to every process that has not been
// signalled. With thousands of processes that takes long, so callAll lets the loop
// handle other events after every reapAtOnce processes, and stops at killAt.
func (s *supervisor) callAll(scan processScan) {
	l := &s.leftovers
	l.called = true
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var names []string
	for i, p := range scan.procs {
		if i%reapAtOnce == reapAtOnce-1 {
			s.loop.until(ended, never)
		}
		if !time.Now().Before(l.killAt) {
			break
		}
		if r, gone := s.loop.exits[p.pid]; gone && r.n > scan.reaped || s.isSignalled(p) || p.pid == s.app.pid && !s.appExited() {
			continue
		}
		names = s.signalLeftover(p, syscall.SIGTERM, names)
	}
	if len(names) > 0 {
		s.emit(Event{Kind: LastCall, Signal: syscall.SIGTERM, Names: names, Count: len(names)})
	}
}

// signalWithoutProc is called if /proc cannot be read. It waits for the time at which usher
// would signal its own children if it knew them. It then signals all processes that usher
// can reach, and waits until usher has no children or killCtx ends. If the app's group has
// already got the stop signal (--group), signalWithoutProc signals no process, because
// signalAll would signal that group a second time.
func (s *supervisor) signalWithoutProc(killCtx context.Context) {
	l := &s.leftovers
	noChildren := func() bool { return s.loop.noChildren }
	dueCtx, cancel := context.WithDeadline(killCtx, s.firstDue(proc{}))
	defer cancel()
	if s.loop.until(dueCtx, noChildren) == nil {
		return
	}
	if killCtx.Err() == nil && !(s.cfg.Group && l.appSignalled) {
		s.loop.sys.signalAll(l.signal)
		s.loop.sys.signalAll(syscall.SIGCONT)
		s.emit(Event{Kind: LeftoversSignalled, Signal: l.signal, Count: -1})
	}
	s.loop.until(killCtx, noChildren)
}

// scanAndReport is called without --grace. It reports the processes that are still running,
// because usher does not stop them. If usher is PID 1, the kernel kills them when usher exits.
func (s *supervisor) scanAndReport(ctx context.Context) {
	if s.app.pid == 0 {
		return
	}
	scanCtx, cancel := context.WithTimeout(ctx, stopScanTime)
	defer cancel()
	s.reportLeftovers(s.scanProcesses(scanCtx))
}

// reportLeftovers reports the processes that the app has left running. It omits the
// processes of commands that usher has terminated, because the app has not started them
// and they may still need some time to exit.
func (s *supervisor) reportLeftovers(scan processScan) {
	e := Event{Kind: LeftoversFound, Count: -1}
	if scan.ok {
		e.Count = 0
		for _, p := range scan.procs {
			if !s.loop.isEnding(p.group) {
				e.Names = append(e.Names, p.name)
				e.Count++
			}
		}
	}
	if e.Count != 0 { // if Count is 0, only zombies and usher's own commands are left
		s.emit(e)
	}
}

// untilCommandsExit waits at most cancelTime for usher's own commands, to which usher has
// already sent SIGTERM or SIGKILL. Otherwise a command that is still running, for example a
// probe of a Ready target, would be reported as a leftover of the app.
func (s *supervisor) untilCommandsExit() {
	ctx, cancel := context.WithTimeout(context.Background(), s.cancelTime())
	defer cancel()
	s.loop.until(ctx, func() bool { return !s.loop.commandsLeft() })
}

// killOthers sends SIGKILL: as PID 1 to all other processes, as a subreaper to usher's
// children or, if thorough is set, to all descendants, and without a usable /proc to the
// app's process group. A subreaper must search /proc for these processes, which can take
// long, so it searches and kills in a goroutine. The job that killOthers returns ends with
// that goroutine.
func (s *supervisor) killOthers(thorough bool) *job {
	run := s.loop.sys.killOthers(thorough)
	return s.loop.spawn(func() error { run(); return nil })
}

const (
	// subreaperKillTime is the time that a subreaper has to find and kill its descendants
	// and to wait for their exits, if no post-stop hook follows. There may be thousands of
	// descendants.
	subreaperKillTime = 700 * time.Millisecond
	// subreaperWait is the time that a subreaper waits for an exit after it has sent
	// SIGKILL. If no process exits in that time, the next round searches all descendants
	// and waits twice as long.
	subreaperWait = 50 * time.Millisecond
)

// killLeftovers sends SIGKILL to all leftovers and waits until they have been reaped or
// ctx ends. PID 1 sends SIGKILL only once, because the kernel kills all other processes
// when PID 1 exits. A subreaper must kill and reap all of them itself. atEnd means that
// no post-stop hook follows. In that case a subreaper has subreaperKillTime instead of the
// time until ctx ends, because a process on a busy machine needs some time to exit.
func (s *supervisor) killLeftovers(ctx context.Context, atEnd bool) {
	if s.pid1 {
		s.killOthers(false)
		s.loop.until(ctx, func() bool { return s.loop.noChildren })
		return
	}
	if atEnd {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.Background(), subreaperKillTime)
		defer cancel()
	}
	wait, thorough := subreaperWait, false
	for !s.loop.noChildren && ctx.Err() == nil {
		if exits := s.killRound(ctx, thorough, wait); exits {
			wait, thorough = subreaperWait, false
		} else {
			wait, thorough = 2*wait, true
		}
	}
}

// killRound kills the processes that killOthers finds, and waits up to the duration wait for an
// exit. It reports whether any process has exited. If so, another round is needed, because the
// children of that process, which killOthers may not have found, are now children of usher.
func (s *supervisor) killRound(ctx context.Context, thorough bool, wait time.Duration) (exits bool) {
	reaped := s.loop.reaped
	j := s.killOthers(thorough)
	// Wait for killOthers to end even if no children are left, because otherwise it could
	// find and kill a hook that usher starts next.
	if s.loop.until(ctx, j.hasEnded) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	s.loop.until(ctx, func() bool { return s.loop.noChildren || s.loop.reaped != reaped })
	return s.loop.reaped != reaped
}
