     0s start
     0s   fork app
     0s ready
     0s   fork check
     5s still waiting for 1
    10s asked to stop by 15
    10s   kill group of check 15
  10.4s stop
  10.4s   kill app 15
  10.7s app exited 0
  10.7s leftovers
  10.7s   kill check 15
  10.7s   kill check 18
  10.8s leftovers' deadline
  10.8s   kill check 9
  10.8s exit
  10.8s account: end 800ms, drain 0s, stop 300ms, leftovers 100ms, post-stop 0s
  10.8s code 0: stopped by SIGTERM
