The context of Run ends. That counts as a SIGTERM.

-- usher --
usher --grace 25s --drain-delay 5s --drain leave --drain flush -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
-- events --
3s cancel
-- trace --
      0s start
      0s   fork app
      0s run
      3s received SIGTERM
      3s drain
      8s delay over
      8s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
      9s hook leave finished: ok
      9s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=9
     10s hook flush finished: ok
     10s stop
     10s   kill app SIGTERM
     12s app exited 0
     12s exit
     12s shutdown took 9s: drain 7s, stop 2s, leftovers 0s, post-stop 0s
     12s exit code 0: stopped by SIGTERM
