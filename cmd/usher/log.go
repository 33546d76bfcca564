package main

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"github.com/usher-init/usher/probes"
	"github.com/usher-init/usher/signals"
	"github.com/usher-init/usher/supervisor"
)

// Every line of usher's log, except the error that reportTooFew prints, has a row in logRows.
// The rules:
//
//	usher: [warning: |error: ][phase: ]fact
//
// Lower case, one fact per line, no full stop. A hint for the user comes last, in
// parentheses. With --log json a line is a JSON object: msg is the same text without
// "usher: " and the level, event is the name of the event, and the facts are fields.
//
// A line that a hook or a probe's command has printed is logged as it is: as text after
// "usher: PHASE TARGET| ", in JSON as msg. No other line contains a secret. A target is
// printed by its name only. Package probes makes names and errors without secrets.
//
// To add an event, add a constant to supervisor/event.go and a row here, then run
// make docs.

// logRow defines how an event is logged.
type logRow struct {
	kind  supervisor.Kind
	when  func(e *supervisor.Event) bool // condition; nil: none. The first row whose kind and condition match is used.
	level slog.Level
	event string // name in JSON records, which must never change; "": the event is not logged
	text  string // {name} stands for the value of a field, {name noun} for a number and the noun, in the plural if needed
	more  string // names of further fields in JSON records; "name?": only some records have the field
	hint  func(l *logger, e *supervisor.Event) string
}

// Events of this package, in addition to the events of package supervisor. The comments
// list the fields of supervisor.Event that are set.
const (
	usageError supervisor.Kind = -1 - iota // fields: Err
	notStarted
	healthListening // fields: Text (the address)
	installed       // fields: Text (the path)
	installFailed   // fields: Err
	probeFailed     // fields: Err
	targetPending   // fields: Phase, Target, Attempts, Took, Err, Text (the hint)
	hookLine        // fields: Phase, Target; hookOutput adds the text of the line
	linesDropped    // fields: Count, Err
	limitTooLow     // fields: Err
	notifyFailed    // fields: Err
)

const (
	levelDebug   = slog.LevelDebug
	levelInfo    = slog.LevelInfo
	levelWarning = slog.LevelWarn
	levelError   = slog.LevelError
)

