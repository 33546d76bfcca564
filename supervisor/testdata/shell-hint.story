A shell is still running 5s after its stop signal. The log suggests "exec".

-- usher --
usher --grace 10s -- /bin/sh -c x
-- processes --
/bin/sh: ignores signals
-- events --
1s TERM
-- trace --
      0s start
      0s   fork /bin/sh
      0s run
      1s received SIGTERM
      1s stop
      1s   kill /bin/sh SIGTERM
      6s hint: exec
     11s   kill /bin/sh SIGKILL
     11s   kill everything SIGKILL
     11s app gets SIGKILL at the deadline
     11s app was killed by SIGKILL
     11s exit
     11s shutdown took 10s: drain 0s, stop 10s, leftovers 0s, post-stop 0s
     11s exit code 137: stopped by SIGTERM
