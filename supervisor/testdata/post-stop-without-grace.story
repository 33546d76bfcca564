Without --grace a post-stop hook has its own timeout. The next one runs after it.

-- usher --
usher --post-stop 'timeout=3s report' --post-stop more -- app
-- processes --
app: on a stop signal exits 0 after 1s
more: exits 0 after 1ns
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
      2s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=3
      5s   kill group of report SIGTERM
      6s   kill group of report SIGKILL
      6s hook report finished: timed out after 3s
      6s   fork more REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
6.000000001s hook more finished: ok
6.000000001s exit
6.000000001s shutdown took 5.000000001s: drain 0s, stop 1s, leftovers 0s, post-stop 4.000000001s
6.000000001s exit code 0: stopped by SIGTERM
