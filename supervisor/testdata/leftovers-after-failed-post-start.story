A post-start hook fails, so the app is stopped as by a stop signal. The app exits during the
drain, and a drain hook still runs. The app's child may work until Budget.Kill, which is later
than the end of the reserve after the app's exit.

-- usher --
usher --grace 10s --stop-reserve 2s --post-start register --drain leave -- app
-- processes --
register: exits 1 after 100ms
leave: exits 0 after 5s
app: exits 3 after 1s; children worker
worker: on a stop signal exits 0 after 2s
-- trace --
      0s start
      0s   fork app
      0s post-start
      0s   fork register APP_PID=2
   100ms hook register finished: exit status 1
   100ms failed: post-start: hook register failed: exit status 1
   100ms drain
   100ms   fork leave REASON=post-start APP_PID=2 TIME_LEFT=8
      1s app exited 3
    5.1s hook leave finished: ok
    5.1s leftovers
    5.1s   kill worker SIGTERM
    5.1s   kill worker SIGCONT
    5.1s leftovers get SIGTERM: worker
    7.1s orphan 3 exited 0
    7.1s exit
    7.1s shutdown took 7s: drain 5s, stop 0s, leftovers 2s, post-stop 0s
    7.1s exit code 125: post-start: hook register failed: exit status 1
