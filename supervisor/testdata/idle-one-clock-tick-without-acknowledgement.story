A request and an answer are moved within the same tick of the kernel's clock during the drain.
The kernel acknowledges the request only together with the answer, so the answer came last.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends a request at 11.05s, is answered at 11.05s, stays connected
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
   13.1s wait for clients over: 0 owed, 0 active, ok
   13.1s stop
   13.1s   kill app SIGTERM
   15.1s app exited 0
   15.1s exit
   15.1s shutdown took 5.1s: drain 3.1s, stop 2s, leftovers 0s, post-stop 0s
   15.1s exit code 0: stopped by SIGTERM
