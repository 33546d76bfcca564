usher is not PID 1 and cannot read /proc. Without --grace it kills nothing, so it does not
warn.

-- usher --
usher -- app
-- machine --
not PID 1
no /proc
-- processes --
app: on a stop signal exits 0 after 1s
-- events --
1s TERM
-- trace --
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
