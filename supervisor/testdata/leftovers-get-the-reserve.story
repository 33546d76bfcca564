     0s start
     0s   fork app
     0s run
     1s app exited 0
     1s 1 left behind
     1s leftovers
     1s   kill worker 15
     1s   kill worker 18
    11s leftovers' deadline
    11s   kill worker 9
    11s orphan 2 was killed by SIGKILL
    11s exit
    11s account: end 10s, drain 0s, stop 0s, leftovers 10s, post-stop 0s
    11s code 0: <nil>
