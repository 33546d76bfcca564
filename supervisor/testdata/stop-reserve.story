With --stop-reserve the drain ends earlier, so that the app has the reserve until SIGKILL.

-- usher --
usher --grace 25s --stop-reserve 18s --drain-delay 5s --drain leave --drain flush -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: on a stop signal exits 0 after 1ns
-- events --
10s TERM
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     15s delay over
     15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=2
     17s   kill group of leave SIGTERM
     17s hook leave finished: its share of --grace is used up
     17s hook flush skipped: no time left
     17s stop
     17s   kill app SIGTERM
     19s app exited 0
     19s exit
     19s shutdown took 9s: drain 7s, stop 2s, leftovers 0s, post-stop 0s
     19s exit code 0: stopped by SIGTERM
