     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    15s delay over
    15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=2
    17s   kill group of leave 15
    18s   kill group of leave 9
    18s leave done: timed out after 2s
    18s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=7
    19s flush done: fine
    19s stop
    19s   kill app 15
    21s app exited 0
    21s exit
    21s account: end 11s, drain 9s, stop 2s, leftovers 0s, post-stop 0s
    21s code 0: stopped by SIGTERM
