A SIGINT during the drain terminates the running hook and skips the others.

-- usher --
usher --grace 25s --drain-delay 5s --drain leave --drain flush -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 5s; on a stop signal exits 0 after 1ns
-- events --
10s TERM
16s INT
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     15s delay over
     15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
     16s the rest of the drain is skipped
     16s   kill group of leave SIGTERM
     16s hook leave finished: SIGINT skipped the drain
     16s hook flush skipped: SIGINT skipped the drain
     16s stop
     16s   kill app SIGTERM
     18s app exited 0
     18s exit
     18s shutdown took 8s: drain 6s, stop 2s, leftovers 0s, post-stop 0s
     18s exit code 0: stopped by SIGTERM
