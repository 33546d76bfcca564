A SIGTERM during the wait ends it: the app is not started, and the exit code is 143.

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
1s TERM
-- trace --
      0s wait
      1s received SIGTERM
      1s post-stop
      1s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=143 TIME_LEFT=10
      2s hook report finished: ok
      2s exit
      2s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
      2s exit code 143: stopped by SIGTERM
