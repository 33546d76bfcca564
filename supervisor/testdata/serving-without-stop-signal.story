With --stop-signal none the app gets no stop signal. It counts as serving until the drain
is over.

-- usher --
usher --ready tcp://self:1 --grace 25s --drain quit --stop-signal none -- app
-- processes --
app: exits 0 after 15s
quit: exits 0 after 1s
-- targets --
tcp://self:1: ready after 1s
-- events --
10s TERM
10.5s serving?
11.5s serving?
14s serving?
-- trace --
      0s start
      0s   fork app
      0s ready
      1s tcp://self:1 is ready
      1s run
     10s received SIGTERM
     10s drain
     10s   fork quit REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
     11s hook quit finished: ok
     11s stop
     11s no stop signal
     15s app exited 0
     15s exit
     15s shutdown took 5s: drain 1s, stop 4s, leftovers 0s, post-stop 0s
     15s exit code 0: stopped by SIGTERM
   10.5s serving? answered at 10.5s: ok
   11.5s serving? answered at 11.5s: stopping
     14s serving? answered at 14s: stopping
