Daemonized.

-- usher --
usher -- app
-- processes --
app: exits 0 after 1s; leaves d1 d2 d3
-- trace --
      0s start
      0s   fork app
      0s run
      1s app exited 0
      1s left behind: d1 d2 d3
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 0: <nil>
