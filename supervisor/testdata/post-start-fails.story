A post-start hook fails. The app is stopped as by a stop signal, and the exit code is 125.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: exits 0 after 4s
register: exits 1 after 1s
report: exits 0 after 1s
-- targets --
tcp://auth:1: ready after 3s
tcp://db:1: ready after 2s
tcp://self:1: ready after 1s
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
      9s hook register finished: exit status 1
      9s failed: post-start: hook register failed: exit status 1
      9s drain
     14s delay over
     14s   fork leave REASON=post-start APP_PID=3 TIME_LEFT=5
     15s hook leave finished: ok
     15s   fork flush REASON=post-start APP_PID=3 TIME_LEFT=4
     16s hook flush finished: ok
     16s stop
     16s   kill app SIGTERM
     18s app exited 0
     18s post-stop
     18s   fork report REASON=post-start EXIT_CODE=125 TIME_LEFT=10
     19s hook report finished: ok
     19s exit
     19s shutdown took 10s: drain 7s, stop 2s, leftovers 0s, post-stop 1s
     19s exit code 125: post-start: hook register failed: exit status 1
