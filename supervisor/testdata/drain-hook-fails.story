     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    15s delay over
    15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=10
    16s leave done: exit status 1
    16s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=9
    17s flush done: fine
    17s stop
    17s   kill app 15
    19s app exited 0
    19s exit
    19s account: end 9s, drain 7s, stop 2s, leftovers 0s, post-stop 0s
    19s code 0: stopped by SIGTERM
