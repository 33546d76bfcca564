     0s start
     0s   fork app
     0s run
   1m0s app exited 3
   1m0s exit
   1m0s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
   1m0s code 3: <nil>
