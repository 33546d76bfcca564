SIGTERM is repeated while a post-start hook finishes, so the app has not got its stop signal
yet. The app gets SIGTERM once.

-- usher --
usher --grace 10s --post-start register -- app
-- processes --
register: on a stop signal exits 1 after 2s
app: on a stop signal exits 0 after 1s; is killed by a second stop signal
-- events --
1s TERM
2s TERM
-- trace --
      0s start
      0s   fork app
      0s post-start
      0s   fork register APP_PID=2
      1s received SIGTERM
      1s   kill register SIGTERM
      1s   kill register SIGCONT
      1s hook register is interrupted, may run for 5s
      3s hook register finished: interrupted by SIGTERM: exit status 1
      3s stop
      3s   kill app SIGTERM
      3s SIGTERM ignored
      4s app exited 0
      4s exit
      4s shutdown took 3s: drain 0s, stop 1s, leftovers 0s, post-stop 0s
      4s exit code 0: stopped by SIGTERM