var logRows = []logRow{
	{kind: supervisor.Entered},
	{kind: supervisor.Warned, level: levelWarning, event: "warning", text: "{text}"},
	{kind: supervisor.Subreaper, level: levelDebug, event: "subreaper", text: "not PID 1: reaping orphaned descendants as a subreaper"},

	// Probes.
	{kind: supervisor.TargetTried, when: failed, level: levelDebug, event: "attempt_failed", text: "{phase}: {target}: attempt {attempts} failed: {error}"},
	{kind: supervisor.TargetTried, level: levelDebug, event: "attempt_succeeded", text: "{phase}: {target}: attempt {attempts} succeeded"},
	{kind: supervisor.TargetReady, level: levelInfo, event: "target_ready", text: "{phase}: {target} is ready after {seconds} ({attempts attempt})"},
	{kind: supervisor.TargetSkipped, level: levelWarning, event: "target_skipped", text: "{phase}: optional {target} not ready after {seconds}, continuing: {error} ({attempts attempt})"},
	{kind: supervisor.WaitProgress, level: levelInfo, event: "wait_progress", text: "{phase}: still waiting after {seconds}: {pending}"},
	{kind: targetPending, level: levelError, event: "target_pending", text: "{phase}: {target} is not ready after {seconds} ({attempts attempt}): {error}",
		hint: func(_ *logger, e *supervisor.Event) string { return e.Text }},
	{kind: supervisor.ReadinessChanged, when: failed, level: levelWarning, event: "readiness_lost", text: "{app} is no longer ready: {error}"},
	{kind: supervisor.ReadinessChanged, level: levelInfo, event: "readiness_restored", text: "{app} is ready again"},

	// Hooks.
	{kind: supervisor.HookStarted, level: levelDebug, event: "hook_started", text: "{phase}: hook {target} started"},
	{kind: supervisor.HookFinished, when: interruptedAndFailed, level: levelInfo, event: "interrupted_hook_finished", text: "{phase}: interrupted hook {target} finished after {seconds}: {error}"},
	{kind: supervisor.HookFinished, when: interrupted, level: levelInfo, event: "interrupted_hook_finished", text: "{phase}: interrupted hook {target} finished after {seconds}"},
	// During the startup, a failed hook is logged with the level debug, because
	// startup_failed reports the same error.
	{kind: supervisor.HookFinished, when: failedInStartup, level: levelDebug, event: "hook_failed", text: "{phase}: hook {target} failed after {seconds}: {error}"},
	{kind: supervisor.HookFinished, when: failed, level: levelWarning, event: "hook_failed", text: "{phase}: hook {target} failed after {seconds}: {error}"},
	{kind: supervisor.HookFinished, level: levelInfo, event: "hook_finished", text: "{phase}: hook {target} finished in {seconds}"},
	{kind: supervisor.HookInterrupted, when: hasLimit, level: levelInfo, event: "hook_interrupted", text: "{phase}: sent {signal} to hook {target}, waiting up to {limit_seconds} for it to exit"},
	{kind: supervisor.HookInterrupted, level: levelInfo, event: "hook_interrupted", text: "{phase}: sent {signal} to hook {target}, waiting for it to exit (no time limit)"},
	{kind: supervisor.HookSkipped, level: levelWarning, event: "hook_skipped", text: "{phase}: hook {target} skipped, {error}"},
	{kind: hookLine, level: levelInfo, event: "hook_output", text: "{phase} {target}| {line}"},

	// The app.
	{kind: supervisor.AppStarted, level: levelInfo, event: "app_started", text: "{phase}: {app} started, pid {pid}"},
	{kind: supervisor.AppExec, level: levelInfo, event: "app_exec", text: "{phase}: executing {app} in place of usher, pid {pid}"},
	{kind: supervisor.AppExited, when: killed, level: levelDebug, event: "app_exited", text: "{phase}: {app} was killed by {signal} after {seconds}", more: "exit_code pid"},
	{kind: supervisor.AppExited, level: levelDebug, event: "app_exited", text: "{phase}: {app} exited {exit_code} after {seconds}", more: "pid"},
	{kind: supervisor.OutOfMemory, when: killedBySIGKILL, level: levelError, event: "out_of_memory", text: "{app} was killed by SIGKILL: out of memory", more: "count exit_code limit_bytes?", hint: memoryHint},
	{kind: supervisor.OutOfMemory, when: exited137, level: levelError, event: "out_of_memory", text: "{app} exited {exit_code}: the kernel killed {count process} for lack of memory", more: "limit_bytes?", hint: memoryHint},
	{kind: supervisor.OutOfMemory, level: levelWarning, event: "out_of_memory", text: "the kernel killed {count process} for lack of memory", more: "exit_code limit_bytes?", hint: memoryHint},
	{kind: supervisor.OrphanReaped, when: killed, level: levelDebug, event: "orphan_reaped", text: "{phase}: reaped orphan {pid}, killed by {signal}", more: "exit_code"},
	{kind: supervisor.OrphanReaped, level: levelDebug, event: "orphan_reaped", text: "{phase}: reaped orphan {pid}, exited {exit_code}"},

	// The shutdown.
	{kind: supervisor.StopRequested, level: levelInfo, event: "shutdown_started", text: "received {signal}, shutting down{deadline}", more: "grace_seconds?"},
	{kind: supervisor.StartupFailed, when: inStart, level: levelError, event: "startup_failed", text: "{error}"},
	{kind: supervisor.StartupFailed, when: targetsPending, level: levelError, event: "startup_failed", text: "{phase}: {error}, {count target} pending"},
	{kind: supervisor.StartupFailed, level: levelError, event: "startup_failed", text: "{phase}: {error}"},
	{kind: supervisor.DelayStarted, level: levelInfo, event: "drain_delay_started", text: "{phase}: {app} keeps serving for {limit_seconds}"},
	{kind: supervisor.DelayFinished, level: levelDebug, event: "drain_delay_finished", text: "{phase}: delay finished after {seconds}"},
	{kind: supervisor.IdlePortsUnknown, level: levelWarning, event: "drain_ports_unknown", text: "{phase}: waiting for the clients of all ports, because the ports of {app} are unknown: {error}", hint: portsHint},
	{kind: supervisor.IdleBytesUnknown, level: levelWarning, event: "drain_bytes_unknown", text: "{phase}: waiting until no client is connected, because the kernel does not count the bytes of connections"},
	{kind: supervisor.IdleOpensUnknown, level: levelWarning, event: "drain_connections_unknown", text: "{phase}: connections shorter than 0.1s are not noticed: {error}"},
	{kind: supervisor.IdleStarted, level: levelInfo, event: "drain_idle_started", text: "{phase}: {app} keeps serving until no request is open and no client has been active for {limit_seconds}"},
	{kind: supervisor.IdleFinished, when: notIdle, level: levelWarning, event: "drain_not_idle", text: "{phase}: not idle after {seconds}, {count connection} waiting for an answer, {active} more active: {error}"},
	{kind: supervisor.IdleFinished, when: failed, level: levelInfo, event: "drain_idle_finished", text: "{phase}: stopped waiting for idle clients after {seconds}: {error}"},
	{kind: supervisor.IdleFinished, level: levelInfo, event: "drain_idle_finished", text: "{phase}: idle after {seconds}"},
	{kind: supervisor.DrainSkipped, level: levelInfo, event: "drain_skipped", text: "{phase}: received {signal}, skipping the rest of the drain"},
	{kind: supervisor.StopSignalSent, when: noSignal, level: levelInfo, event: "stop_without_signal", text: "{phase}: waiting for {app} to exit (--stop-signal none)"},
	{kind: supervisor.StopSignalSent, level: levelInfo, event: "stop_signal_sent", text: "{phase}: sent {signal} to {app}"},
	{kind: supervisor.ShellHint, level: levelWarning, event: "shell_hint", text: "{phase}: {app} has not exited {seconds} after its stop signal: a shell does not forward signals to its child",
		hint: func(*logger, *supervisor.Event) string { return "end the script with exec" }},
	{kind: supervisor.AppKilled, level: levelError, event: "app_killed", text: "{phase}: {app} did not exit within {seconds}, sent SIGKILL"},
	{kind: supervisor.LeftoversFound, when: countUnknown, level: levelWarning, event: "leftovers_found", text: "{app} exited and left other processes running", hint: leftoversHint},
	{kind: supervisor.LeftoversFound, level: levelWarning, event: "leftovers_found", text: "{app} exited and left {count process} running: {processes}", hint: leftoversHint},
	{kind: supervisor.LeftoversSignalled, when: countUnknown, level: levelInfo, event: "leftovers_signalled", text: "{phase}: sent {signal} to all other processes"},
	{kind: supervisor.LeftoversSignalled, level: levelInfo, event: "leftovers_signalled", text: "{phase}: sent {signal} to {count process}: {processes}"},
	{kind: supervisor.LastCall, level: levelInfo, event: "last_call", text: "{phase}: last call: sent {signal} to {count process}: {processes}"},
	{kind: supervisor.LeftoversKilled, level: levelWarning, event: "leftovers_killed", text: "{phase}: sent SIGKILL to all remaining processes"},
	{kind: supervisor.Exited, level: levelInfo, event: "exited", text: "{summary}",
		more: "exit_code app_exit_code? lifetime_seconds? shutdown_seconds grace_seconds? drain_seconds? stop_seconds? leftovers_seconds? post_stop_seconds?"},

	// Signals.
	{kind: supervisor.SignalForwarded, when: rewritten, level: levelDebug, event: "signal_forwarded", text: "forwarded {signal} to {app} as {sent}"},
	{kind: supervisor.SignalForwarded, level: levelDebug, event: "signal_forwarded", text: "forwarded {signal} to {app}", more: "sent"},
	{kind: supervisor.SignalDropped, level: levelDebug, event: "signal_dropped", text: "dropped {signal} (--rewrite)"},
	{kind: supervisor.SignalPending, level: levelDebug, event: "signal_pending", text: "received {signal}, to be forwarded once {app} has started"},
	{kind: supervisor.SignalIgnored, when: inDrain, level: levelInfo, event: "signal_ignored", text: "{phase}: repeated {signal} ignored (SIGINT skips the drain)"},
	{kind: supervisor.SignalIgnored, when: failed, level: levelDebug, event: "signal_ignored", text: "ignored {signal}, {app} has exited"},
	{kind: supervisor.SignalIgnored, level: levelDebug, event: "signal_ignored", text: "ignored {signal}, already shutting down"},
	{kind: supervisor.SignalsLost, level: levelWarning, event: "signals_lost", text: "too many signals before {app} has started: {count} will be forwarded, {signal} and later ones are lost"},
	{kind: supervisor.SignalFailed, level: levelError, event: "signal_failed", text: "{phase}: cannot send {signal} to {process} (pid {pid}): {error}", hint: signalHint},
	{kind: supervisor.StopOnHint, level: levelWarning, event: "stop_on_hint", text: "forwarded {signal} to {app} without a drain", hint: stopOnHint},

	// Errors before anything is started, messages of --health, sd_notify, --install and --probe, and
	// notices of dropped lines.
	{kind: usageError, level: levelError, event: "usage_error", text: "{error}"},
	{kind: notStarted, level: levelError, event: "not_started", text: "nothing was started",
		hint: func(*logger, *supervisor.Event) string { return "usher --help shows the flags" }},
	{kind: limitTooLow, level: levelError, event: "limit_too_low", text: "{error}"},
	{kind: healthListening, level: levelInfo, event: "health_listening", text: "listening for health checks on {address}"},
	{kind: notifyFailed, level: levelWarning, event: "notify_failed", text: "no notification of the service manager: {error}"},
	{kind: installed, level: levelInfo, event: "installed", text: "installed {path}"},
	{kind: installFailed, level: levelError, event: "install_failed", text: "install: {error}"},
	{kind: probeFailed, level: levelError, event: "probe_failed", text: "probe: {error}"},
	{kind: linesDropped, when: failed, level: levelWarning, event: "lines_dropped", text: "{count line} dropped: cannot write to stderr: {error}"},
	{kind: linesDropped, level: levelWarning, event: "lines_dropped", text: "{count line} dropped: stderr was not read fast enough"},
}

