A stop signal is received before the app was ready. It counts neither as ready nor as
serving during the drain.

-- usher --
usher --ready tcp://self:1 --grace 25s --drain-delay 5s -- app
-- processes --
app: on a stop signal exits 0 after 1s
-- targets --
tcp://self:1: never ready
-- events --
1s serving?
2s TERM
3s ready?
3s serving?
-- trace --
      0s start
      0s   fork app
      0s ready
      2s received SIGTERM
      2s drain
      7s delay over
      7s stop
      7s   kill app SIGTERM
      8s app exited 0
      8s exit
      8s shutdown took 6s: drain 5s, stop 1s, leftovers 0s, post-stop 0s
      8s exit code 0: stopped by SIGTERM
      1s serving? answered at 1s: not ready yet: ready
      3s ready? answered at 3s: stopping
      3s serving? answered at 3s: stopping
