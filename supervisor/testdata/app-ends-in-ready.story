     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     7s migrate done: fine
     7s start
     7s   fork app
     7s ready
     8s app exited 4
     8s post-stop
     8s   fork report REASON=exit EXIT_CODE=4 TIME_LEFT=10
     9s report done: fine
     9s exit
     9s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
     9s code 4: <nil>
