A root (a leftover that is usher's child) handles its signal and does not forward it. Its
child is signalled when half of the remaining time has passed.

-- usher --
usher --grace 12s -- sh
-- processes --
sh: children script
script: on a stop signal exits 0; children node
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
      1s app was killed by SIGTERM
      1s leftovers
      1s   kill script SIGTERM
      1s leftovers get SIGTERM: script
      1s orphan 3 exited 0
      7s   kill node SIGTERM
      7s   kill node SIGCONT
      7s leftovers get SIGTERM: node
      8s orphan 4 exited 0
      8s exit
      8s shutdown took 7s: drain 0s, stop 0s, leftovers 7s, post-stop 0s
      8s exit code 143: stopped by SIGTERM
