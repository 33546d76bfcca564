The kernel does not count the bytes of connections, as in gVisor. usher warns, and waits for
every client that is connected.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
the kernel does not count the bytes of connections
a client connects at 1s, disconnects at 14s
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
     10s every connected client counts
     10s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
     11s hook leave finished: ok
     11s wait until the clients are idle for 2s
   15.9s wait for clients over: 0 owed, 0 active, ok
   15.9s stop
   15.9s   kill app SIGTERM
   17.9s app exited 0
   17.9s exit
   17.9s shutdown took 7.9s: drain 5.9s, stop 2s, leftovers 0s, post-stop 0s
   17.9s exit code 0: stopped by SIGTERM
