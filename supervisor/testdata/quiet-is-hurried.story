     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    10s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=10
    11s leave done: fine
    11s until nobody is connected for 2s
    12s hurry
    12s quiet: 1 connected, skipped after SIGINT
    12s stop
    12s   kill app 15
    14s app exited 0
    14s exit
    14s account: end 4s, drain 2s, stop 2s, leftovers 0s, post-stop 0s
    14s code 0: stopped by SIGTERM
