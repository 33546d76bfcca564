No image uses SIGUSR2 as STOPSIGNAL, so the log suggests no --stop-on while the app runs.

-- usher --
usher --grace 10s -- app
-- processes --
app: ignores signals
-- events --
1s USR2
20s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s   kill app SIGUSR2
     20s received SIGTERM
     20s stop
     20s   kill app SIGTERM
     30s   kill app SIGKILL
     30s   kill everything SIGKILL
     30s app gets SIGKILL at the deadline
     30s app was killed by SIGKILL
     30s exit
     30s shutdown took 10s: drain 0s, stop 10s, leftovers 0s, post-stop 0s
     30s exit code 137: stopped by SIGTERM
