The app has moved to another group, and its child is still in the old one. Both get the stop
signal.

-- usher --
usher --group --grace 10s -- app
-- processes --
app: on a stop signal exits 0; children child; moves to another group
child: on a stop signal exits 0
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s stop
      1s   kill group of child SIGTERM
      1s   kill app SIGTERM
      1s app exited 0
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 0: stopped by SIGTERM
