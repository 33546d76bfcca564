     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    15s delay over
    15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=10
    16s app exited 0
    18s leave done: fine
    18s flush skipped
    18s exit
    18s account: end 8s, drain 8s, stop 0s, leftovers 0s, post-stop 0s
    18s code 0: stopped by SIGTERM
