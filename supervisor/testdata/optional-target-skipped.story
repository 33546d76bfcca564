An optional target is not ready within its time. It is skipped, and the app is started.

-- usher --
usher --wait tcp://db:1 --wait 'optional=4s tcp://cache:1' -- app
-- processes --
app: exits 0 after 1s
-- targets --
tcp://cache:1: never ready
tcp://db:1: ready after 1s
-- trace --
      0s wait
      1s tcp://db:1 is ready
      4s tcp://cache:1 is skipped
      4s start
      4s   fork app
      4s run
      5s app exited 0
      5s exit
      5s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      5s exit code 0: <nil>
