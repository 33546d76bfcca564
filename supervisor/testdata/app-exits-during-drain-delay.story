The app exits during the drain delay. The delay ends at once and the drain hooks are
skipped.

-- usher --
usher --grace 25s --drain-delay 5s --drain leave --drain flush -- app
-- processes --
app: exits 0 after 12s
flush: exits 0 after 1s
leave: exits 0 after 1s
-- events --
10s TERM
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     12s app exited 0
     12s delay over
     12s hook leave skipped: the app has exited
     12s hook flush skipped: the app has exited
     12s exit
     12s shutdown took 2s: drain 2s, stop 0s, leftovers 0s, post-stop 0s
     12s exit code 0: stopped by SIGTERM
