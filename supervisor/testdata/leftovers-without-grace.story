Without --grace no leftover is signalled. The log names the processes that the kernel will
kill.

-- usher --
usher -- sh
-- processes --
sh: children node; daemons agent
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
      1s still running: agent node
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 143: stopped by SIGTERM
