// Package supervisor runs one app in a container: it waits for what the app needs,
// starts it, acts as its init, and shuts it down in order, within one deadline.
//
//	wait ─▶ pre-start ─▶ start ─▶ (ready ─▶ post-start) ─▶ run
//	                                                        │ stop signal, or the app exits by itself
//	     (stop signal only) drain-delay ─▶ drain hooks ─▶ drain-idle ─▶ stop ─▶ leftovers ─▶ post-stop ─▶ exit
//	                        └──────────────────── shutdown: one deadline, Grace ────────────────────┘
//
// [Run] does this once; [Config] describes it; [Event] reports it. While it runs,
// [Readiness] answers whether the app is ready. [Ask] is for a health check from
// outside: it probes some targets once.
//
// # What ends a phase early
//
//   - wait: WaitTimeout (124); SIGTERM, SIGINT, SIGQUIT, SIGHUP or a StopOn
//     signal (128+n, the app is never started)
//   - pre-start: a hook that fails (125); a signal as above: the running hook gets
//     SIGTERM, and then until the SIGKILL of the budget to finish, or without Grace
//     as long as it needs
//   - ready, post-start: a target's within= (124) or a failed hook (125), both of
//     which stop the app as a stop signal would; a stop signal: the probe is
//     cancelled, the hook gets SIGTERM and the drain's share of the budget, or
//     without Grace one second; the app's own exit
//   - drain: the app's exit; SIGINT; its share of the deadline
//   - stop, leftovers: no child is left; then SIGKILL
//   - post-stop, on every way out: the deadline
//
// # Nothing that is under way is cut
//
// What is still working after the stop signal has all of the time until SIGKILL, and
// no process is asked twice to stop. Which process is asked, when and by which
// signal, is told at the type leftovers in leftovers.go.
//
// # Exit status
//
//	the app's   it exited by itself or on its stop signal
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
// v2), an [OutOfMemory] event reports it, with the limit.
//
// # One goroutine
//
// One goroutine owns all state and waits in one select, so there is no lock, and no
// signal is sent to a pid that has been reaped. The package has one wait4, so no exit
// status is stolen from its owner: do not use the Wait of os/exec in a program that
// runs this package.
//
// Nothing may block that goroutine, or it would miss its deadline. What can block
// for as long as a file system, a lease or a debugger wants runs in a goroutine of
// its own, whose result comes back as a call: the start of a process (PATH lookup,
// fork, chdir and execve), a look at all processes, the search for what to kill.
// While a start is under way its pid is unknown, so what is reaped meanwhile is kept
// until the start returns. A goroutine is enough, and there is no second process
// that does the starting, because only two things of the Go runtime wait for a
// thread in vfork: a scheduler with a single processor, which gets a second one during
// a start, and the garbage collector, which is paused. (A plain init does without
// both: it has nothing to do before its app has started.)
//
// Without Grace nothing is ever killed. As PID 1 everything else gets SIGKILL by
// kill(-1) at the deadline. A process that is not PID 1 becomes a subreaper and
// signals its own descendants only.
package supervisor
