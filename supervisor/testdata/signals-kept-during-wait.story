SIGUSR1 and SIGWINCH are received during the wait. They are kept and forwarded when the app
has started.

-- usher --
usher --wait tcp://db:1 --wait tcp://auth:1 --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
report: exits 0 after 1s
-- targets --
tcp://auth:1: ready after 3s
tcp://db:1: ready after 2s
-- events --
1s USR1
2.5s WINCH
20s TERM
-- trace --
      0s wait
      1s SIGUSR1 kept until the app has started
      2s tcp://db:1 is ready
    2.5s SIGWINCH kept until the app has started
      3s tcp://auth:1 is ready
      3s start
      3s   fork app
      3s   kill app SIGUSR1
      3s   kill app SIGWINCH
      3s run
      8s hint: --stop-on SIGUSR1
     20s received SIGTERM
     20s drain
     25s delay over
     25s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=5
     26s hook leave finished: ok
     26s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=4
     27s hook flush finished: ok
     27s stop
     27s   kill app SIGTERM
     29s app exited 0
     29s post-stop
     29s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
     30s hook report finished: ok
     30s exit
     30s shutdown took 10s: drain 7s, stop 2s, leftovers 0s, post-stop 1s
     30s exit code 0: stopped by SIGTERM
