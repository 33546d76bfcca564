     0s start
     0s   fork app
     0s ready
  100ms self yes
  100ms run
    30s asked to stop by 15
    30s stop
    30s   kill app 15
    31s app exited 0
    31s exit
    31s account: end 1s, drain 0s, stop 1s, leftovers 0s, post-stop 0s
    31s code 0: stopped by SIGTERM
    25s ready? 30s: stopping
