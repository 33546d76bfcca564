The timeout= of a pre-start hook still applies after a stop signal. When it has passed, the
hook gets SIGKILL at once, because it has got SIGTERM before.

-- usher --
usher --grace 25s --pre-start 'timeout=5s migrate' -- app
-- processes --
migrate: ignores signals
-- events --
1s TERM
-- trace --
      0s pre-start
      0s   fork migrate TIME_LEFT=5
      1s received SIGTERM
      1s   kill migrate SIGTERM
      1s   kill migrate SIGCONT
      1s hook migrate is interrupted, may run for 25s
      5s   kill group of migrate SIGKILL
      5s hook migrate finished: interrupted by SIGTERM: timed out after 5s
      5s exit
      5s shutdown took 4s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      5s exit code 143: stopped by SIGTERM
