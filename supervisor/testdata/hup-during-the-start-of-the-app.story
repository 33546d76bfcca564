SIGTERM is received while the app is being started, and SIGHUP right after it. SIGHUP is no
stop signal for an app that runs, so it is forwarded after the stop signal. A second SIGTERM
is ignored.

-- usher --
usher --grace 10s -- app
-- processes --
app: its start takes 1200ms; on a stop signal exits 0 after 1s
-- events --
1s TERM
1050ms HUP
1100ms TERM
-- trace --
      0s start
      0s   fork app
      1s received SIGTERM
    1.2s run
    1.2s stop
    1.2s   kill app SIGTERM
    1.2s   kill app SIGHUP
    1.2s SIGTERM ignored
    2.2s app exited 0
    2.2s exit
    2.2s shutdown took 1.2s: drain 0s, stop 1s, leftovers 0s, post-stop 0s
    2.2s exit code 0: stopped by SIGTERM
