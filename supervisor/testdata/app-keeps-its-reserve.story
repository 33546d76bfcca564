A drain hook and the app ignore signals. The drain ends when its share of the budget is used
up. The app still has 10s (its reserve) until SIGKILL.

-- usher --
usher --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: ignores signals
flush: exits 0 after 1s
leave: ignores signals
report: exits 0 after 1s
-- events --
10s TERM
-- trace --
      0s start
      0s   fork app
      0s run
     10s received SIGTERM
     10s drain
     15s delay over
     15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=5
     20s   kill group of leave SIGTERM
     20s hook leave finished: its share of --grace is used up
     20s hook flush skipped: no time left
     20s stop
     20s   kill app SIGTERM
     21s   kill group of leave SIGKILL
     30s   kill app SIGKILL
     30s   kill everything SIGKILL
     30s app gets SIGKILL at the deadline
     30s app was killed by SIGKILL
     30s post-stop
     30s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=137 TIME_LEFT=5
     31s hook report finished: ok
     31s exit
     31s shutdown took 21s: drain 10s, stop 10s, leftovers 0s, post-stop 1s
     31s exit code 137: stopped by SIGTERM
