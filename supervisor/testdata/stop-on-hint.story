The app exits 4s after a forwarded SIGQUIT, which was probably meant to stop it. The log
suggests --stop-on.

-- usher --
usher --grace 10s -- app
-- processes --
app: on a stop signal exits 0 after 4s
-- events --
1s QUIT
-- trace --
      0s start
      0s   fork app
      0s run
      1s   kill app SIGQUIT
      5s app exited 0
      5s hint: --stop-on SIGQUIT
      5s exit
      5s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      5s exit code 0: <nil>
