Without /proc usher does not know which processes are its children. It signals all processes
at the time at which it would signal its children. That is after half of the remaining time
here, because the app has handled its signal.

-- usher --
usher --grace 10s -- sh
-- machine --
no /proc
-- processes --
sh: on a stop signal exits 0; children node
node: on a stop signal exits 0 after 1s
-- events --
1s TERM
-- trace --
      0s start
      0s   fork sh
      0s run
      1s received SIGTERM
      1s stop
      1s   kill sh SIGTERM
      1s app exited 0
      1s leftovers
      6s   kill everything SIGTERM
      6s   kill everything SIGCONT
      6s leftovers get SIGTERM: unknown
      7s orphan 3 exited 0
      7s exit
      7s shutdown took 6s: drain 0s, stop 0s, leftovers 6s, post-stop 0s
      7s exit code 0: stopped by SIGTERM
