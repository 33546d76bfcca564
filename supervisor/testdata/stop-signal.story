     0s start
     0s   fork app
     0s run
     5s asked to stop by 28
     5s stop
     5s   kill app 3
     6s app exited 0
     6s exit
     6s account: end 1s, drain 0s, stop 1s, leftovers 0s, post-stop 0s
     6s code 0: stopped by SIGWINCH
