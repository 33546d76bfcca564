     0s start
     0s   fork app
     0s run
    10s asked to stop by 2
    10s drain
    11s hurry
    11s delay over
    11s leave skipped
    11s flush skipped
    11s stop
    11s   kill app 2
    13s app exited 0
    13s exit
    13s account: end 3s, drain 1s, stop 2s, leftovers 0s, post-stop 0s
    13s code 0: stopped by SIGINT
