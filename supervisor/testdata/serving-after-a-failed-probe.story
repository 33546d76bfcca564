In the drain AskServing returns the last result from before the shutdown, here a failure,
and does not probe the target again.

-- usher --
usher --ready tcp://self:1 --grace 25s --drain-delay 5s -- app
-- processes --
app: on a stop signal exits 0 after 1s
-- targets --
tcp://self:1: not ready from 10s to 20.5s
-- events --
19s serving?
20s TERM
22s serving?
24s ready?
24.9s serving?
25.5s serving?
-- trace --
      0s start
      0s   fork app
      0s ready
   100ms tcp://self:1 is ready
   100ms run
   19.1s readiness: tcp://self:1: connection refused
     20s received SIGTERM
     20s drain
     25s delay over
     25s stop
     25s   kill app SIGTERM
     26s app exited 0
     26s exit
     26s shutdown took 6s: drain 5s, stop 1s, leftovers 0s, post-stop 0s
     26s exit code 0: stopped by SIGTERM
     19s serving? answered at 19.1s: tcp://self:1: connection refused
     22s serving? answered at 22s: tcp://self:1: connection refused
     24s ready? answered at 24s: stopping
   24.9s serving? answered at 24.9s: tcp://self:1: connection refused
   25.5s serving? answered at 25.5s: stopping
