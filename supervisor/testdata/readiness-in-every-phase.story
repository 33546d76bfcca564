Readiness.Ask and AskServing are called in every phase. The ready target fails from 20s to
30s. A result younger than a second is used again. In the drain the app is not ready any
more, but serves until its stop signal.

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
tcp://self:1: not ready from 20s to 30s
-- events --
1s ready?
1s serving?
8s ready?
8s serving?
10.5s ready?
10.5s serving?
19.8s ready?
19.8s serving?
20.2s ready?
20.2s serving?
20.8s ready?
20.8s serving?
21.9s ready?
21.9s serving?
22s ready?
22s serving?
31s ready?
31s serving?
39.95s ready?
39.95s serving?
40s TERM
40.5s ready?
40.5s serving?
45.5s ready?
45.5s serving?
46.99s serving?
47.01s serving?
47.5s ready?
47.5s serving?
49.5s serving?
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
    7.1s tcp://self:1 is ready
    7.1s post-start
    7.1s   fork register APP_PID=3
    8.1s hook register finished: ok
    8.1s run
     22s readiness: tcp://self:1: connection refused
   31.1s readiness: ok
     40s received SIGTERM
     40s drain
     45s delay over
     45s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=3 TIME_LEFT=5
     46s hook leave finished: ok
     46s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=3 TIME_LEFT=4
     47s hook flush finished: ok
     47s stop
     47s   kill app SIGTERM
     49s app exited 0
     49s post-stop
     49s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=0 TIME_LEFT=10
     50s hook report finished: ok
     50s exit
     50s shutdown took 10s: drain 7s, stop 2s, leftovers 0s, post-stop 1s
     50s exit code 0: stopped by SIGTERM
      1s ready? answered at 1s: not ready yet: wait
      1s serving? answered at 1s: not ready yet: wait
      8s ready? answered at 8s: ok
      8s serving? answered at 8s: ok
   10.5s ready? answered at 10.6s: ok
   10.5s serving? answered at 10.6s: ok
   19.8s ready? answered at 19.9s: ok
   19.8s serving? answered at 19.9s: ok
   20.2s ready? answered at 20.2s: ok
   20.2s serving? answered at 20.2s: ok
   20.8s ready? answered at 20.8s: ok
   20.8s serving? answered at 20.8s: ok
   21.9s ready? answered at 22s: tcp://self:1: connection refused
   21.9s serving? answered at 22s: tcp://self:1: connection refused
     22s ready? answered at 22s: tcp://self:1: connection refused
     22s serving? answered at 22s: tcp://self:1: connection refused
     31s ready? answered at 31.1s: ok
     31s serving? answered at 31.1s: ok
  39.95s ready? answered at 40s: stopping
  39.95s serving? answered at 40s: ok
   40.5s ready? answered at 40.5s: stopping
   40.5s serving? answered at 40.5s: ok
   45.5s ready? answered at 45.5s: stopping
   45.5s serving? answered at 45.5s: ok
  46.99s serving? answered at 46.99s: ok
  47.01s serving? answered at 47.01s: stopping
   47.5s ready? answered at 47.5s: stopping
   47.5s serving? answered at 47.5s: stopping
   49.5s serving? answered at 49.5s: stopping
