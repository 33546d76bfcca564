The app prints into a pipe to tee. tee is not signalled while a process may print into the
pipe, because SIGPIPE would kill that process.

-- usher --
usher --grace 10s -- bash
-- processes --
bash: children tee node
node: on a stop signal exits 0 after 2s
tee: exits when node has
-- events --
1s TERM
-- trace --
      0s start
      0s   fork bash
      0s run
      1s received SIGTERM
      1s stop
      1s   kill bash SIGTERM
      1s app was killed by SIGTERM
      1s leftovers
      1s   kill node SIGTERM
      1s   kill node SIGCONT
      1s leftovers get SIGTERM: node
      3s orphan 4 exited 0
      3s orphan 3 exited 0
      3s exit
      3s shutdown took 2s: drain 0s, stop 0s, leftovers 2s, post-stop 0s
      3s exit code 143: stopped by SIGTERM
