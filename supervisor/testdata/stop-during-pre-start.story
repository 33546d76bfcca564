A stop signal is received while a pre-start hook runs. The hook gets SIGTERM, and the app is
not started.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: exits 0 after 4s
register: exits 0 after 1s
report: exits 0 after 1s
-- targets --
tcp://auth:1: ready after 3s
tcp://db:1: ready after 2s
tcp://self:1: ready after 1s
-- events --
5s TERM
-- trace --
      0s wait
      2s tcp://db:1 is ready
      3s tcp://auth:1 is ready
      3s pre-start
      3s   fork migrate
      5s received SIGTERM
      5s   kill migrate SIGTERM
      5s hook migrate is interrupted, may run for 20s
      5s hook migrate finished: interrupted by SIGTERM: killed by SIGTERM
      5s post-stop
      5s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=143 TIME_LEFT=10
      6s hook report finished: ok
      6s exit
      6s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
      6s exit code 143: stopped by SIGTERM
