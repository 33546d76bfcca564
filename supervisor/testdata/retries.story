     0s start
     0s   fork app
     0s run
    10s asked to stop by 15
    10s drain
    11s flaky done: timed out after 1s, the last try before: cannot run flaky: resource temporarily unavailable
    11s stop
    11s   kill app 15
    13s app exited 0
    13s exit
    13s account: end 3s, drain 1s, stop 2s, leftovers 0s, post-stop 0s
    13s code 0: stopped by SIGTERM
