     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    15s delay over
    15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=5
    20s   kill group of leave 15
    20s leave done: its time within --grace is over
    20s flush skipped
    20s stop
    20s   kill app 15
    21s   kill group of leave 9
    30s deadline
    30s   kill app 9
    30s app was killed by SIGKILL
    30s post-stop
    30s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=137 TIME_LEFT=5
    31s report done: fine
    31s exit
    31s account: end 21s, drain 10s, stop 10s, leftovers 0s, post-stop 1s
    31s code 137: stopped by SIGTERM
