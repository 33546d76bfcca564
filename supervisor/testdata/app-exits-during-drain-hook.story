The app exits while a drain hook runs. The hook may finish; the hooks after it are skipped.

-- usher --
usher --grace 25s --drain-delay 5s --drain leave --drain flush -- app
-- processes --
app: exits 0 after 16s
flush: exits 0 after 1s
leave: exits 0 after 3s
-- events --
10s TERM
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     15s delay over
     15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
     16s app exited 0
     18s hook leave finished: ok
     18s hook flush skipped: the app has exited
     18s exit
     18s shutdown took 8s: drain 8s, stop 0s, leftovers 0s, post-stop 0s
     18s exit code 0: stopped by SIGTERM
