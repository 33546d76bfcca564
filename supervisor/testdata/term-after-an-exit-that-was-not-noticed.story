     0s start
     0s   fork app
     0s run
     6s app exited 3
     6s signal 15 changes nothing
     6s exit
     6s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     6s code 3: <nil>
