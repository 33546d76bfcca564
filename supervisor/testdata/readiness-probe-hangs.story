A ready target hangs when it is probed again. The calls of Readiness.Ask that wait for this
probe return an error after 10s. The next call probes the target again.

-- usher --
usher --ready tcp://self:1 -- app
-- processes --
app: on a stop signal exits 0 after 1s
-- targets --
tcp://self:1: hangs from 20s to 30s
-- events --
10s ready?
25s ready?
28s ready?
37s ready?
38s ready?
40s TERM
-- trace --
      0s start
      0s   fork app
      0s ready
   100ms tcp://self:1 is ready
   100ms run
     35s readiness: tcp://self:1: no answer within 10s
   37.1s readiness: ok
     40s received SIGTERM
     40s stop
     40s   kill app SIGTERM
     41s app exited 0
     41s exit
     41s shutdown took 1s: drain 0s, stop 1s, leftovers 0s, post-stop 0s
     41s exit code 0: stopped by SIGTERM
     10s ready? answered at 10.1s: ok
     25s ready? answered at 35s: tcp://self:1: no answer within 10s
     28s ready? answered at 35s: tcp://self:1: no answer within 10s
     37s ready? answered at 37.1s: ok
     38s ready? answered at 38s: ok
