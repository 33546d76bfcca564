A request and an answer were moved within the same tick of the kernel's clock before the drain.
The client acknowledged bytes after it had sent its last byte, so the answer came last.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends a request at 9.996s, is answered at 9.996s, acknowledges the answer at 10.036s, stays connected
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
     13s wait for clients over: 0 owed, 0 active, ok
     13s stop
     13s   kill app SIGTERM
     15s app exited 0
     15s exit
     15s shutdown took 5s: drain 3s, stop 2s, leftovers 0s, post-stop 0s
     15s exit code 0: stopped by SIGTERM
