With --drain-idle alone, without a delay and hooks, the app serves until its clients are
idle.

-- usher --
usher --health :8086 --grace 25s --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends a request at 1s, is answered at 12050ms, disconnects at 20s
-- processes --
app: on a stop signal exits 0 after 1s
-- events --
10s TERM
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     10s wait until the clients are idle for 2s
   14.1s wait for clients over: 0 owed, 0 active, ok
   14.1s stop
   14.1s   kill app SIGTERM
   15.1s app exited 0
   15.1s exit
   15.1s shutdown took 5.1s: drain 4.1s, stop 1s, leftovers 0s, post-stop 0s
   15.1s exit code 0: stopped by SIGTERM
