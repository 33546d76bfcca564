The app exits before its ready target is ready. The post-start hook is skipped, and the
app's exit status counts.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: exits 4 after 1s
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: exits 0 after 4s
register: exits 0 after 1s
report: exits 0 after 1s
-- targets --
tcp://auth:1: ready after 3s
tcp://db:1: ready after 2s
tcp://self:1: never ready
-- trace --
      0s wait
      2s tcp://db:1 is ready
      3s tcp://auth:1 is ready
      3s pre-start
      3s   fork migrate
      7s hook migrate finished: ok
      7s start
      7s   fork app
      7s ready
      8s app exited 4
      8s post-stop
      8s   fork report REASON=exit EXIT_CODE=4 TIME_LEFT=10
      9s hook report finished: ok
      9s exit
      9s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
      9s exit code 4: <nil>
