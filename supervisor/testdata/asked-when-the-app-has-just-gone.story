     0s start
     0s   fork app
     0s ready
     1s self yes
     1s post-start
     1s   fork register APP_PID=1
     3s app exited 0
     3s   kill group of register 15
   3.5s register done: the app has ended
   3.5s exit
   3.5s account: end 500ms, drain 0s, stop 0s, leftovers 0s, post-stop 0s
   3.5s code 0: <nil>
   1.5s ready? 1.5s: fine
   2.5s ready? 3s: stopping
   3.2s ready? 3.2s: stopping
