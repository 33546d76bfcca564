A subreaper searches /proc for the processes that it kills at the deadline. The post-stop
hook starts only after that, because the search would find and kill the hook too.

-- usher --
usher --grace 10s --post-stop hook -- app
-- machine --
not PID 1
reading /proc takes 15ms
-- processes --
app: ignores signals
hook: exits 0 after 50ms
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
  1.015s   kill app SIGTERM
      9s   kill app SIGKILL
      9s app gets SIGKILL at the deadline
      9s app was killed by SIGKILL
  9.015s   kill everything SIGKILL
  9.015s post-stop
  9.015s   fork hook REASON=signal SIGNAL=SIGTERM EXIT_CODE=137 TIME_LEFT=1
  9.065s hook hook finished: ok
  9.065s exit
  9.065s shutdown took 8.065s: drain 0s, stop 8.015s, leftovers 0s, post-stop 50ms
  9.065s exit code 137: stopped by SIGTERM
