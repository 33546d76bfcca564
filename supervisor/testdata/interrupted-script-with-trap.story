A pre-start hook is a script whose trap forwards SIGTERM to its child. When the script
exits, that child becomes usher's child. usher would signal it only when half of the
remaining time has passed.

-- usher --
usher --grace 20s --pre-start script -- app
-- processes --
script: on a stop signal exits 1; forwards it to its children; children migrate
migrate: on a stop signal exits 1 after 3s; is killed by a second stop signal
-- events --
1s TERM
-- trace --
      0s pre-start
      0s   fork script
      1s received SIGTERM
      1s   kill script SIGTERM
      1s   script forwards SIGTERM to migrate
      1s hook script is interrupted, may run for 20s
      1s hook script finished: interrupted by SIGTERM: exit status 1
      1s leftovers
      4s orphan 3 exited 1
      4s exit
      4s shutdown took 3s: drain 0s, stop 0s, leftovers 3s, post-stop 0s
      4s exit code 143: stopped by SIGTERM
