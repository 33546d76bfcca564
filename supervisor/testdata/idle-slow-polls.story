A poll takes long, because the container has little CPU time. A request that is received after
the sockets have been listed is not in that poll, but in the next one, and the app keeps serving.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 500ms -- app
-- machine --
a poll of the connections takes 600ms
a client connects at 9s, sends a request at 9s, is answered at 9.1s, sends a request at 11.7s, is answered at 14s, stays connected
-- processes --
app: on a stop signal exits 0 after 2s
leave: exits 0 after 1s
-- events --
10s TERM
-- trace --
   600ms start
   600ms   fork app
   600ms run
     10s received SIGTERM
     10s drain
   10.6s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
   11.6s hook leave finished: ok
   11.6s wait until the clients are idle for 500ms
 20.501s wait for clients over: 0 owed, 0 active, ok
 20.501s stop
 20.501s   kill app SIGTERM
 22.501s app exited 0
 22.501s exit
 22.501s shutdown took 12.501s: drain 10.501s, stop 2s, leftovers 0s, post-stop 0s
 22.501s exit code 0: stopped by SIGTERM
