     0s wait
     2s db yes
     3s auth yes
     3s pre-start
     3s   fork migrate TIME_LEFT=3
     6s   kill group of migrate 15
     7s   kill group of migrate 9
     7s migrate done: timed out after 3s
     7s failed: pre-start: hook migrate failed: timed out after 3s
     7s post-stop
     7s   fork report REASON=pre-start EXIT_CODE=125 TIME_LEFT=10
     8s report done: fine
     8s exit
     8s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
     8s code 125: pre-start: hook migrate failed: timed out after 3s
