     0s start
     0s   fork app
     0s run
     5s asked to stop by 15
     5s stop
     5s   kill app 15
    15s app exited 0
    15s exit
    15s account: end 10s, drain 0s, stop 10s, leftovers 0s, post-stop 0s
    15s code 0: stopped by SIGTERM
