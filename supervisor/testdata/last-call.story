A shell runs its trap only after its foreground child has exited, and that child has got no
signal. At the last call the child gets SIGTERM, so that the shell can exit before the
deadline.

-- usher --
usher --grace 10s -- bash
-- processes --
bash: on a stop signal exits 0; waits for its children; children node
node: on a stop signal exits 0 after 1s
-- events --
1s TERM
-- trace --
      0s start
      0s   fork bash
      0s run
      1s received SIGTERM
      1s stop
      1s   kill bash SIGTERM
      6s hint: exec
      9s   kill node SIGTERM
      9s   kill node SIGCONT
      9s last call: SIGTERM: node
     10s app exited 0
     10s exit
     10s shutdown took 9s: drain 0s, stop 9s, leftovers 0s, post-stop 0s
     10s exit code 0: stopped by SIGTERM
