     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    12s app exited 0
    12s delay over
    12s leave skipped
    12s flush skipped
    12s exit
    12s account: end 2s, drain 2s, stop 0s, leftovers 0s, post-stop 0s
    12s code 0: stopped by SIGTERM
