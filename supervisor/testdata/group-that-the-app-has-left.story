With --group the app itself is signalled if it has left its process group.

-- usher --
usher --group --grace 10s -- app
-- processes --
app: moves to another group; on a stop signal exits 0
-- events --
500ms HUP
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
   500ms   kill app SIGHUP
      1s received SIGTERM
      1s stop
      1s   kill app SIGTERM
      1s app exited 0
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 0: stopped by SIGTERM
