The first request of a connection has only 13 bytes. usher waits until it is answered.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends 13 bytes at 11.2s, is answered at 22s, stays connected
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
     24s wait for clients over: 0 owed, 0 active, ok
     24s stop
     24s   kill app SIGTERM
     26s app exited 0
     26s exit
     26s shutdown took 16s: drain 14s, stop 2s, leftovers 0s, post-stop 0s
     26s exit code 0: stopped by SIGTERM
