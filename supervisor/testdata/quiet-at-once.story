     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    10s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=10
    11s leave done: fine
    11s until nobody is connected for 2s
    13s quiet: 0 connected, fine
    13s stop
    13s   kill app 15
    15s app exited 0
    15s exit
    15s account: end 5s, drain 3s, stop 2s, leftovers 0s, post-stop 0s
    15s code 0: stopped by SIGTERM
