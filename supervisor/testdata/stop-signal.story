The app gets --stop-signal, whatever stop signal usher received.

-- usher --
usher --grace 10s --stop-signal QUIT --stop-on WINCH -- app
-- processes --
app: on a stop signal exits 0 after 1s
-- events --
5s WINCH
-- trace --
      0s start
      0s   fork app
      0s run
      5s received SIGWINCH
      5s stop
      5s   kill app SIGQUIT
      6s app exited 0
      6s exit
      6s shutdown took 1s: drain 0s, stop 1s, leftovers 0s, post-stop 0s
      6s exit code 0: stopped by SIGWINCH
