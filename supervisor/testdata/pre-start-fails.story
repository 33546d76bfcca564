A pre-start hook fails. The next one and the app are not started; post-stop runs, and the
exit code is 125.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --pre-start seed --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: exits 7 after 1s
register: exits 0 after 1s
report: exits 0 after 1s
-- targets --
tcp://auth:1: ready after 3s
tcp://db:1: ready after 2s
tcp://self:1: ready after 1s
-- trace --
      0s wait
      2s tcp://db:1 is ready
      3s tcp://auth:1 is ready
      3s pre-start
      3s   fork migrate
      4s hook migrate finished: exit status 7
      4s failed: pre-start: hook migrate failed: exit status 7
      4s post-stop
      4s   fork report REASON=pre-start EXIT_CODE=125 TIME_LEFT=10
      5s hook report finished: ok
      5s exit
      5s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
      5s exit code 125: pre-start: hook migrate failed: exit status 7
