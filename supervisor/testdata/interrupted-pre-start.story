A stop signal is received while a migration runs. The migration gets SIGTERM and time to
roll back.

-- usher --
usher --grace 25s --pre-start 'timeout=20s migrate' -- app
-- processes --
migrate: on a stop signal exits 1 after 3s
-- events --
1s TERM
-- trace --
      0s pre-start
      0s   fork migrate TIME_LEFT=20
      1s received SIGTERM
      1s   kill migrate SIGTERM
      1s   kill migrate SIGCONT
      1s hook migrate is interrupted, may run for 25s
      4s hook migrate finished: interrupted by SIGTERM: exit status 1
      4s exit
      4s shutdown took 3s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      4s exit code 143: stopped by SIGTERM
