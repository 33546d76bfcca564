A stop signal is received while the app is being started. The app is stopped as usual when
the start has returned.

-- usher --
usher --grace 5s -- app
-- processes --
app: its start takes 1200ms; on a stop signal exits 0 after 1s
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      1s received SIGTERM
    1.2s run
    1.2s stop
    1.2s   kill app SIGTERM
    2.2s app exited 0
    2.2s exit
    2.2s shutdown took 1.2s: drain 0s, stop 1s, leftovers 0s, post-stop 0s
    2.2s exit code 0: stopped by SIGTERM
