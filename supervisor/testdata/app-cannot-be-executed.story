The app is found but cannot be executed. Only the post-stop hook runs, and the exit code is
126.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: cannot be executed
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: exits 0 after 4s
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
      7s hook migrate finished: ok
      7s start
      7s failed: start: cannot run app: permission denied
      7s post-stop
      7s   fork report REASON=not-found EXIT_CODE=126 TIME_LEFT=10
      8s hook report finished: ok
      8s exit
      8s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
      8s exit code 126: start: cannot run app: permission denied
