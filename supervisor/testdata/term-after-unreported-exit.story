The app has exited, but its SIGCHLD is lost. usher reaps it before it handles the SIGTERM,
so the app's own exit is the reason.

-- usher --
usher --grace 25s --drain-delay 5s --drain leave --drain flush -- app
-- processes --
app: exits 3 after 5s; its SIGCHLD is lost
-- events --
6s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      6s app exited 3
      6s SIGTERM ignored: the app has exited
      6s exit
      6s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      6s exit code 3: <nil>
