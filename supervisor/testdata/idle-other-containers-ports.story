Another container of the pod listens on port 9000. usher does not wait for its clients.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client of port 9000 connects at 1s, sends a request at 9s, is answered at 24s
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
