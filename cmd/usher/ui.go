package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

// Every line that usher prints is in this file. The rules: "usher: " in front,
// lower case, one fact a line, no full stop; what to do about it after a colon.
// A secret cannot get here: targets come with a name that holds none, and
// nothing else of theirs is printed.

type ui struct {
	log   *slog.Logger
	plain bool
	out   *printer
	least slog.Level
	app   string
	grace time.Duration
	live  *live // nil where progress is told in lines
	last  lastWords
}

func newUI(out *printer, o options) *ui {
	u := &ui{out: out, plain: !o.json, least: slog.LevelWarn, grace: o.config.Grace, last: lastWords{path: o.terminationLog}}
	if len(o.config.Command) > 0 {
		u.app = path.Base(o.config.Command[0])
	}
	switch {
	case o.quiet:
		u.least = slog.LevelError
	case o.verbose:
		u.least = slog.LevelDebug
	case hasDuties(&o.config) || o.install != "":
		u.least = slog.LevelInfo
	}
	if u.plain && u.least == slog.LevelInfo && out.isTerminal() {
		u.live = &live{out: out}
	}
	u.log = slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return u
}

// hasDuties reports whether usher is asked for more than an init does: only then
// does it speak of what goes well. The terminal is the app's.
func hasDuties(c *supervisor.Config) bool {
	targets := len(c.Wait) + len(c.PreStart) + len(c.Ready) + len(c.PostStart) + len(c.Drain) + len(c.PostStop)
	return targets > 0 || c.Grace > 0 || c.Readiness != nil
}

func (u *ui) say(level slog.Level, text string, attrs ...slog.Attr) {
	if level == slog.LevelError {
		u.last.add(text) // every line of this level is a decision of usher's own
	}
	switch {
	case level < u.least:
	case u.plain:
		u.out.Write([]byte("usher: " + strings.ReplaceAll(text, "\n", " ") + "\n"))
	default:
		u.log.LogAttrs(context.Background(), level, text, attrs...)
	}
}

// listening tells where the platform's probes are answered.
func (u *ui) listening(address string) {
	u.say(slog.LevelInfo, "health: /livez and /readyz on "+address, slog.String("address", address))
}

// installed tells what has come of --install, and gives the exit status.
func (u *ui) installed(path string, err error) int {
	if err != nil {
		u.say(slog.LevelError, "install: "+err.Error())
		return supervisor.CodeFault
	}
	u.say(slog.LevelInfo, "installed "+path)
	return 0
}

// probed tells each no of --probe, a line each, and gives the exit status.
func (u *ui) probed(err error) int {
	if stop := (supervisor.StopError{}); errors.As(err, &stop) {
		u.say(slog.LevelError, err.Error())
		return supervisor.Exit{Signal: stop.Signal}.Code()
	}
	if err == nil {
		return 0
	}
	for _, no := range strings.Split(err.Error(), "\n") {
		u.say(slog.LevelError, "probe: "+no)
	}
	return 1
}

// unable tells what usher lacks to run at all, and gives the exit status.
func (u *ui) unable(err error) int {
	u.say(slog.LevelError, "error: "+err.Error())
	return supervisor.CodeFault
}

// mistakes prints what is wrong with the command line, a line each.
func (u *ui) mistakes(err error) {
	all := []error{err}
	if several := (*multierror.Error)(nil); errors.As(err, &several) {
		all = several.Errors
	}
	for _, err := range all {
		u.say(slog.LevelError, err.Error())
	}
	u.say(slog.LevelError, "nothing was started; usher --help shows the flags")
}

// output prints what a command of a hook printed; that of a probe, which runs
// again and again, only with --verbose. It is shown with --quiet too: the words
// are the hook's, not usher's.
func (u *ui) output(l supervisor.Line) {
	probe := l.Phase == supervisor.Wait || l.Phase == supervisor.Ready || l.Phase == supervisor.Idle
	if probe && u.least > slog.LevelDebug {
		return
	}
	if u.plain {
		line := make([]byte, 0, len(l.Text)+64)
		line = fmt.Appendf(line, "usher: %v %s| ", l.Phase, l.Name)
		u.out.Write(append(append(line, strings.TrimSuffix(string(l.Text), "\r")...), '\n'))
		return
	}
	u.log.LogAttrs(context.Background(), slog.LevelInfo, string(l.Text),
		slog.String("phase", l.Phase.String()), slog.String("output_of", l.Name))
}

