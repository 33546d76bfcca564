     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s stop
    10s   kill app 15
    20s   kill app 15
    30s   kill app 2
 1h0m0s app exited 0
 1h0m0s exit
 1h0m0s account: end 59m50s, drain 0s, stop 59m50s, leftovers 0s, post-stop 0s
 1h0m0s code 0: stopped by SIGTERM
