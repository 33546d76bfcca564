     0s start
     0s   fork app
     0s run
    1ns app exited 3
    1ns exit
    1ns account: end 0s, drain 0s, stop 0s, leftovers 0s, post-stop 0s
    1ns code 3: <nil>
