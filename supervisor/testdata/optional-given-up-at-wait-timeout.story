     0s wait
     3s cache given up
     3s start
     3s   fork app
     3s run
     4s app exited 0
     4s exit
     4s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     4s code 0: <nil>
