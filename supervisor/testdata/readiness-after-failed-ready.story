A ready target is not ready in time, so usher stops the app. Ask and AskServing return "not
ready yet" before that, and "stopping" after it, because the app was never ready.

-- usher --
usher --ready 'within=2s tcp://self:1' --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: on a stop signal exits 0 after 2s
flush: exits 0 after 1s
leave: exits 0 after 1s
report: exits 0 after 1s
-- targets --
tcp://self:1: never ready
-- events --
1s ready?
1s serving?
2.5s ready?
2.5s serving?
-- trace --
      0s start
      0s   fork app
      0s ready
      2s failed: ready: tcp://self:1 was not ready within 2s; tcp://self:1: no answer yet (1 attempt in 2s)
      2s drain
      7s delay over
      7s   fork leave REASON=ready APP_PID=2 TIME_LEFT=5
      8s hook leave finished: ok
      8s   fork flush REASON=ready APP_PID=2 TIME_LEFT=4
      9s hook flush finished: ok
      9s stop
      9s   kill app SIGTERM
     11s app exited 0
     11s post-stop
     11s   fork report REASON=ready EXIT_CODE=124 TIME_LEFT=10
     12s hook report finished: ok
     12s exit
     12s shutdown took 10s: drain 7s, stop 2s, leftovers 0s, post-stop 1s
     12s exit code 124: ready: tcp://self:1 was not ready within 2s; tcp://self:1: no answer yet (1 attempt in 2s)
      1s ready? answered at 1s: not ready yet: ready
      1s serving? answered at 1s: not ready yet: ready
    2.5s ready? answered at 2.5s: stopping
    2.5s serving? answered at 2.5s: stopping
