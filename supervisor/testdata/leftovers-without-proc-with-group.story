With --group and without /proc usher cannot find out which processes were in the group and
got the signal, so it signals no process again.

-- usher --
usher --group --grace 10s -- sh
-- machine --
no /proc
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
      1s   kill group of sh SIGTERM
      1s app was killed by SIGTERM
      1s leftovers
      3s orphan 3 exited 0
      3s exit
      3s shutdown took 2s: drain 0s, stop 0s, leftovers 2s, post-stop 0s
      3s exit code 143: stopped by SIGTERM
