A stop signal is received before the app is ready. The probe is cancelled, and the drain
runs in full.

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
tcp://self:1: never ready
-- events --
10s TERM
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
     10s received SIGTERM
     10s drain
     15s delay over
     15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=3 TIME_LEFT=5
     16s hook leave finished: ok
     16s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=3 TIME_LEFT=4
     17s hook flush finished: ok
     17s stop
     17s   kill app SIGTERM
     19s app exited 0
     19s post-stop
     19s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
     20s hook report finished: ok
     20s exit
     20s shutdown took 10s: drain 7s, stop 2s, leftovers 0s, post-stop 1s
     20s exit code 0: stopped by SIGTERM
