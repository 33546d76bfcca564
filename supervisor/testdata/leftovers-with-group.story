With --group the processes in the app's group have got the signal and get no second one. A
child that had left the group before is signalled.

-- usher --
usher --group --grace 10s -- sh
-- processes --
sh: children node apart
node: on a stop signal exits 0 after 2s; is killed by a second stop signal
apart: moves to another group; on a stop signal exits 0 after 1s; is killed by a second stop signal
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
      1s   kill apart SIGTERM
      1s   kill apart SIGCONT
      1s leftovers get SIGTERM: apart
      2s orphan 4 exited 0
      3s orphan 3 exited 0
      3s exit
      3s shutdown took 2s: drain 0s, stop 0s, leftovers 2s, post-stop 0s
      3s exit code 143: stopped by SIGTERM
