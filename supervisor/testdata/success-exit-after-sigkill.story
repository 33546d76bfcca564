--success-exit does not apply to usher's own SIGKILL.

-- usher --
usher --grace 5s --success-exit 137 -- app
-- processes --
app: ignores signals
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
      6s   kill app SIGKILL
      6s   kill everything SIGKILL
      6s app gets SIGKILL at the deadline
      6s app was killed by SIGKILL
      6s exit
      6s shutdown took 5s: drain 0s, stop 5s, leftovers 0s, post-stop 0s
      6s exit code 137: stopped by SIGTERM
