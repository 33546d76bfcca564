     0s start
     0s   fork app
     0s ready
     0s   fork check
     5s still waiting for 1
    10s asked to stop by 15
    10s   kill group of check 15
    11s   kill group of check 9
    11s drain
    11s hurry
    11s delay over
    11s leave skipped
    11s flush skipped
    11s stop
    11s   kill app 15
    13s app exited 0
    13s exit
    13s account: end 3s, drain 0s, stop 2s, leftovers 0s, post-stop 0s
    13s code 0: stopped by SIGTERM
