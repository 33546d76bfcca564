Without ready targets the app is ready as soon as it runs, and serves until its stop signal.

-- usher --
usher --grace 20s --drain-delay 5s -- app
-- processes --
app: on a stop signal exits 0 after 1s
-- events --
1s ready?
1s serving?
10s TERM
12s ready?
12s serving?
15.5s ready?
15.5s serving?
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     15s delay over
     15s stop
     15s   kill app SIGTERM
     16s app exited 0
     16s exit
     16s shutdown took 6s: drain 5s, stop 1s, leftovers 0s, post-stop 0s
     16s exit code 0: stopped by SIGTERM
      1s ready? answered at 1s: ok
      1s serving? answered at 1s: ok
     12s ready? answered at 12s: stopping
     12s serving? answered at 12s: ok
   15.5s ready? answered at 15.5s: stopping
   15.5s serving? answered at 15.5s: stopping
