A client has sent the last byte, and has had no answer for a minute. usher waits for it no
longer, because the client may not expect an answer.

-- usher --
usher --health :8086 --grace 25s --drain leave --drain-idle 2s -- app
-- machine --
a client connects at 1s, sends a request at 9s
-- processes --
app: on a stop signal exits 0 after 2s
leave: exits 0 after 1s
-- events --
75s TERM
-- trace --
      0s start
      0s   fork app
      0s run
   1m15s received SIGTERM
   1m15s drain
   1m15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=10
   1m16s hook leave finished: ok
   1m16s wait until the clients are idle for 2s
   1m18s wait for clients over: 0 owed, 0 active, ok
   1m18s stop
   1m18s   kill app SIGTERM
   1m20s app exited 0
   1m20s exit
   1m20s shutdown took 5s: drain 3s, stop 2s, leftovers 0s, post-stop 0s
   1m20s exit code 0: stopped by SIGTERM
