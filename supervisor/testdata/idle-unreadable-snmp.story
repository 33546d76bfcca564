Without /proc/net/snmp usher does not notice connections that are shorter than the pause
between two polls. It warns once and continues.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
/proc/net/snmp cannot be read
clients open and close connections within 30ms from 9s to 14s
a client connects at 1s, sends a request at 9s, is answered at 12s
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
     10s short connections do not count: file does not exist
     10s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
     11s hook leave finished: ok
     11s wait until the clients are idle for 2s
     14s wait for clients over: 0 owed, 0 active, ok
     14s stop
     14s   kill app SIGTERM
     16s app exited 0
     16s exit
     16s shutdown took 6s: drain 4s, stop 2s, leftovers 0s, post-stop 0s
     16s exit code 0: stopped by SIGTERM
