A prefork server runs behind a shell without a trap. Its master becomes usher's child (a
root) and is signalled; its workers are not.

-- usher --
usher --grace 20s -- sh
-- processes --
sh: children master
master: on a stop signal exits 0; waits for its children; children worker worker
worker: exits 0 after 5s
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
      1s   kill master SIGTERM
      1s   kill master SIGCONT
      1s leftovers get SIGTERM: master
      5s orphan 3 exited 0
      5s exit
      5s shutdown took 4s: drain 0s, stop 0s, leftovers 4s, post-stop 0s
      5s exit code 143: stopped by SIGTERM
