A pre-start hook is a script without a trap, so SIGTERM kills it. Then usher sends SIGTERM
to the other processes of its process group. The hook has finished when the group is empty.

-- usher --
usher --pre-start script -- app
-- processes --
script: children migrate
migrate: on a stop signal exits 1 after 3s; is killed by a second stop signal
-- events --
1s TERM
-- trace --
      0s pre-start
      0s   fork script
      1s received SIGTERM
      1s   kill script SIGTERM
      1s hook script is interrupted, without a limit
      1s   kill group of migrate SIGTERM
      1s   kill group of migrate SIGCONT
      4s orphan 3 exited 1
      4s hook script finished: interrupted by SIGTERM: killed by SIGTERM
      4s exit
      4s shutdown took 3s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      4s exit code 143: stopped by SIGTERM
