A drain hook times out and exits on SIGTERM. The next hook's command gets the same pid and
also times out. It has a full second between SIGTERM and SIGKILL.

-- usher --
usher --grace 20s --drain 'timeout=500ms leave' --drain 'timeout=300ms flush' -- app
-- machine --
pids are reused
-- processes --
leave: on a stop signal exits 3 after 300ms
flush: on a stop signal exits 3 after 900ms
app: on a stop signal exits 0
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s drain
      1s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=0
    1.5s   kill group of leave SIGTERM
    1.8s hook leave finished: timed out after 500ms
    1.8s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=0
    2.1s   kill group of flush SIGTERM
      3s hook flush finished: timed out after 300ms
      3s stop
      3s   kill app SIGTERM
      3s app exited 0
      3s exit
      3s shutdown took 2s: drain 2s, stop 0s, leftovers 0s, post-stop 0s
      3s exit code 0: stopped by SIGTERM
