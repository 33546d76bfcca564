     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    15s delay over
    15s   fork leave REASON=signal SIGNAL=SIGTERM APP_PID=1 TIME_LEFT=10
    16s hurry
    16s   kill group of leave 15
    16s leave done: skipped after SIGINT
    16s flush skipped
    16s stop
    16s   kill app 15
    18s app exited 0
    18s exit
    18s account: end 8s, drain 6s, stop 2s, leftovers 0s, post-stop 0s
    18s code 0: stopped by SIGTERM
