     0s start
     0s   fork app
     0s run
     5s asked to stop by 15
     5s stop
     5s   kill app 15
     6s   kill app 15
   6.5s   kill app 1
     7s   kill app 2
     8s app exited 0
     8s exit
     8s account: end 3s, drain 0s, stop 3s, leftovers 0s, post-stop 0s
     8s code 0: stopped by SIGTERM
