     0s wait
     2s db yes
     4s failed: wait: auth has not said yes within 4s; auth: no answer yet (1 attempt in 4s)
     4s post-stop
     4s   fork report REASON=wait EXIT_CODE=124 TIME_LEFT=10
     5s report done: fine
     5s exit
     5s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
     5s code 124: wait: auth has not said yes within 4s; auth: no answer yet (1 attempt in 4s)
