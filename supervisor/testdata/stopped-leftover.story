A leftover gets SIGCONT after its signal, because it may be stopped.

-- usher --
usher --grace 10s -- sh
-- processes --
sh: children node
node: is stopped after 500ms; on a stop signal exits 0 after 1s
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
      1s   kill node SIGTERM
      1s   kill node SIGCONT
      1s leftovers get SIGTERM: node
      2s orphan 3 exited 0
      2s exit
      2s shutdown took 1s: drain 0s, stop 0s, leftovers 1s, post-stop 0s
      2s exit code 143: stopped by SIGTERM
