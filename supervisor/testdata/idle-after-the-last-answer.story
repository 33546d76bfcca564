A request is answered after 20s, at 29s. The app is stopped 2s later, although the client
stays connected.

-- usher --
usher --health :8086 --grace 60s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends a request at 9s, is answered at 29s, stays connected
-- processes --
app: on a stop signal exits 0 after 2s
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
     31s wait for clients over: 0 owed, 0 active, ok
     31s stop
     31s   kill app SIGTERM
     33s app exited 0
     33s exit
     33s shutdown took 23s: drain 21s, stop 2s, leftovers 0s, post-stop 0s
     33s exit code 0: stopped by SIGTERM
