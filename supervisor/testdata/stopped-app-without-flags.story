Without any flag a stopped app gets SIGCONT after its stop signal too.

-- usher --
usher -- app
-- processes --
app: is stopped after 500ms; on a stop signal exits 5
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
      1s app exited 5
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 5: stopped by SIGTERM
