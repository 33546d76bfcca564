Several children exit at once. The kernel may send a single SIGCHLD for all of them. All are
reaped.

-- usher --
usher --grace 10s -- app
-- processes --
app: leaves w1 w2 w3 running
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
      1s app was killed by SIGTERM
      1s leftovers
      1s   kill w1 SIGTERM
      1s   kill w2 SIGTERM
      1s   kill w3 SIGTERM
      1s leftovers get SIGTERM: w1 w2 w3
      1s orphan 3 was killed by SIGTERM
      1s orphan 4 was killed by SIGTERM
      1s orphan 5 was killed by SIGTERM
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 143: stopped by SIGTERM
