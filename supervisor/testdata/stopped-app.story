An app that SIGSTOP has stopped gets SIGCONT after its stop signal.

-- usher --
usher --grace 10s -- app
-- processes --
app: is stopped after 500ms; on a stop signal exits 0 after 1s
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
      1s   kill app SIGCONT
      2s app exited 0
      2s exit
      2s shutdown took 1s: drain 0s, stop 1s, leftovers 0s, post-stop 0s
      2s exit code 0: stopped by SIGTERM
