// Package supervisor runs one app in a container: it waits for what the app needs,
// starts it, acts as its init, and shuts it down in order, within one deadline.
//
//	wait ─▶ pre-start ─▶ start ─▶ (ready ─▶ post-start) ─▶ run
//	                                                        │ stop signal, or the app exits by itself
//	     (stop signal only) drain-delay ─▶ drain hooks ─▶ drain-idle ─▶ stop ─▶ leftovers ─▶ post-stop ─▶ exit
//	                        └──────────────────── shutdown: one deadline, Grace ────────────────────┘
//
// [Run] does this once, as a [Config] describes, and reports each step as an [Event].
// While it runs, a [Readiness] reports whether the app is ready. [Ask] probes targets
// once, for a health check in a process of its own.
//
// # What ends a phase early
//
//   - wait: WaitTimeout (124); SIGTERM, SIGINT, SIGQUIT, SIGHUP or a StopOn
//     signal (128+n, the app is never started)
//   - pre-start: a hook that fails (125); a signal as above: the running hook gets
//     SIGTERM and may run until Budget.Kill, or without Grace as long as it needs
//   - ready, post-start: a target's within= expires (124) or a hook fails (125), both
//     of which stop the app as a stop signal would; a stop signal: the probe is
//     cancelled, the hook gets SIGTERM and may run until Budget.Drain, or without
//     Grace for one second; the app's exit
//   - drain: the app's exit; SIGINT; Budget.Drain
//   - stop, leftovers: usher has no children any more; at Budget.Kill everything
//     gets SIGKILL
//   - post-stop, which runs after failures too: the deadline
//
// # Processes may finish their work
//
// After the stop signal every process may work until Budget.Kill, and no process gets
// two signals that ask it to stop. The comment on the type leftovers in leftovers.go
// says which process gets which signal, and when.
//
// # Exit status
//
//	the app's   the app exited by itself or on its stop signal
//	128+n       the app was killed by signal n (137: the deadline), or usher was
//	            stopped by signal n before the app started
//	124         Wait or Ready targets were not ready in time
//	125         bad configuration, a failed pre-start or post-start hook
//	126, 127    the command cannot be run, is not found
//
// # Out of memory
//
// The kernel counts the processes that it kills for lack of memory (oom_kill of the
// memory cgroup, v1 and v2). If the app has failed and that count has grown since its
// start, an [OutOfMemory] event reports it, with the limit.
//
// # One goroutine
//
// One goroutine owns all state and waits in one select, so there is no lock, and no
// signal is sent to a pid that has been reaped. One wait4 in that goroutine reaps every
// child. A program that runs this package must not use the Wait of os/exec: each of the
// two would take exit statuses that the other needs.
//
// Nothing may block that goroutine, or it would miss its deadline. Work that can block
// on a file system, a lease or a debugger runs in another goroutine, which posts the
// result to the loop: the start of a process (PATH lookup, fork, chdir and execve), and
// every scan of /proc. The pid of a process is unknown until its start returns, so
// statuses that wait4 reports meanwhile are kept until then.
//
// fork blocks its thread until execve (vfork). In the Go runtime two things wait for
// such a thread: other goroutines if GOMAXPROCS is 1, so it is 2 during a start, and
// the garbage collector, which is paused during a start. Therefore starting processes
// needs no helper process. A plain init takes neither precaution, because it has no
// other work before its app has started.
//
// Without Grace nothing is ever killed. At the deadline PID 1 sends SIGKILL to all
// other processes by kill(-1). A process that is not PID 1 becomes a subreaper and
// signals only its own descendants.
package supervisor
