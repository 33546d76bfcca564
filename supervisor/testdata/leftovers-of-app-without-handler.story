A shell without a trap is killed by the stop signal and cannot have forwarded it. Its child
is signalled at once and finishes its work.

-- usher --
usher --grace 10s -- sh
-- processes --
sh: children node
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
      1s   kill node SIGTERM
      1s   kill node SIGCONT
      1s leftovers get SIGTERM: node
      3s orphan 3 exited 0
      3s exit
      3s shutdown took 2s: drain 0s, stop 0s, leftovers 2s, post-stop 0s
      3s exit code 143: stopped by SIGTERM
