// Package supervisor runs one app in a container: it waits for what the app needs,
// starts it, acts as its init, and shuts it down in order, within one deadline.
//
//	wait ─▶ pre-start ─▶ start ─▶ (ready ─▶ post-start) ─▶ run
//	                                                        │ stop signal, or the app exits by itself
//	     (stop signal only) drain-delay ─▶ drain hooks ─▶ drain-idle ─▶ stop ─▶ leftovers ─▶ post-stop ─▶ exit
//	                        └──────────────────── shutdown: one deadline, Grace ────────────────────┘
//
// [Run] does this once, as a [Config] describes, and reports each step as an [Event].
// While it runs, a [Readiness] reports whether the app is ready, and whether it serves.
// [Ask] probes targets once, for a health check in a process of its own.
//
// # What ends a phase early
//
// The numbers in parentheses are exit statuses of usher.
//
//   - wait: WaitTimeout or a target's within= expires (124), or usher receives SIGTERM,
//     SIGINT, SIGQUIT, SIGHUP or a StopOn signal (128+n). Then the app is not started.
//   - pre-start: a hook fails (125), or usher receives one of the same signals (128+n).
//     After a signal the running hook's command gets SIGTERM and may run until Budget.Kill,
//     or without Grace as long as it needs.
//   - start: the app is not found (127) or cannot be run (126).
//   - ready, post-start: the app exits, a target's within= expires (124), a hook fails
//     (125), or usher receives a stop signal. If within= expires or a hook fails, usher
//     stops the app as after a stop signal. After a stop signal the probes are cancelled.
//     The running hook's command gets SIGTERM and may run until Budget.Drain, or without
//     Grace for one second.
//   - drain: the app exits, usher receives SIGINT, or Budget.Drain has passed.
//   - stop: the app exits. At Budget.Kill all processes get SIGKILL.
//   - leftovers: usher's last child exits. At Budget.Kill all processes get SIGKILL. If the
//     app exited by itself, they get it when Budget.Reserve has passed since its exit, if
//     that is earlier.
//   - post-stop: the deadline has passed. This phase runs after failures too.
//
// # Processes may finish their work
//
// After the stop signal every process may work until Budget.Kill, and usher sends each
// process at most one signal to stop it. The comment on the type leftovers in
// leftovers.go lists which process gets which signal, and when.
//
// # Ready and serving
//
// [Readiness.Ask] is for load balancers that poll the app: it returns an error from the
// start of the shutdown, so that they send requests elsewhere while the app still serves.
// [Readiness.AskServing] is for a readinessProbe of Kubernetes: if the app was ready, the
// shutdown changes the result only when the app gets its stop signal or exits. Kubernetes
// takes a pod that is being deleted out of its Services, and sends requests to it only if no
// other pod is left and this one is still ready (KEP-1669). A livenessProbe needs neither
// function: it passes if the process responds at all.
//
// # Exit status
//
//	the app's   the app exited by itself or on its stop signal (0 instead of a code in
//	            SuccessExit, if a stop signal began the shutdown)
//	128+n       the app was killed by signal n (137: SIGKILL, for example at the
//	            deadline), or usher was stopped by signal n before the app started
//	124         Wait or Ready targets were not ready in time
//	125         bad configuration, a failed pre-start or post-start hook, signals.Open failed
//	126         the command cannot be run
//	127         the command was not found
//
// # Out of memory
//
// The kernel counts the processes that it kills for lack of memory (oom_kill of the
// memory cgroup, v1 and v2). If the app has failed without a SIGKILL from usher, and that
// count has grown since the app's start, an [OutOfMemory] event reports the difference and
// the memory limit.
//
// # One goroutine
//
// One goroutine, the loop, owns all state and waits in one select, so there is no lock.
// It reaps every child, by the only call of wait4. It also sends the signals to the app and
// to commands. So it never signals a process that has been reaped and whose pid may belong
// to another process by then. A program that runs this package must not use the Wait of
// os/exec, because this package and os/exec would take exit statuses from each other.
//
// Nothing may block that goroutine, or it would miss its deadline. Work that can block on
// a file system, a file lease or a debugger runs in another goroutine, which posts the result
// to the loop. Examples are the start of a process (PATH lookup, fork, chdir and execve)
// and every scan of /proc. The pid of a process is unknown until its start returns, so
// the loop keeps the statuses that wait4 reports before that.
//
// Go forks like vfork(2): the calling thread is blocked until the child has called execve.
// The Go runtime cannot run other goroutines meanwhile if GOMAXPROCS is 1, so Run raises
// GOMAXPROCS to 2 during a start. The garbage collector would wait for the blocked thread,
// so Run pauses the collector during a start. For a plain init Run does neither, because
// nothing else has to run before the app has started.
//
// Without Grace usher sends no SIGKILL to the app or to leftovers. With Grace, if usher is
// PID 1, it sends SIGKILL to all other processes at the deadline, by kill(-1). If usher is
// not PID 1, it becomes a subreaper and signals only its own descendants, or only the app's
// process group if /proc does not show the descendants.
package supervisor
