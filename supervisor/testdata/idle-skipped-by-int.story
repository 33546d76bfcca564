A SIGINT ends --drain-idle although a client still waits for an answer.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 9s, sends a request at 9s, is answered at 20s
-- processes --
app: on a stop signal exits 0 after 2s
leave: exits 0 after 1s
-- events --
10s TERM
12s INT
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     10s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
     11s hook leave finished: ok
     11s wait until the clients are idle for 2s
     12s the rest of the drain is skipped
     12s wait for clients over: 1 owed, 0 active, SIGINT skipped the drain
     12s stop
     12s   kill app SIGTERM
     14s app exited 0
     14s exit
     14s shutdown took 4s: drain 2s, stop 2s, leftovers 0s, post-stop 0s
     14s exit code 0: stopped by SIGTERM
