The app exits by itself while a post-start hook runs, and then the context of Run ends. The
app's exit is the reason for the shutdown, and the deadline counts from it.

-- usher --
usher --grace 2s --post-start hook -- app
-- processes --
hook: on a stop signal exits 1 after 700ms; children helper
helper: on a stop signal exits 0 after 300ms
app: exits 3 after 500ms
-- events --
1s cancel
-- trace --
      0s start
      0s   fork app
      0s post-start
      0s   fork hook APP_PID=2
   500ms app exited 3
   500ms   kill group of hook SIGTERM
    1.2s hook hook finished: the app has exited
    1.2s exit
    1.2s shutdown took 700ms: drain 0s, stop 0s, leftovers 0s, post-stop 0s
    1.2s exit code 3: <nil>
