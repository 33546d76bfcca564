SIGKILL does not end the app. usher waits briefly, runs the post-stop hook in time, and
exits.

-- usher --
usher --grace 10s --post-stop report -- app
-- processes --
app: cannot be killed
report: exits 0 after 1s
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
      9s   kill app SIGKILL
      9s   kill everything SIGKILL
      9s app gets SIGKILL at the deadline
    9.1s leftovers
    9.1s leftovers get SIGKILL at the deadline
    9.1s   kill everything SIGKILL
    9.1s post-stop
    9.1s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=137 TIME_LEFT=1
   10.1s hook report finished: ok
   10.1s   kill everything SIGKILL
  10.12s exit
  10.12s shutdown took 9.12s: drain 0s, stop 8.1s, leftovers 0s, post-stop 1s
  10.12s exit code 137: stopped by SIGTERM
