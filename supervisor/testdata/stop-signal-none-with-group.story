With --stop-signal none the app's group gets no stop signal either. So the app's child gets
SIGTERM at the last call.

-- usher --
usher --grace 10s --stop-signal none --group -- app
-- processes --
app: children worker
worker: on a stop signal exits 0
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s no stop signal
      9s   kill worker SIGTERM
      9s last call: SIGTERM: worker
     11s   kill app SIGKILL
     11s   kill everything SIGKILL
     11s app gets SIGKILL at the deadline
     11s app was killed by SIGKILL
     11s exit
     11s shutdown took 10s: drain 0s, stop 10s, leftovers 0s, post-stop 0s
     11s exit code 137: stopped by SIGTERM
