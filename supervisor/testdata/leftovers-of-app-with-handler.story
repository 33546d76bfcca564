An app that handles its stop signal may have signalled its children. They are signalled when
half of the remaining time has passed.

-- usher --
usher --grace 10s -- sh
-- processes --
sh: on a stop signal exits 0; children node
node: on a stop signal exits 0 after 2s; is killed by a second stop signal
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
      6s   kill node SIGTERM
      6s   kill node SIGCONT
      6s leftovers get SIGTERM: node
      8s orphan 3 exited 0
      8s exit
      8s shutdown took 7s: drain 0s, stop 0s, leftovers 7s, post-stop 0s
      8s exit code 0: stopped by SIGTERM
