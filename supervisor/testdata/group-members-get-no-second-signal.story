With --group the app's group has got the stop signal. When the app has exited, a process of
that group which still works gets no second signal.

-- usher --
usher --group --grace 10s -- sh
-- processes --
sh: children node
node: on a stop signal exits 0 after 9s
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
     10s orphan 3 exited 0
     10s exit
     10s shutdown took 9s: drain 0s, stop 0s, leftovers 9s, post-stop 0s
     10s exit code 143: stopped by SIGTERM
