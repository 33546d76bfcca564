A stop signal is received while a probe for Readiness hangs. Ask returns "stopping" at once.
AskServing returns the last result from before the probe, because the app still serves.

-- usher --
usher --ready tcp://self:1 --grace 20s --drain-delay 5s -- app
-- processes --
app: on a stop signal exits 0 after 1s
-- targets --
tcp://self:1: hangs from 20s to 1h0m0s
-- events --
25s ready?
25s serving?
30s TERM
32s serving?
-- trace --
      0s start
      0s   fork app
      0s ready
   100ms tcp://self:1 is ready
   100ms run
     30s received SIGTERM
     30s drain
     35s delay over
     35s stop
     35s   kill app SIGTERM
     36s app exited 0
     36s exit
     36s shutdown took 6s: drain 5s, stop 1s, leftovers 0s, post-stop 0s
     36s exit code 0: stopped by SIGTERM
     25s ready? answered at 30s: stopping
     25s serving? answered at 30s: ok
     32s serving? answered at 32s: ok
