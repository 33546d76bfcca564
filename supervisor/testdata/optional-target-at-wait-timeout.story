An optional target is skipped at --wait-timeout, and the app is started.

-- usher --
usher --wait 'optional=1m0s tcp://cache:1' --wait-timeout 3s -- app
-- processes --
app: exits 0 after 1s
-- targets --
tcp://cache:1: never ready
-- trace --
      0s wait
      3s tcp://cache:1 is skipped
      3s start
      3s   fork app
      3s run
      4s app exited 0
      4s exit
      4s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      4s exit code 0: <nil>
