     0s start
     0s   fork app
     0s run
     1s asked to stop by 15
     1s stop
     1s   kill app 15
     1s app was killed by SIGTERM
     1s leftovers
     1s   kill worker 15
     1s   kill worker 18
     3s orphan 2 exited 0
     3s exit
     3s account: end 2s, drain 0s, stop 0s, leftovers 2s, post-stop 0s
     3s code 143: stopped by SIGTERM
