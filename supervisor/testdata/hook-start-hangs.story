The start of a drain hook never returns. The drain still ends in time.

-- usher --
usher --grace 5s --drain leave -- app
-- processes --
app: on a stop signal exits 0
leave: its start takes 100h
-- events --
1s TERM
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGTERM
      1s drain
      1s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=2
    3.5s hook leave finished: its share of --grace is used up
    3.5s stop
    3.5s   kill app SIGTERM
    3.5s app exited 0
    3.5s leftovers
    3.5s   kill leave SIGTERM
    3.5s   kill leave SIGCONT
    3.5s leftovers get SIGTERM: leave
      6s leftovers get SIGKILL at the deadline
      6s   kill everything SIGKILL
      6s exit
      6s shutdown took 5s: drain 2.5s, stop 0s, leftovers 2.5s, post-stop 0s
      6s exit code 0: stopped by SIGTERM
