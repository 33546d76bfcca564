     0s start
     0s   fork app
     0s run
     1s   kill app 3
     6s app exited 0
     6s hint: --stop-on 3
     6s exit
     6s account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
     6s code 0: <nil>
