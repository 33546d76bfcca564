     0s start
     0s   fork app
     0s run
     5s app exited 0
     5s exit
     5s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     5s code 0: <nil>
     1s ready? 1s: fine
