     0s wait
     1s db yes
     4s cache given up
     4s start
     4s   fork app
     4s run
     5s app exited 0
     5s exit
     5s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     5s code 0: <nil>
