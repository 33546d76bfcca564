A request and an answer were moved within the same tick of the kernel's clock before the
drain. Their order is unknown, so usher waits 5s for a possible answer.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends a request at 9.996s, is answered at 9.996s, stays connected
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
     15s wait for clients over: 0 owed, 0 active, ok
     15s stop
     15s   kill app SIGTERM
     17s app exited 0
     17s exit
     17s shutdown took 7s: drain 5s, stop 2s, leftovers 0s, post-stop 0s
     17s exit code 0: stopped by SIGTERM
