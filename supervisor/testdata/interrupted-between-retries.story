A stop signal is received between two attempts of a pre-start hook. There is no further
attempt.

-- usher --
usher --grace 20s --pre-start 'retries=1000 migrate' -- app
-- processes --
migrate: cannot be forked
-- events --
20s TERM
-- trace --
      0s pre-start
     20s received SIGTERM
     20s hook migrate finished: interrupted by SIGTERM
     20s exit
     20s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
     20s exit code 143: stopped by SIGTERM
