A SIGINT skips the rest of the drain, so the app gets its stop signal and serves no more.

-- usher --
usher --ready tcp://self:1 --grace 25s --drain-delay 10s -- app
-- processes --
app: on a stop signal exits 0 after 2s
-- targets --
tcp://self:1: ready after 1s
-- events --
10s TERM
11s serving?
12s INT
12.5s serving?
-- trace --
      0s start
      0s   fork app
      0s ready
      1s tcp://self:1 is ready
      1s run
     10s received SIGTERM
     10s drain
     12s the rest of the drain is skipped
     12s delay over
     12s stop
     12s   kill app SIGTERM
     14s app exited 0
     14s exit
     14s shutdown took 4s: drain 2s, stop 2s, leftovers 0s, post-stop 0s
     14s exit code 0: stopped by SIGTERM
     11s serving? answered at 11s: ok
   12.5s serving? answered at 12.5s: stopping
