After the answer the client sends 13 bytes, such as a WINDOW_UPDATE of HTTP/2. They are
probably not a request, so usher waits only 5s for an answer.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends a request at 11s, is answered at 11.2s, sends 13 bytes at 11.4s, stays connected
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
   16.4s wait for clients over: 0 owed, 0 active, ok
   16.4s stop
   16.4s   kill app SIGTERM
   18.4s app exited 0
   18.4s exit
   18.4s shutdown took 8.4s: drain 6.4s, stop 2s, leftovers 0s, post-stop 0s
   18.4s exit code 0: stopped by SIGTERM
