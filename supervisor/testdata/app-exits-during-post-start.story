The app exits while a post-start hook runs. The hook is terminated, and the app's exit
status counts.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: exits 5 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: exits 0 after 4s
register: on a stop signal exits 0 after 1ns
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
      7s   fork app
      7s ready
      8s tcp://self:1 is ready
      8s post-start
      8s   fork register APP_PID=3
      9s app exited 5
      9s   kill group of register SIGTERM
9.000000001s hook register finished: the app has exited
9.000000001s post-stop
9.000000001s   fork report REASON=exit EXIT_CODE=5 TIME_LEFT=10
10.000000001s hook report finished: ok
10.000000001s exit
10.000000001s shutdown took 1.000000001s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
10.000000001s exit code 5: <nil>
