Without any flag usher exits with the app's exit status.

-- usher --
usher -- app
-- processes --
app: exits 3 after 1m0s
-- trace --
      0s start
      0s   fork app
      0s run
    1m0s app exited 3
    1m0s exit
    1m0s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
    1m0s exit code 3: <nil>
