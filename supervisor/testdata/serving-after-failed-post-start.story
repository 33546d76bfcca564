A post-start hook fails, so usher drains and stops the app. The app was ready, and serves
until its stop signal.

-- usher --
usher --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s -- app
-- processes --
app: on a stop signal exits 0 after 1s
register: exits 1 after 1s
-- targets --
tcp://self:1: ready after 1s
-- events --
3s ready?
3s serving?
7.5s serving?
-- trace --
      0s start
      0s   fork app
      0s ready
      1s tcp://self:1 is ready
      1s post-start
      1s   fork register APP_PID=2
      2s hook register finished: exit status 1
      2s failed: post-start: hook register failed: exit status 1
      2s drain
      7s delay over
      7s stop
      7s   kill app SIGTERM
      8s app exited 0
      8s exit
      8s shutdown took 6s: drain 5s, stop 1s, leftovers 0s, post-stop 0s
      8s exit code 125: post-start: hook register failed: exit status 1
      3s ready? answered at 3s: stopping
      3s serving? answered at 3s: ok
    7.5s serving? answered at 7.5s: stopping
