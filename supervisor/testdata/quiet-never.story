     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    10s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=10
    11s leave done: fine
    11s until nobody is connected for 2s
    25s quiet: 2 connected, its time within --grace is over
    25s stop
    25s   kill app 15
    27s app exited 0
    27s exit
    27s account: end 17s, drain 15s, stop 2s, leftovers 0s, post-stop 0s
    27s code 0: stopped by SIGTERM
