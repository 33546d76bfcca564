With --stop-signal none a drain hook stops the app. The app gets no stop signal, not even a
repeated one.

-- usher --
usher --grace 10s --drain quit --stop-signal none -- app
-- processes --
app: exits 0 after 4s; is killed by a second stop signal
quit: exits 0 after 1s
-- events --
1s TERM
3s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s drain
      1s   fork quit REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=5
      2s hook quit finished: ok
      2s stop
      2s no stop signal
      3s SIGTERM ignored
      4s app exited 0
      4s exit
      4s shutdown took 3s: drain 1s, stop 2s, leftovers 0s, post-stop 0s
      4s exit code 0: stopped by SIGTERM
