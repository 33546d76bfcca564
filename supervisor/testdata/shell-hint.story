     0s start
     0s   fork /bin/sh
     0s run
     1s asked to stop by 15
     1s stop
     1s   kill /bin/sh 15
     6s hint: exec or --group
    11s deadline
    11s   kill /bin/sh 9
    11s app was killed by SIGKILL
    11s exit
    11s account: end 10s, drain 0s, stop 10s, leftovers 0s, post-stop 0s
    11s code 137: stopped by SIGTERM