func (u *ui) observe(e supervisor.Event) {
	level, text := u.line(e)
	if u.live != nil {
		u.live.observe(e)
		if e.Kind == supervisor.WaitProgress {
			return // the live line says so all the time
		}
	}
	if text == "" || level < u.least {
		return
	}
	u.say(level, text, attrs(e)...)
	if e.Kind == supervisor.Failed {
		u.pending(e.Err)
	}
}

// line is what an event is called, and how much it matters; an empty one is not
// worth a line.
func (u *ui) line(e supervisor.Event) (slog.Level, string) {
	const debug, info, warn, fault = slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError
	switch e.Kind {
	case supervisor.Warned:
		return warn, "warning: " + e.Text
	case supervisor.Subreaper:
		return debug, "not PID 1: reaping the orphans among my own descendants as a subreaper"

	case supervisor.TargetTried:
		return debug, fmt.Sprintf("%v: %s: attempt %d: %s", e.Phase, e.Target.Name, e.Attempts, orYes(e.Err))
	case supervisor.TargetReady:
		return info, fmt.Sprintf("%v: %s says yes after %s, %s", e.Phase, e.Target.Name, span(e.Took), count(e.Attempts, "attempt"))
	case supervisor.TargetGivenUp:
		return warn, fmt.Sprintf("%v: %s is optional and given up after %s, %s: %v", e.Phase, e.Target.Name, span(e.Took), count(e.Attempts, "attempt"), e.Err)
	case supervisor.WaitProgress:
		return info, fmt.Sprintf("%v: after %s still waiting for %s", e.Phase, span(e.Took), list(e.Pending))

	case supervisor.HookStarted:
		return debug, fmt.Sprintf("%v: %s begins", e.Phase, e.Target.Name)
	case supervisor.HookEnded:
		// On the way up a failure is told in full as the reason of the end.
		starting := e.Phase == supervisor.PreStart || e.Phase == supervisor.PostStart
		if starting && e.Err != nil && !errors.As(e.Err, new(supervisor.StopError)) {
			return debug, fmt.Sprintf("%v: %s failed after %s: %v", e.Phase, e.Target.Name, span(e.Took), e.Err)
		}
		if e.Err != nil {
			return warn, fmt.Sprintf("%v: %s failed after %s: %v", e.Phase, e.Target.Name, span(e.Took), e.Err)
		}
		return info, fmt.Sprintf("%v: %s done in %s", e.Phase, e.Target.Name, span(e.Took))
	case supervisor.HookSkipped:
		return warn, fmt.Sprintf("%v: %s skipped", e.Phase, e.Target.Name)

	case supervisor.AppStarted:
		return info, fmt.Sprintf("start: %s runs as pid %d", u.app, e.PID)
	case supervisor.AppReplaces:
		return info, fmt.Sprintf("start: %s takes usher's place as pid %d", u.app, e.PID)
	case supervisor.AppEnded:
		return debug, fmt.Sprintf("%v: %s %v after %s", e.Phase, u.app, e.Exit, span(e.Took))
	case supervisor.OutOfMemory:
		return u.outOfMemory(e)
	case supervisor.ReadinessChanged:
		if e.Err != nil {
			return warn, "no longer ready: " + e.Err.Error()
		}
		return info, "ready again"
	case supervisor.StopRequested:
		if u.grace > 0 {
			return info, fmt.Sprintf("%s in %v: the end begins, %s at most", signals.Name(e.Signal), e.Phase, span(u.grace))
		}
		return info, fmt.Sprintf("%s in %v: the end begins", signals.Name(e.Signal), e.Phase)
	case supervisor.Failed:
		return fault, failure(e.Err)

	case supervisor.DelayStarted:
		return info, fmt.Sprintf("drain: %s goes on serving for %s", u.app, span(e.Took))
	case supervisor.DelayEnded:
		return debug, fmt.Sprintf("drain: the delay ended after %s", span(e.Took))
	case supervisor.QuietStarted:
		return info, fmt.Sprintf("drain: %s goes on serving until nobody has been connected for %s", u.app, span(e.Took))
	case supervisor.QuietEnded:
		if e.Err != nil && e.Count > 0 {
			return warn, fmt.Sprintf("drain: %s still open after %s: %v", count(e.Count, "connection"), span(e.Took), e.Err)
		}
		return info, fmt.Sprintf("drain: quiet after %s", span(e.Took))
	case supervisor.AppSignalled:
		return info, fmt.Sprintf("stop: %s to %s%s", signals.Name(e.Signal), u.app, because(e.Err))
	case supervisor.DeadlineKill:
		return fault, fmt.Sprintf("stop: SIGKILL to %s, which did not end within %s", u.app, span(e.Took))
	case supervisor.ShellHint:
		return warn, fmt.Sprintf("stop: %s is a shell and may not pass its signal on: end its script with exec, or use --group", u.app)
	case supervisor.StopOnHint:
		return warn, fmt.Sprintf("%s ended after %s, which went to it without a drain: if that was the stop, say --stop-on %s",
			u.app, signals.Name(e.Signal), strings.TrimPrefix(signals.Name(e.Signal), "SIG"))

	case supervisor.LeftBehind:
		return warn, fmt.Sprintf("%s left behind: run it in the foreground", processes(e.Count))
	case supervisor.LeftoversFound:
		return info, fmt.Sprintf("leftovers: SIGTERM to %s", processes(e.Count))
	case supervisor.LeftoversKilled:
		return warn, "leftovers: SIGKILL to what did not end"
	case supervisor.Ended:
		return info, u.account(e.Account)
	}
	return u.signalLine(e)
}

