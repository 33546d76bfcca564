// Package supervisor is the life of a container: it waits for what an app
// needs, starts it, looks after it as an init does, and takes it out of service
// in order, within one deadline.
//
//	wait ─▶ pre-start ─▶ start ─▶ (ready ─▶ post-start) ─▶ run
//	                                                        │ a stop signal, or the app ends by itself
//	     (stop signal only) drain-delay ─▶ drain hooks ─▶ quiet ─▶ stop signal ─▶ leftovers ─▶ post-stop ─▶ exit
//	                        └─────────────────────────── one deadline: Grace ───────────────────────────┘
//
// [Run] lives one such life; [Config] describes it; [Event] tells of it. While it
// runs, [Readiness] answers others whether the app is ready. [Ask] is for a check of
// health from outside: it asks some targets once.
//
// # What ends a phase early
//
//   - wait: WaitTimeout (124); SIGTERM, SIGINT, SIGQUIT, SIGHUP or a StopOn
//     signal (128+n, the app is never started)
//   - pre-start: a hook that fails (125); a signal as above
//   - ready, post-start: a target's within= (124) or a failed hook (125), both of
//     which stop the app as a signal would; a stop signal; the app's own end
//   - drain: the app's end; SIGINT; its part of the deadline
//   - stop, leftovers: everything is gone; then SIGKILL
//   - post-stop, on every way out: the deadline
//
// # Exit status
//
//	the app's   it ended by itself or on its stop signal
//	128+n       the app was killed by signal n (137: the deadline), or usher was
//	            stopped by signal n before the app started
//	124         a wait or the readiness timed out
//	125         bad configuration, a failed pre-start or post-start hook
//	126, 127    the command cannot be run, is not found
//
// # Out of memory
//
// If the app has failed and the kernel's count of processes that were killed for
// lack of memory has grown since its start (oom_kill of the memory cgroup, v1 and
// v2), an [OutOfMemory] event says so, with the limit.
//
// # What it never does
//
// It never waits for anything but in one select of one goroutine, which owns all
// state; so there is no lock, and no signal meets a pid that has been reaped. It
// has one wait4, so no exit status is stolen from its owner: do not use the Wait
// of os/exec in a program that runs this package. It never kills an app without
// Grace. As PID 1 it ends everything else with kill(-1) at the deadline; when it
// is not PID 1 it makes itself a subreaper and only ever touches its own
// descendants.
package supervisor
