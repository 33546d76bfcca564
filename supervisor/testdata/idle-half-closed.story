A client has shut down its side of the connection and still waits for the answer. usher
waits too.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends a request at 9s, shuts down its side at 9s, is answered at 14s, stays connected
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
     16s wait for clients over: 0 owed, 0 active, ok
     16s stop
     16s   kill app SIGTERM
     18s app exited 0
     18s exit
     18s shutdown took 8s: drain 6s, stop 2s, leftovers 0s, post-stop 0s
     18s exit code 0: stopped by SIGTERM