func (u *ui) signalLine(e supervisor.Event) (slog.Level, string) {
	name := signals.Name(e.Signal)
	switch e.Kind {
	case supervisor.SignalForwarded:
		sent := ""
		if e.Sent != e.Signal {
			sent = " as " + signals.Name(e.Sent)
		}
		return slog.LevelDebug, fmt.Sprintf("%v: %s passed on to %s%s%s", e.Phase, name, u.app, sent, because(e.Err))
	case supervisor.SignalDropped:
		return slog.LevelDebug, fmt.Sprintf("%v: %s dropped, as --rewrite says", e.Phase, name)
	case supervisor.SignalKept:
		return slog.LevelDebug, fmt.Sprintf("%v: %s kept for %s", e.Phase, name, u.app)
	case supervisor.SignalIgnored:
		if e.Phase == supervisor.Drain {
			return slog.LevelInfo, fmt.Sprintf("drain: %s again: nothing changes (SIGINT hurries)", name)
		}
		return slog.LevelDebug, fmt.Sprintf("%v: %s comes too late for %s", e.Phase, name, u.app)
	case supervisor.Hurried:
		return slog.LevelInfo, "drain: SIGINT: the rest is skipped"
	case supervisor.OrphanReaped:
		return slog.LevelDebug, fmt.Sprintf("%v: orphan %d %v", e.Phase, e.PID, e.Exit)
	}
	return slog.LevelDebug, ""
}

// outOfMemory says what the kernel has killed, and with which limit. It is the
// reason of the app's end if that was killed, or if it is a shell that reports
// this of its child; else it is most likely the cause.
func (u *ui) outOfMemory(e supervisor.Event) (slog.Level, string) {
	limit := "the container has no memory limit: the machine, or a cgroup above, ran out"
	if e.Limit > 0 {
		limit = "the container's limit is " + formatBytes(e.Limit)
	}
	killed := supervisor.Exit{Signal: syscall.SIGKILL}
	switch {
	case e.Exit == killed:
		return slog.LevelError, fmt.Sprintf("error: %s was killed by SIGKILL: out of memory (%s)", u.app, limit)
	case e.Exit.Code() == killed.Code():
		return slog.LevelError, fmt.Sprintf("error: %s %v: the kernel killed %s for lack of memory (%s)", u.app, e.Exit, processes(e.Count), limit)
	}
	return slog.LevelWarn, fmt.Sprintf("warning: the kernel killed %s for lack of memory (%s)", processes(e.Count), limit)
}

