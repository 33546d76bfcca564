Without any flag a SIGTERM is forwarded at once. It kills the app, so the exit code is 143.

-- usher --
usher -- app
-- processes --
-- events --
10s TERM
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s stop
     10s   kill app SIGTERM
     10s app was killed by SIGTERM
     10s exit
     10s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
     10s exit code 143: stopped by SIGTERM