// These functions are conditions of rows: values of logRow.when.
func failed(e *supervisor.Event) bool         { return e.Err != nil }
func killed(e *supervisor.Event) bool         { return e.Exit.Signal != 0 }
func hasLimit(e *supervisor.Event) bool       { return e.Took > 0 }
func notIdle(e *supervisor.Event) bool        { return e.Err != nil && e.Count+e.Active > 0 }
func countUnknown(e *supervisor.Event) bool   { return e.Count < 0 }
func noSignal(e *supervisor.Event) bool       { return e.Signal == supervisor.NoSignal }
func rewritten(e *supervisor.Event) bool      { return e.Sent != e.Signal }
func inStart(e *supervisor.Event) bool        { return e.Phase == supervisor.Start }
func inDrain(e *supervisor.Event) bool        { return e.Phase == supervisor.Drain }
func targetsPending(e *supervisor.Event) bool { return errors.As(e.Err, new(*probes.PendingError)) }
func interrupted(e *supervisor.Event) bool {
	return errors.As(e.Err, new(*supervisor.InterruptedError))
}
func interruptedAndFailed(e *supervisor.Event) bool {
	return interrupted(e) && errorOf(e) != nil
}
func failedInStartup(e *supervisor.Event) bool {
	return e.Err != nil && (e.Phase == supervisor.PreStart || e.Phase == supervisor.PostStart)
}

