Some polls of the connections fail during the drain. usher polls again, because a request is open.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
sockets cannot be listed from 10.9s to 12.5s
a client connects at 9s, sends a request at 9s, is answered at 15s, stays connected
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
     17s wait for clients over: 0 owed, 0 active, ok
     17s stop
     17s   kill app SIGTERM
     19s app exited 0
     19s exit
     19s shutdown took 9s: drain 7s, stop 2s, leftovers 0s, post-stop 0s
     19s exit code 0: stopped by SIGTERM
