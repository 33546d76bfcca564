     0s start
     0s   fork app
     0s run
     1s asked to stop by 15
     1s stop
     1s   kill app 15
     6s deadline
     6s   kill app 9
     6s app was killed by SIGKILL
     6s exit
     6s account: end 5s, drain 0s, stop 5s, leftovers 0s, post-stop 0s
     6s code 137: stopped by SIGTERM