// formatBytes is a size as a memory limit is written: 64 MiB, 1.5 GiB.
func formatBytes(n int64) string {
	size, unit := float64(n)/(1<<20), "MiB"
	if n >= 1<<30 {
		size, unit = size/(1<<10), "GiB"
	}
	return strings.TrimSuffix(strconv.FormatFloat(size, 'f', 1, 64), ".0") + " " + unit
}

// failure says what usher itself decided; the targets of a failed wait follow in
// lines of their own.
func failure(err error) string {
	var pending *probes.PendingError
	var phase *supervisor.PhaseError
	switch {
	case errors.As(err, &pending):
		errors.As(err, &phase)
		return fmt.Sprintf("%v: %v, %s pending", phase.Phase, pending.Cause, count(len(pending.Pending), "target"))
	case errors.As(err, &phase) && phase.Phase == supervisor.Start:
		return phase.Err.Error()
	}
	return err.Error()
}

// pending names each target that a failed wait was still waiting for.
func (u *ui) pending(err error) {
	all, phase := (*probes.PendingError)(nil), (*supervisor.PhaseError)(nil)
	if !errors.As(err, &all) || !errors.As(err, &phase) {
		return
	}
	for _, s := range all.Pending {
		text := fmt.Sprintf("pending: %s: %s, %s in %s", s.Target.Name, lastError(s), count(s.Attempts, "attempt"), span(s.Since))
		attrs := []slog.Attr{slog.String("phase", phase.Phase.String()), slog.String("target", s.Target.Name), slog.Int("attempts", s.Attempts),
			slog.Float64("seconds", s.Since.Seconds()), slog.String("error", lastError(s))}
		if hint := u.hint(s); hint != "" {
			text += ": " + hint
			attrs = append(attrs, slog.String("hint", hint))
		}
		u.say(slog.LevelError, text, attrs...)
	}
}

// hint is what to look at first, where there is a usual cause.
func (u *ui) hint(s probes.Status) string {
	start := (*supervisor.StartError)(nil)
	switch started := !errors.As(s.Last, &start); {
	case !started && start.NotFound && !strings.Contains(start.Name, "/"):
		return "is it a command? A port is written tcp://HOST:PORT"
	case s.Target.Kind == "command" && s.Last != nil && started && u.least > slog.LevelDebug:
		return "--verbose shows what it prints"
	}
	return probes.Hint(s.Last)
}

// live is the one line by which a person at a terminal sees what a wait is still
// waiting for, and why.
type live struct {
	out     *printer
	pending []probes.Status
	shown   time.Duration // the moment of the life at which the line was last drawn
}

// livePause is how long a line stays at the least: nobody reads faster.
const livePause = 100 * time.Millisecond

func (v *live) observe(e supervisor.Event) {
	switch {
	case e.Phase != supervisor.Wait || e.Kind == supervisor.Failed || e.Kind == supervisor.StopRequested:
		v.pending = nil
	case e.Kind == supervisor.TargetReady || e.Kind == supervisor.TargetGivenUp:
		v.pending = slices.DeleteFunc(v.pending, func(s probes.Status) bool { return s.Target == e.Target })
	case e.Kind == supervisor.TargetTried && e.Err != nil:
		v.remember(probes.Status{Target: e.Target, Attempts: e.Attempts, Last: e.Err})
		if v.shown > 0 && e.At-v.shown < livePause {
			return
		}
	default:
		return
	}
	if len(v.pending) == 0 {
		if v.shown > 0 {
			v.out.showLive("")
		}
		v.shown = 0
		return
	}
	v.shown = e.At
	v.out.showLive(fmt.Sprintf("usher: wait: %s for %s", e.At.Round(livePause), list(v.pending)))
}

func (v *live) remember(s probes.Status) {
	i := slices.IndexFunc(v.pending, func(p probes.Status) bool { return p.Target == s.Target })
	if i < 0 {
		v.pending = append(v.pending, s)
		return
	}
	v.pending[i] = s
}

