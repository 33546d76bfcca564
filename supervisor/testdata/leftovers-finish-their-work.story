The stop signal kills the app. Its child gets SIGTERM at once and may finish its work.

-- usher --
usher --grace 10s -- app
-- processes --
app: leaves worker running
worker: on a stop signal exits 0 after 2s
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
      1s leftovers
      1s   kill worker SIGTERM
      1s   kill worker SIGCONT
      1s leftovers get SIGTERM: worker
      3s orphan 3 exited 0
      3s exit
      3s shutdown took 2s: drain 0s, stop 0s, leftovers 2s, post-stop 0s
      3s exit code 143: stopped by SIGTERM
