Without --grace usher forwards every stop signal and never kills an app that ignores them.

-- usher --
usher -- app
-- processes --
app: exits 0 after 1h0m0s; ignores signals
-- events --
10s TERM
20s TERM
30s INT
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s stop
     10s   kill app SIGTERM
     20s   kill app SIGTERM
     30s   kill app SIGINT
  1h0m0s app exited 0
  1h0m0s exit
  1h0m0s shutdown took 59m50s: drain 0s, stop 59m50s, leftovers 0s, post-stop 0s
  1h0m0s exit code 0: stopped by SIGTERM
