     0s start
     0s   fork app
     0s run
     1s asked to stop by 15
     1s stop
     1s   kill app 15
     1s app was killed by SIGTERM
     1s leftovers
     1s   kill w1 15
     1s   kill w2 15
     1s   kill w3 15
     1s orphan 2 was killed by SIGTERM
     1s orphan 3 was killed by SIGTERM
     1s orphan 4 was killed by SIGTERM
     1s exit
     1s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     1s code 143: stopped by SIGTERM
