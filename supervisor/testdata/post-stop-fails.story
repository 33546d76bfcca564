     0s start
     0s   fork app
     0s run
    1ns app exited 2
    1ns post-stop
    1ns   fork report REASON=exit EXIT_CODE=2 TIME_LEFT=10
    2ns report done: exit status 1
    2ns   fork more REASON=exit EXIT_CODE=2 TIME_LEFT=10
    3ns more done: fine
    3ns exit
    3ns account: end 2ns, drain 0s, stop 0s, leftovers 0s, post-stop 2ns
    3ns code 2: <nil>
