A script forwards the signal to its child and then raises it again, as shell manuals
recommend. The child has removed its own handler, which shows that it got the signal, so it
must not get a second one.

-- usher --
usher --grace 10s -- bash
-- processes --
bash: on a stop signal exits 0; raises it again; forwards it to its children; children node
node: on a stop signal exits 0 after 2s; is killed by a second stop signal
-- events --
1s TERM
-- trace --
      0s start
      0s   fork bash
      0s run
      1s received SIGTERM
      1s stop
      1s   kill bash SIGTERM
      1s   bash forwards SIGTERM to node
      1s app was killed by SIGTERM
      1s leftovers
      3s orphan 3 exited 0
      3s exit
      3s shutdown took 2s: drain 0s, stop 0s, leftovers 2s, post-stop 0s
      3s exit code 143: stopped by SIGTERM
