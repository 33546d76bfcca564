Without /proc usher does not know which processes are its children. It signals all processes
at the time at which it would signal its children. That is at once here, because the shell
has no trap.

-- usher --
usher --grace 10s -- sh
-- machine --
no /proc
-- processes --
sh: children node
node: on a stop signal exits 0 after 2s
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
      1s   kill everything SIGTERM
      1s   kill everything SIGCONT
      1s leftovers get SIGTERM: unknown
      3s orphan 3 exited 0
      3s exit
      3s shutdown took 2s: drain 0s, stop 0s, leftovers 2s, post-stop 0s
      3s exit code 143: stopped by SIGTERM
