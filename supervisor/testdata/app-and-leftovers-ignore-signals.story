The app and one of the processes that it leaves running ignore signals. All processes get
SIGKILL at Budget.Kill.

-- usher --
usher --grace 25s --drain-delay 5s --drain leave --drain flush --post-stop report -- app
-- processes --
app: ignores signals; leaves grand polite running
flush: exits 0 after 1s
grand: ignores signals
leave: exits 0 after 1s
polite: on a stop signal exits 0 after 1ns
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
     16s hook leave finished: ok
     16s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=2 TIME_LEFT=4
     17s hook flush finished: ok
     17s stop
     17s   kill app SIGTERM
     30s   kill app SIGKILL
     30s   kill everything SIGKILL
     30s app gets SIGKILL at the deadline
     30s app was killed by SIGKILL
     30s orphan 5 was killed by SIGKILL
     30s orphan 6 was killed by SIGKILL
     30s post-stop
     30s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=137 TIME_LEFT=5
     31s hook report finished: ok
     31s exit
     31s shutdown took 21s: drain 7s, stop 13s, leftovers 0s, post-stop 1s
     31s exit code 137: stopped by SIGTERM
