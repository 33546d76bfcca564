usher may not list the connections. It warns at the start and in the drain, and does not
wait for clients.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
sockets cannot be listed
-- processes --
app: on a stop signal exits 0 after 2s
leave: exits 0 after 1s
-- events --
10s TERM
-- trace --
      0s warning: --drain-idle: connections cannot be counted here, and are not waited for: operation not permitted
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     10s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
     11s hook leave finished: ok
     11s wait until the clients are idle for 2s
     11s warning: --drain-idle: connections cannot be counted here, and are not waited for: operation not permitted
     11s stop
     11s   kill app SIGTERM
     13s app exited 0
     13s exit
     13s shutdown took 3s: drain 1s, stop 2s, leftovers 0s, post-stop 0s
     13s exit code 0: stopped by SIGTERM
