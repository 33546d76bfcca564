--success-exit turns the exit code 143 of an app that a stop signal killed into 0.

-- usher --
usher --success-exit 143 -- app
-- processes --
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
      1s app was killed by SIGTERM
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 0: stopped by SIGTERM
