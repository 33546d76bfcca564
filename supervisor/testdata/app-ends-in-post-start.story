     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     7s migrate done: fine
     7s start
     7s   fork app
     7s ready
     8s self yes
     8s post-start
     8s   fork register APP_PID=2
     9s app exited 5
     9s   kill group of register 15
9.000000001s register done: the app has ended
9.000000001s post-stop
9.000000001s   fork report REASON=exit EXIT_CODE=5 TIME_LEFT=10
10.000000001s report done: fine
10.000000001s exit
10.000000001s account: end 1.000000001s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
10.000000001s code 5: <nil>
