     0s start
     0s   fork app
     0s run
     1s app exited 0
     1s 3 left behind
     1s exit
     1s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     1s code 0: <nil>
