Clients send requests in the drain. The app is stopped 2s after the last answer.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends a request at 10.5s, is answered at 10.6s, sends a request at 12s, is answered at 12.34s, stays connected
a client connects at 13s, sends a request at 13s, is answered at 13.3s, disconnects at 13.3s
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
   15.3s wait for clients over: 0 owed, 0 active, ok
   15.3s stop
   15.3s   kill app SIGTERM
   17.3s app exited 0
   17.3s exit
   17.3s shutdown took 7.3s: drain 5.3s, stop 2s, leftovers 0s, post-stop 0s
   17.3s exit code 0: stopped by SIGTERM
