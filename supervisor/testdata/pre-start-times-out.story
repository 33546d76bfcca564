A pre-start hook ignores the SIGTERM at its timeout and gets SIGKILL a second later. The app
is not started, and the exit code is 125.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start 'timeout=3s migrate' --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: ignores signals
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
      3s   fork migrate TIME_LEFT=3
      6s   kill group of migrate SIGTERM
      7s   kill group of migrate SIGKILL
      7s hook migrate finished: timed out after 3s
      7s failed: pre-start: hook migrate failed: timed out after 3s
      7s post-stop
      7s   fork report REASON=pre-start EXIT_CODE=125 TIME_LEFT=10
      8s hook report finished: ok
      8s exit
      8s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
      8s exit code 125: pre-start: hook migrate failed: timed out after 3s