func killedBySIGKILL(e *supervisor.Event) bool { return e.Exit.Signal == syscall.SIGKILL }

// exited137 reports whether the app exited with 137, that is 128 plus the number of SIGKILL.
// A shell exits with this code if SIGKILL has killed the last command of its script.
func exited137(e *supervisor.Event) bool {
	return e.Exit.Status == supervisor.Exit{Signal: syscall.SIGKILL}.Code()
}

func memoryHint(_ *logger, e *supervisor.Event) string {
	if e.Limit == 0 {
		return "the container has no memory limit: the machine or a parent cgroup ran out of memory"
	}
	return "the container's limit is " + formatBytes(e.Limit)
}

// leftoversHint suggests how to avoid leftovers. If --grace is missing, it suggests --grace
// too, because without --grace usher sends no signal to leftovers.
func leftoversHint(l *logger, _ *supervisor.Event) string {
	switch {
	case l.grace > 0:
		return "run the server in the foreground, with exec"
	case os.Getpid() == 1:
		return "the kernel kills them with PID 1: end the script with exec, or give --grace"
	}
	return "run the server in the foreground, with exec, or give --grace"
}

// signalHint explains EPERM. Without CAP_KILL, kill(2) can signal only processes with the
// same user ID.
func signalHint(_ *logger, e *supervisor.Event) string {
	if errors.Is(e.Err, syscall.EPERM) {
		return "it runs as another user: usher needs CAP_KILL"
	}
	return ""
}

// portsHint explains EACCES. Without CAP_SYS_PTRACE, the links in /proc/PID/fd can be read
// only for processes with the same user ID (proc(5)).
func portsHint(_ *logger, e *supervisor.Event) string {
	if errors.Is(e.Err, syscall.EACCES) {
		return "a process runs as another user: usher needs CAP_SYS_PTRACE"
	}
	return ""
}

func stopOnHint(_ *logger, e *supervisor.Event) string {
	return "if it is meant to stop the container, give --stop-on " + strings.TrimPrefix(signals.Name(e.Signal), "SIG")
}

// field is a fact of an event. The type of its value determines the format: formatValue
// formats the value for the text, and formatAttr for JSON.
type field struct {
	name  string
	about string // description in usher(1); "": JSON records do not have the field
	value func(l *logger, e *supervisor.Event) any
}

