Hooks and the app leave processes running in every phase. usher reaps all of them.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s; leaves o4 running
flush: exits 0 after 1s
leave: exits 0 after 1s; leaves o3 running
migrate: exits 0 after 4s; leaves o1 o2 running
o1: exits 0 after 200ms
o2: exits 0 after 1.2s
o3: exits 0 after 300ms
o4: exits 0 after 1s; on a stop signal exits 0 after 1m0s
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
    7.2s orphan 3 exited 0
      8s tcp://self:1 is ready
      8s post-start
      8s   fork register APP_PID=5
    8.2s orphan 4 exited 0
      9s hook register finished: ok
      9s run
     30s received SIGTERM
     30s drain
     35s delay over
     35s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=5 TIME_LEFT=5
     36s hook leave finished: ok
     36s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=5 TIME_LEFT=4
   36.3s orphan 8 exited 0
     37s hook flush finished: ok
     37s stop
     37s   kill app SIGTERM
     39s app exited 0
     39s leftovers
     40s orphan 10 exited 0
     40s post-stop
     40s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
     41s hook report finished: ok
     41s exit
     41s shutdown took 11s: drain 7s, stop 2s, leftovers 1s, post-stop 1s
     41s exit code 0: stopped by SIGTERM
