usher is not PID 1 and cannot read /proc, so it warns that it can kill only the app's
process group at the deadline.

-- usher --
usher --grace 10s -- app
-- machine --
not PID 1
no /proc
-- processes --
app: on a stop signal exits 0 after 1s
-- events --
1s TERM
-- trace --
      0s warning: usher is not PID 1, and /proc does not show its PID namespace: at the deadline it can kill only the app's process group
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
      2s app exited 0
      2s exit
      2s shutdown took 1s: drain 0s, stop 1s, leftovers 0s, post-stop 0s
      2s exit code 0: stopped by SIGTERM
