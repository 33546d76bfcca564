     0s start
     0s   fork app
     0s run
     5s   kill app 3
     5s app was killed by SIGQUIT
     5s hint: --stop-on 3
     5s post-stop
     5s   fork report REASON=exit EXIT_CODE=131 TIME_LEFT=1
5.000000001s report done: fine
5.000000001s exit
5.000000001s account: end 1ns, drain 0s, stop 0s, leftovers 0s, post-stop 1ns
5.000000001s code 131: <nil>
