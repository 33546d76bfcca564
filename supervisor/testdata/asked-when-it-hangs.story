     0s start
     0s   fork app
     0s ready
  100ms self yes
  100ms run
    35s readiness: self: no answer within 10s
  37.1s readiness: fine
    40s asked to stop by 15
    40s stop
    40s   kill app 15
    41s app exited 0
    41s exit
    41s account: end 1s, drain 0s, stop 1s, leftovers 0s, post-stop 0s
    41s code 0: stopped by SIGTERM
    10s ready? 10.1s: fine
    25s ready? 35s: self: no answer within 10s
    28s ready? 35s: self: no answer within 10s
    37s ready? 37.1s: fine
    38s ready? 38s: fine
