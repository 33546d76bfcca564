     0s start
     0s   fork app
     0s run
     3s asked to stop by 15
     3s drain
     8s delay over
     8s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=10
     9s leave done: fine
     9s   fork flush REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=9
    10s flush done: fine
    10s stop
    10s   kill app 15
    12s app exited 0
    12s exit
    12s account: end 9s, drain 7s, stop 2s, leftovers 0s, post-stop 0s
    12s code 0: stopped by SIGTERM
