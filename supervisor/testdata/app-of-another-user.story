The app runs as another user and usher lacks CAP_KILL, so no signal reaches it. Every
attempt is logged.

-- usher --
usher --grace 4s -- su
-- processes --
su: runs as another user
-- events --
500ms USR1
1s TERM
-- trace --
      0s start
      0s   fork su
      0s run
   500ms   kill su SIGUSR1: not permitted
   500ms cannot send SIGUSR1 to the app: operation not permitted
      1s received SIGTERM
      1s stop
      1s   kill su SIGTERM: not permitted
      1s cannot send SIGTERM to the app: operation not permitted
      5s   kill su SIGKILL: not permitted
      5s cannot send SIGKILL to the app: operation not permitted
      5s   kill everything SIGKILL
      5s app gets SIGKILL at the deadline
      5s app was killed by SIGKILL
      5s exit
      5s shutdown took 4s: drain 0s, stop 4s, leftovers 0s, post-stop 0s
      5s exit code 137: stopped by SIGTERM
