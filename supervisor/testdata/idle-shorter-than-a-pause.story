--drain-idle is shorter than the usual pause between two polls of the connections. The app
is stopped 20ms after the last answer nevertheless.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 20ms -- app
-- machine --
a client connects at 9s, sends a request at 9s, is answered at 11.5s, stays connected
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
     11s wait until the clients are idle for 20ms
  11.52s wait for clients over: 0 owed, 0 active, ok
  11.52s stop
  11.52s   kill app SIGTERM
  13.52s app exited 0
  13.52s exit
  13.52s shutdown took 3.52s: drain 1.52s, stop 2s, leftovers 0s, post-stop 0s
  13.52s exit code 0: stopped by SIGTERM
