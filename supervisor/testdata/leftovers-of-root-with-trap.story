A root (a leftover that is usher's child) handles its signal, so it may have signalled its
children. Its child gets no second signal.

-- usher --
usher --grace 12s -- sh
-- processes --
sh: children script
script: on a stop signal exits 143; forwards it to its children; children node
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
      1s app was killed by SIGTERM
      1s leftovers
      1s   kill script SIGTERM
      1s   script forwards SIGTERM to node
      1s leftovers get SIGTERM: script
      1s orphan 3 exited 143
      3s orphan 4 exited 0
      3s exit
      3s shutdown took 2s: drain 0s, stop 0s, leftovers 2s, post-stop 0s
      3s exit code 143: stopped by SIGTERM
