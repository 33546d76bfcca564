A hook exits on the SIGTERM of its timeout, so its process group is empty. The kernel gives
the group's number to a child of the app. That child must not get the SIGKILL that is due a
second later.

-- usher --
usher --grace 20s --drain 'timeout=1s hook' --drain-delay 1s -- app
-- machine --
pids are reused
-- processes --
app: on a stop signal exits 0 after 1s; waits for its children; after 3500ms forks worker
hook: on a stop signal exits 0
worker: has its own group; exits 0 after 5s
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s drain
      2s delay over
      2s   fork hook REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=1
      3s   kill group of hook SIGTERM
      3s hook hook finished: timed out after 1s
      3s stop
      3s   kill app SIGTERM
      4s app exited 0
      4s leftovers
    8.5s orphan 3 exited 0
    8.5s exit
    8.5s shutdown took 7.5s: drain 2s, stop 1s, leftovers 4.5s, post-stop 0s
    8.5s exit code 0: stopped by SIGTERM