// logFields lists all fields, in the order of a JSON record.
var logFields = []field{
	{"text", "", func(_ *logger, e *supervisor.Event) any { return e.Text }},
	{"line", "", func(_ *logger, e *supervisor.Event) any { return e.Text }},
	{"summary", "", func(_ *logger, e *supervisor.Event) any { return formatSummary(e.Summary) }},
	{"deadline", "", func(l *logger, _ *supervisor.Event) any { return formatDeadline(l.grace) }},

	{"phase", "the phase of the timeline", func(_ *logger, e *supervisor.Event) any { return e.Phase.String() }},
	{"target", "the name of the probe or hook", func(_ *logger, e *supervisor.Event) any {
		if e.Target == nil {
			return nil
		}
		return e.Target.Name
	}},
	{"attempts", "number of attempts so far", func(_ *logger, e *supervisor.Event) any { return e.Attempts }},
	{"app", "the name of the app", func(l *logger, _ *supervisor.Event) any { return l.app }},
	{"process", "the name of the process that was to get the signal", func(l *logger, e *supervisor.Event) any { return processName(e.Name, l.app) }},
	{"pid", "the process ID", func(_ *logger, e *supervisor.Event) any { return e.PID }},
	{"signal", "the signal that was received or sent, or that killed the process", func(_ *logger, e *supervisor.Event) any {
		if e.Exit.Signal != 0 {
			return e.Exit.Signal
		}
		return e.Signal
	}},
	{"sent", "the signal that was forwarded to the app", func(_ *logger, e *supervisor.Event) any { return e.Sent }},
	{"seconds", "how long it took, or has taken so far", func(_ *logger, e *supervisor.Event) any { return e.Took }},
	{"limit_seconds", "the time limit, or the delay", func(_ *logger, e *supervisor.Event) any { return e.Took }},
	{"count", "the number of targets, connections, processes, signals or lines", func(_ *logger, e *supervisor.Event) any { return countOf(e) }},
	{"active", "the number of connections whose clients wait for nothing, but have been active within the time of --drain-idle", func(_ *logger, e *supervisor.Event) any { return e.Active }},
	{"processes", "the names of the processes, without duplicates, at most 10", func(_ *logger, e *supervisor.Event) any { return newProcessNames(e.Names) }},
	{"pending", "the targets that are not ready: an object with target, attempts and error for each", func(_ *logger, e *supervisor.Event) any { return e.Pending }},
	{"limit_bytes", "the container's memory limit, if it has one", func(_ *logger, e *supervisor.Event) any {
		if e.Limit == 0 {
			return nil
		}
		return e.Limit
	}},
	{"address", "the address on which usher listens", func(_ *logger, e *supervisor.Event) any { return e.Text }},
	{"path", "the path of the copy", func(_ *logger, e *supervisor.Event) any { return e.Text }},
	{"exit_code", "the exit code, 128+n after signal n: in the event exited that of usher, else that of the process", func(_ *logger, e *supervisor.Event) any {
		if e.Summary != nil {
			return e.Summary.Code
		}
		return e.Exit.Code()
	}},
	{"app_exit_code", "the exit code of the app, if it was started", func(_ *logger, e *supervisor.Event) any {
		if !e.Summary.Started {
			return nil
		}
		return e.Summary.App.Code()
	}},
	{"lifetime_seconds", "from the app's start to its exit", func(_ *logger, e *supervisor.Event) any { return nilIfZero(e.Summary.AppLifetime) }},
	{"shutdown_seconds", "from the start of the shutdown to the exit of usher", func(_ *logger, e *supervisor.Event) any { return e.Summary.Shutdown }},
	{"grace_seconds", "the value of --grace", func(l *logger, _ *supervisor.Event) any { return nilIfZero(l.grace) }},
	{"drain_seconds", "how long the drain took", func(_ *logger, e *supervisor.Event) any { return nilIfZero(e.Summary.Drain) }},
	{"stop_seconds", "from the stop signal to the app's exit", func(_ *logger, e *supervisor.Event) any { return nilIfZero(e.Summary.Stop) }},
	{"leftovers_seconds", "how long the leftovers took", func(_ *logger, e *supervisor.Event) any { return nilIfZero(e.Summary.Leftovers) }},
	{"post_stop_seconds", "how long the post-stop hooks took", func(_ *logger, e *supervisor.Event) any { return nilIfZero(e.Summary.PostStop) }},
	{"error", "the reason", func(_ *logger, e *supervisor.Event) any { return errorOf(e) }},
	{"hint", "what to do about it", nil}, // the value comes from logRow.hint
}
