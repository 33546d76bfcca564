     0s wait
     2s db yes
     5s still waiting for 1
    10s failed: wait: timed out after 10s; auth: no answer yet (1 attempt in 10s)
    10s post-stop
    10s   fork report REASON=wait EXIT_CODE=124 TIME_LEFT=10
    11s report done: fine
    11s exit
    11s account: end 1s, drain 0s, stop 0s, leftovers 0s, post-stop 1s
    11s code 124: wait: timed out after 10s; auth: no answer yet (1 attempt in 10s)
