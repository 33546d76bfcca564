A stop signal interrupts a post-start hook. The app is ready and serves until its stop
signal, also while usher waits for the hook.

-- usher --
usher --ready tcp://self:1 --post-start register --grace 25s --drain-delay 5s -- app
-- processes --
app: on a stop signal exits 0 after 1s
register: on a stop signal exits 0 after 3s
-- targets --
tcp://self:1: ready after 1s
-- events --
1.5s serving?
2s TERM
3s ready?
3s serving?
6s serving?
10.5s serving?
-- trace --
      0s start
      0s   fork app
      0s ready
      1s tcp://self:1 is ready
      1s post-start
      1s   fork register APP_PID=2
      2s received SIGTERM
      2s   kill register SIGTERM
      2s   kill register SIGCONT
      2s hook register is interrupted, may run for 15s
      5s hook register finished: interrupted by SIGTERM
      5s drain
     10s delay over
     10s stop
     10s   kill app SIGTERM
     11s app exited 0
     11s exit
     11s shutdown took 9s: drain 5s, stop 1s, leftovers 0s, post-stop 0s
     11s exit code 0: stopped by SIGTERM
    1.5s serving? answered at 1.5s: ok
      3s ready? answered at 3s: stopping
      3s serving? answered at 3s: ok
      6s serving? answered at 6s: ok
   10.5s serving? answered at 10.5s: stopping
