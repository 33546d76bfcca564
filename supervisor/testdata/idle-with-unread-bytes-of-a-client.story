The app has answered, but the client reads the last byte of the answer only at 16s, as in a
slow download. The app is stopped 2s later.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends a request at 9s, is answered at 9.1s, has read the answer at 16s
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
   17.9s wait for clients over: 0 owed, 0 active, ok
   17.9s stop
   17.9s   kill app SIGTERM
   19.9s app exited 0
   19.9s exit
   19.9s shutdown took 9.9s: drain 7.9s, stop 2s, leftovers 0s, post-stop 0s
   19.9s exit code 0: stopped by SIGTERM
