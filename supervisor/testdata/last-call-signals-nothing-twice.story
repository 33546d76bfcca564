The last call sends SIGTERM only to processes that have not been signalled before.

-- usher --
usher --grace 10s -- sh
-- processes --
sh: children master
master: on a stop signal exits 0; waits for its children; is killed by a second stop signal; children worker
worker: on a stop signal exits 0 after 1s; is killed by a second stop signal
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
      9s   kill worker SIGTERM
      9s   kill worker SIGCONT
      9s last call: SIGTERM: worker
     10s orphan 3 exited 0
     10s exit
     10s shutdown took 9s: drain 0s, stop 0s, leftovers 9s, post-stop 0s
     10s exit code 143: stopped by SIGTERM
