A drain hook ignores SIGTERM at its timeout and gets SIGKILL a second later. The next hook
and the stop follow.

-- usher --
usher --grace 25s --drain-delay 5s --drain 'timeout=2s leave' --drain flush -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: ignores signals
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
     18s   kill group of leave SIGKILL
     18s hook leave finished: timed out after 2s
     18s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=7
     19s hook flush finished: ok
     19s stop
     19s   kill app SIGTERM
     21s app exited 0
     21s exit
     21s shutdown took 11s: drain 9s, stop 2s, leftovers 0s, post-stop 0s
     21s exit code 0: stopped by SIGTERM
