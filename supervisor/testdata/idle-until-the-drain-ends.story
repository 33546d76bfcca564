Two requests are not answered. --drain-idle ends when the drain's share of --grace is used up.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 9s, sends a request at 9s
a client connects at 9s, sends a request at 9s
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
     25s wait for clients over: 2 owed, 0 active, its share of --grace is used up
     25s stop
     25s   kill app SIGTERM
     27s app exited 0
     27s exit
     27s shutdown took 17s: drain 15s, stop 2s, leftovers 0s, post-stop 0s
     27s exit code 0: stopped by SIGTERM
