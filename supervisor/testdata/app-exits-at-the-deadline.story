The app exits at the very moment of the deadline, and its SIGCHLD is lost. usher reaps it
before it would send SIGKILL.

-- usher --
usher --grace 10s -- app
-- processes --
app: on a stop signal exits 0 after 9s; its SIGCHLD is lost
-- events --
5s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      5s received SIGTERM
      5s stop
      5s   kill app SIGTERM
     15s app exited 0
     15s exit
     15s shutdown took 10s: drain 0s, stop 10s, leftovers 0s, post-stop 0s
     15s exit code 0: stopped by SIGTERM
