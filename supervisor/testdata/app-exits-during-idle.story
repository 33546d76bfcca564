The app exits while a client waits for an answer. --drain-idle ends at once.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 9s, sends a request at 9s
-- processes --
app: exits 0 after 13s
leave: exits 0 after 1s
-- events --
10s TERM
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     10s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
     11s hook leave finished: ok
     11s wait until the clients are idle for 2s
     13s app exited 0
     13s wait for clients over: 1 owed, 0 active, the app has exited
     13s exit
     13s shutdown took 3s: drain 3s, stop 0s, leftovers 0s, post-stop 0s
     13s exit code 0: stopped by SIGTERM
