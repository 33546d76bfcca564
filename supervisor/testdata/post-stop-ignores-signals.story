A post-stop hook ignores signals. It gets SIGTERM and SIGKILL at the deadline, and the next
one is skipped.

-- usher --
usher --grace 10s --post-stop report --post-stop more -- app
-- processes --
app: on a stop signal exits 0 after 1s
report: ignores signals
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
      2s app exited 0
      2s post-stop
      2s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=9
     11s   kill group of report SIGTERM
     11s hook report finished: its share of --grace is used up
     11s hook more skipped: no time left
     11s   kill group of report SIGKILL
     11s exit
     11s shutdown took 10s: drain 0s, stop 1s, leftovers 0s, post-stop 9s
     11s exit code 0: stopped by SIGTERM
