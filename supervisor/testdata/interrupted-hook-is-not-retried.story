A hook that fails after a stop signal is not retried.

-- usher --
usher --grace 20s --pre-start 'retries=5 migrate' -- app
-- processes --
migrate: on a stop signal exits 1 after 1s
-- events --
1s TERM
-- trace --
      0s pre-start
      0s   fork migrate
      1s received SIGTERM
      1s   kill migrate SIGTERM
      1s   kill migrate SIGCONT
      1s hook migrate is interrupted, may run for 20s
      2s hook migrate finished: interrupted by SIGTERM
      2s exit
      2s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      2s exit code 143: stopped by SIGTERM
