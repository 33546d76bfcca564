Without --grace a pre-start hook may run as long as it needs after a stop signal.

-- usher --
usher --pre-start migrate -- app
-- processes --
migrate: on a stop signal exits 1 after 1h
-- events --
1s TERM
-- trace --
      0s pre-start
      0s   fork migrate
      1s received SIGTERM
      1s   kill migrate SIGTERM
      1s   kill migrate SIGCONT
      1s hook migrate is interrupted, without a limit
  1h0m1s hook migrate finished: interrupted by SIGTERM: exit status 1
  1h0m1s exit
  1h0m1s shutdown took 1h0m0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
  1h0m1s exit code 143: stopped by SIGTERM
