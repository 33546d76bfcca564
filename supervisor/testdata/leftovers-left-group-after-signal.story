With --group a process leaves the group after the stop signal. It has got that signal, and
gets no second one.

-- usher --
usher --group --grace 10s -- sh
-- processes --
sh: on a stop signal exits 0; children node
node: moves to another group after 2s; on a stop signal exits 0 after 8.5s; is killed by a second stop signal
-- events --
1s TERM
-- trace --
      0s start
      0s   fork sh
      0s run
      1s received SIGTERM
      1s stop
      1s   kill group of sh SIGTERM
      1s app exited 0
      1s leftovers
    9.5s orphan 3 exited 0
    9.5s exit
    9.5s shutdown took 8.5s: drain 0s, stop 0s, leftovers 8.5s, post-stop 0s
    9.5s exit code 0: stopped by SIGTERM
