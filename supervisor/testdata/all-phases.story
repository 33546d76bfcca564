All phases in order, with a stop signal while the app runs.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: exits 0 after 4s
register: exits 0 after 1s
report: exits 0 after 1s
-- targets --
tcp://auth:1: ready after 3s
tcp://db:1: ready after 2s
tcp://self:1: ready after 1s
-- events --
30s TERM
-- trace --
      0s wait
      2s tcp://db:1 is ready
      3s tcp://auth:1 is ready
      3s pre-start
      3s   fork migrate
      7s hook migrate finished: ok
      7s start
      7s   fork app
      7s ready
      8s tcp://self:1 is ready
      8s post-start
      8s   fork register APP_PID=3
      9s hook register finished: ok
      9s run
     30s received SIGTERM
     30s drain
     35s delay over
     35s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=3 TIME_LEFT=5
     36s hook leave finished: ok
     36s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=3 TIME_LEFT=4
     37s hook flush finished: ok
     37s stop
     37s   kill app SIGTERM
     39s app exited 0
     39s post-stop
     39s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
     40s hook report finished: ok
     40s exit
     40s shutdown took 10s: drain 7s, stop 2s, leftovers 0s, post-stop 1s
     40s exit code 0: stopped by SIGTERM
