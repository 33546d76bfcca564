The context of Run ends in the drain. The app gets no second stop signal.

-- usher --
usher --grace 5s --drain-delay 1s --stop-signal USR1 -- app
-- events --
1s INT
1500ms cancel
-- trace --
      0s start
      0s   fork app
      0s run
      1s received SIGINT
      1s drain
      2s delay over
      2s stop
      2s   kill app SIGUSR1
      6s   kill app SIGKILL
      6s   kill everything SIGKILL
      6s app gets SIGKILL at the deadline
      6s app was killed by SIGKILL
      6s exit
      6s shutdown took 5s: drain 1s, stop 4s, leftovers 0s, post-stop 0s
      6s exit code 137: stopped by SIGINT
