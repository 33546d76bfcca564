     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     7s migrate done: fine
     7s start
     7s failed: start: cannot run app: no such file or directory
     7s post-stop
     7s   fork report REASON=not-found EXIT_CODE=127 TIME_LEFT=10
     8s report done: fine
     8s exit
     8s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
     8s code 127: start: cannot run app: no such file or directory
