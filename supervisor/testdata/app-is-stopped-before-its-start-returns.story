SIGSTOP stops the app before usher knows its pid. The app gets SIGCONT with its stop signal.

-- usher --
usher --grace 10s -- app
-- processes --
app: is stopped after 100ms; its start is reported 1s later; on a stop signal exits 0 after 1s
-- events --
5s TERM
-- trace --
      0s start
      0s   fork app
      1s run
      5s received SIGTERM
      5s stop
      5s   kill app SIGTERM
      5s   kill app SIGCONT
      6s app exited 0
      6s exit
      6s shutdown took 1s: drain 0s, stop 1s, leftovers 0s, post-stop 0s
      6s exit code 0: stopped by SIGTERM
