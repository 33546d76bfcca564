     0s warning: --drain-quiet: connections cannot be counted here, and are not waited for: operation not permitted
     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    10s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=10
    11s leave done: fine
    11s until nobody is connected for 2s
    11s warning: --drain-quiet: connections cannot be counted here, and are not waited for: operation not permitted
    11s stop
    11s   kill app 15
    13s app exited 0
    13s exit
    13s account: end 3s, drain 1s, stop 2s, leftovers 0s, post-stop 0s
    13s code 0: stopped by SIGTERM
