A repeated SIGTERM during the drain is ignored.

-- usher --
usher --grace 25s --drain-delay 5s --drain leave --drain flush -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
-- events --
10s TERM
11s TERM
15.5s TERM
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     11s SIGTERM ignored
     15s delay over
     15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
   15.5s SIGTERM ignored
     16s hook leave finished: ok
     16s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=9
     17s hook flush finished: ok
     17s stop
     17s   kill app SIGTERM
     19s app exited 0
     19s exit
     19s shutdown took 9s: drain 7s, stop 2s, leftovers 0s, post-stop 0s
     19s exit code 0: stopped by SIGTERM
