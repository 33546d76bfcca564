     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s stop
    10s   kill app 15
    10s app was killed by SIGTERM
    10s exit
    10s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
    10s code 143: stopped by SIGTERM
