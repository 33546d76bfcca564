Without ready targets the app is ready as soon as it runs.

-- usher --
usher -- app
-- processes --
app: exits 0 after 5s
-- events --
1s ready?
-- trace --
      0s start
      0s   fork app
      0s run
      5s app exited 0
      5s exit
      5s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      5s exit code 0: <nil>
      1s ready? answered at 1s: ok