// list is what is pending, in one line.
func list(pending []probes.Status) string {
	var all []string
	for _, s := range pending {
		all = append(all, fmt.Sprintf("%s (%v, %s)", s.Target.Name, lastError(s), count(s.Attempts, "attempt")))
	}
	return strings.Join(all, ", ")
}

func lastError(s probes.Status) string {
	if s.Last == nil {
		return "no answer yet"
	}
	return s.Last.Error()
}

// account is the last line: the whole life.
func (u *ui) account(a *supervisor.Account) string {
	var b strings.Builder
	switch stop := (supervisor.StopError{}); {
	case a.Started:
		fmt.Fprintf(&b, "app %v after %s", a.App, span(a.Life))
	case errors.As(a.Why, &stop):
		fmt.Fprintf(&b, "stopped by %s before the app was started", signals.Name(stop.Signal))
	case a.Why != nil:
		b.WriteString("the app was not started")
	default:
		b.WriteString("everything waited for has said yes")
	}
	if a.Started && a.Code != a.App.Code() {
		fmt.Fprintf(&b, ", usher exits %d", a.Code)
	}
	var parts []string
	for _, p := range []struct {
		name string
		took time.Duration
	}{{"drain", a.Drain}, {"app", a.Stop}, {"leftovers", a.Leftovers}, {"post-stop", a.PostStop}} {
		if p.took >= time.Millisecond {
			parts = append(parts, p.name+" "+span(p.took))
		}
	}
	if len(parts) > 0 {
		fmt.Fprintf(&b, "; stop took %s", span(a.End))
		if a.Grace > 0 {
			fmt.Fprintf(&b, " of %s", span(a.Grace))
		}
		b.WriteString(": " + strings.Join(parts, ", "))
	}
	return b.String()
}

// attrs are the same facts for machines; durations in seconds.
func attrs(e supervisor.Event) []slog.Attr {
	all := []slog.Attr{slog.String("phase", e.Phase.String())}
	add := func(ok bool, a slog.Attr) {
		if ok {
			all = append(all, a)
		}
	}
	if e.Target != nil {
		add(true, slog.String("target", e.Target.Name))
	}
	add(e.Attempts > 0, slog.Int("attempts", e.Attempts))
	add(e.Took > 0, slog.Float64("seconds", e.Took.Seconds()))
	add(e.PID > 0, slog.Int("pid", e.PID))
	add(e.Signal > 0, slog.String("signal", signals.Name(e.Signal)))
	add(e.Kind == supervisor.OutOfMemory, slog.Int("killed", e.Count))
	add(e.Limit > 0, slog.Int64("limit_bytes", e.Limit))
	add(e.Kind == supervisor.AppEnded || e.Kind == supervisor.OutOfMemory || e.Kind == supervisor.OrphanReaped, slog.Int("exit_code", e.Exit.Code()))
	if e.Err != nil {
		add(true, slog.String("error", e.Err.Error()))
	}
	if a := e.Account; a != nil {
		add(true, slog.Int("exit_code", a.Code))
		add(a.Started, slog.Float64("life_seconds", a.Life.Seconds()))
		add(true, slog.Float64("end_seconds", a.End.Seconds()))
		for _, part := range []struct {
			name string
			time.Duration
		}{{"grace_seconds", a.Grace}, {"drain_seconds", a.Drain}, {"app_seconds", a.Stop},
			{"leftovers_seconds", a.Leftovers}, {"post_stop_seconds", a.PostStop}} {
			add(part.Duration > 0, slog.Float64(part.name, part.Seconds()))
		}
	}
	return all
}

func orYes(err error) string {
	if err == nil {
		return "yes"
	}
	return err.Error()
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ", in vain: " + err.Error()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func processes(n int) string {
	switch {
	case n < 0:
		return "other processes"
	case n == 1:
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

// span is a duration as a person says it: 4ms, 0.7s, 25s, 3m20s, 3h2m.
func span(d time.Duration) string {
	switch {
	case d%time.Second == 0 && d < time.Minute:
		return d.String()
	case d < 100*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Minute)
	}
	if d%time.Minute == 0 {
		return strings.TrimSuffix(d.String(), "0s")
	}
	return d.String()
}
