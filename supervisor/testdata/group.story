     0s start
     0s   fork app
     0s run
     1s   kill group of app 10
     2s asked to stop by 15
     2s stop
     2s   kill group of app 15
     2s app exited 0
     2s exit
     2s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     2s code 0: stopped by SIGTERM
