The app exits by itself. A leftover that ignores signals gets SIGKILL after 10s, the reserve.

-- usher --
usher --grace 25s -- app
-- processes --
app: exits 0 after 1s; leaves worker running
worker: ignores signals
-- trace --
      0s start
      0s   fork app
      0s run
      1s app exited 0
      1s leftovers
      1s still running: worker
      1s   kill worker SIGTERM
      1s   kill worker SIGCONT
      1s leftovers get SIGTERM: worker
     11s leftovers get SIGKILL at the deadline
     11s   kill everything SIGKILL
     11s orphan 3 was killed by SIGKILL
     11s exit
     11s shutdown took 10s: drain 0s, stop 0s, leftovers 10s, post-stop 0s
     11s exit code 0: <nil>
