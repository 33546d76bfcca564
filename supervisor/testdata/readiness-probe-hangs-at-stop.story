A stop signal is received while a probe for Readiness.Ask hangs. The call returns "stopping"
at once.

-- usher --
usher --ready tcp://self:1 -- app
-- processes --
app: on a stop signal exits 0 after 1s
-- targets --
tcp://self:1: hangs from 20s to 1h0m0s
-- events --
25s ready?
30s TERM
-- trace --
      0s start
      0s   fork app
      0s ready
   100ms tcp://self:1 is ready
   100ms run
     30s received SIGTERM
     30s stop
     30s   kill app SIGTERM
     31s app exited 0
     31s exit
     31s shutdown took 1s: drain 0s, stop 1s, leftovers 0s, post-stop 0s
     31s exit code 0: stopped by SIGTERM
     25s ready? answered at 30s: stopping
