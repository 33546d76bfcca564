A leftover that has not exited at the deadline gets SIGKILL.

-- usher --
usher --grace 10s -- sh
-- processes --
sh: children deaf
deaf: ignores signals
-- events --
1s TERM
-- trace --
      0s start
      0s   fork sh
      0s run
      1s received SIGTERM
      1s stop
      1s   kill sh SIGTERM
      1s app was killed by SIGTERM
      1s leftovers
      1s   kill deaf SIGTERM
      1s   kill deaf SIGCONT
      1s leftovers get SIGTERM: deaf
     11s leftovers get SIGKILL at the deadline
     11s   kill everything SIGKILL
     11s orphan 3 was killed by SIGKILL
     11s exit
     11s shutdown took 10s: drain 0s, stop 0s, leftovers 10s, post-stop 0s
     11s exit code 143: stopped by SIGTERM
