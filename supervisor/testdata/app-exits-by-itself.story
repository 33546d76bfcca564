The app exits by itself. There is no drain and no stop. Only the post-stop hook runs, and
usher exits with the app's exit status.

-- usher --
usher --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: exits 9 after 1m0s
flush: exits 0 after 1s
leave: exits 0 after 1s
report: exits 0 after 1s
-- trace --
      0s start
      0s   fork app
      0s run
    1m0s app exited 9
    1m0s post-stop
    1m0s   fork report REASON=exit EXIT_CODE=9 TIME_LEFT=10
    1m1s hook report finished: ok
    1m1s exit
    1m1s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
    1m1s exit code 9: <nil>
