Two nested shells without a trap. The signal kills each of them, so neither can have passed
it on. The child of each is signalled at once.

-- usher --
usher --grace 10s -- outer
-- processes --
outer: children inner
inner: children node
node: on a stop signal exits 0 after 2s
-- events --
1s TERM
-- trace --
      0s start
      0s   fork outer
      0s run
      1s received SIGTERM
      1s stop
      1s   kill outer SIGTERM
      1s app was killed by SIGTERM
      1s leftovers
      1s   kill inner SIGTERM
      1s leftovers get SIGTERM: inner
      1s orphan 3 was killed by SIGTERM
      1s   kill node SIGTERM
      1s   kill node SIGCONT
      1s leftovers get SIGTERM: node
      3s orphan 4 exited 0
      3s exit
      3s shutdown took 2s: drain 0s, stop 0s, leftovers 2s, post-stop 0s
      3s exit code 143: stopped by SIGTERM
