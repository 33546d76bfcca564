A drain hook with timeout=0 has the rest of the drain, and a post-stop hook the rest of
--grace.

-- usher --
usher --grace 20s --drain 'timeout=0 leave' --post-stop 'timeout=0 report' -- app
-- processes --
app: on a stop signal exits 0 after 1s
leave: on a stop signal exits 1 after 200ms
report: exits 0 after 1s
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s drain
      1s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=6
      7s   kill group of leave SIGTERM
      7s hook leave finished: its share of --grace is used up
      7s stop
      7s   kill app SIGTERM
      8s app exited 0
      8s post-stop
      8s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=13
      9s hook report finished: ok
      9s exit
      9s shutdown took 8s: drain 6s, stop 1s, leftovers 0s, post-stop 1s
      9s exit code 0: stopped by SIGTERM
