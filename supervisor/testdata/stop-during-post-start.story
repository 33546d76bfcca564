The whole timeline with a stop signal in post-start. The hook gets SIGTERM, and the drain
runs in full.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --pre-start migrate --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
migrate: exits 0 after 4s
register: on a stop signal exits 0 after 500ms
report: exits 0 after 1s
-- targets --
tcp://auth:1: ready after 3s
tcp://db:1: ready after 2s
tcp://self:1: ready after 1s
-- events --
10s TERM
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
     10s received SIGTERM
     10s   kill register SIGTERM
     10s   kill register SIGCONT
     10s hook register is interrupted, may run for 10s
   10.5s hook register finished: interrupted by SIGTERM
   10.5s drain
   15.5s delay over
   15.5s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=3 TIME_LEFT=4
   16.5s hook leave finished: ok
   16.5s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=3 TIME_LEFT=3
   17.5s hook flush finished: ok
   17.5s stop
   17.5s   kill app SIGTERM
   19.5s app exited 0
   19.5s post-stop
   19.5s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
   20.5s hook report finished: ok
   20.5s exit
   20.5s shutdown took 10.5s: drain 7s, stop 2s, leftovers 0s, post-stop 1s
   20.5s exit code 0: stopped by SIGTERM
