A target is not ready within --wait-timeout. The app is not started, and the exit code is
124.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --wait-timeout 10s --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: exits 0 after 4s
register: exits 0 after 1s
report: exits 0 after 1s
-- targets --
tcp://auth:1: never ready
tcp://db:1: ready after 2s
tcp://self:1: ready after 1s
-- trace --
      0s wait
      2s tcp://db:1 is ready
      5s still waiting for 1
     10s failed: wait: timed out after 10s; tcp://auth:1: no answer yet (1 attempt in 10s)
     10s post-stop
     10s   fork report REASON=wait EXIT_CODE=124 TIME_LEFT=10
     11s hook report finished: ok
     11s exit
     11s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
     11s exit code 124: wait: timed out after 10s; tcp://auth:1: no answer yet (1 attempt in 10s)
