     0s start
     0s   fork app
     0s run
     1s   kill app 10
     2s signal 28 dropped
     3s   kill app 10
     4s   kill app 40
     5s asked to stop by 15
     5s stop
     5s   kill app 15
     5s app exited 0
     5s exit
     5s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     5s code 0: stopped by SIGTERM
