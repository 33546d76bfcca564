Without --grace the log does not suggest --stop-on.

-- usher --
usher -- app
-- processes --
app: exits 0 after 20s
-- events --
1s USR1
-- trace --
      0s start
      0s   fork app
      0s run
      1s   kill app SIGUSR1
     20s app exited 0
     20s exit
     20s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
     20s exit code 0: <nil>
