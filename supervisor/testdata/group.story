With --group signals are sent to the app's process group.

-- usher --
usher --group -- app
-- processes --
app: on a stop signal exits 0
-- events --
1s USR1
2s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s   kill group of app SIGUSR1
      2s received SIGTERM
      2s stop
      2s   kill group of app SIGTERM
      2s app exited 0
      2s exit
      2s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      2s exit code 0: stopped by SIGTERM
