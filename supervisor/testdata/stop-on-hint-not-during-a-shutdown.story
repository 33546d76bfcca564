A stop signal comes before the log would suggest --stop-on. Then it suggests nothing.

-- usher --
usher --grace 30s --drain-delay 10s -- app
-- processes --
app: on a stop signal exits 0 after 1s
-- events --
1s USR1
2s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s   kill app SIGUSR1
      2s received SIGTERM
      2s drain
     12s delay over
     12s stop
     12s   kill app SIGTERM
     13s app exited 0
     13s exit
     13s shutdown took 11s: drain 10s, stop 1s, leftovers 0s, post-stop 0s
     13s exit code 0: stopped by SIGTERM
