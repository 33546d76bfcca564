A signal of --stop-on ends the wait: the app is not started.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --stop-on WINCH --post-stop report -- app
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
1s WINCH
-- trace --
      0s wait
      1s received SIGWINCH
      1s post-stop
      1s   fork report REASON=signal SIGNAL=SIGWINCH EXIT_CODE=156 TIME_LEFT=10
      2s hook report finished: ok
      2s exit
      2s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
      2s exit code 156: stopped by SIGWINCH
