     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate
     4s migrate done: exit status 7
     4s failed: pre-start: hook migrate failed: exit status 7
     4s post-stop
     4s   fork report REASON=pre-start EXIT_CODE=125 TIME_LEFT=10
     5s report done: fine
     5s exit
     5s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
     5s code 125: pre-start: hook migrate failed: exit status 7
