     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    15s delay over
    15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=5
    16s leave done: fine
    16s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=4
    17s flush done: fine
    17s stop
    17s   kill app 15
    30s deadline
    30s   kill app 9
    30s app was killed by SIGKILL
    30s leftovers
    30s   kill grand 15
    30s   kill polite 15
    30s   kill grand 18
    30s   kill polite 18
    30s leftovers' deadline
    30s   kill grand 9
    30s   kill polite 9
    30s orphan 4 was killed by SIGKILL
    30s orphan 5 was killed by SIGKILL
    30s post-stop
    30s   fork report REASON=signal SIGNAL=SIGTERM EXIT_CODE=137 TIME_LEFT=5
    31s report done: fine
    31s exit
    31s account: end 21s, drain 7s, stop 13s, leftovers 0s, post-stop 1s
    31s code 137: stopped by SIGTERM
