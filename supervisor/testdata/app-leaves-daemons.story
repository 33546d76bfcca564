Without --grace the app exits and leaves three daemons running. The log names them.

-- usher --
usher -- app
-- processes --
app: exits 0 after 1s; leaves d1 d2 d3 running
-- trace --
      0s start
      0s   fork app
      0s run
      1s app exited 0
      1s still running: d1 d2 d3
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 0: <nil>
