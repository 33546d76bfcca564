More signals are received before the app's start than usher keeps. The first 1024 are
forwarded and the others are lost, which the log reports once.

-- usher --
usher --wait tcp://db:1 -- app
-- processes --
app: on a stop signal exits 0; exits 0 after 1s
-- targets --
tcp://db:1: ready after 2s
-- events --
1s USR1 × 1100
-- trace --
      0s wait
      1s SIGUSR1 kept until the app has started (1024 times)
      1s SIGUSR1 and later signals lost, 1024 kept
      2s tcp://db:1 is ready
      2s start
      2s   fork app
      2s   kill app SIGUSR1 (1024 times)
      2s run
      3s app exited 0
      3s exit
      3s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      3s exit code 0: <nil>
