With --exec the app replaces usher after the pre-start hooks. (In this story execve fails,
because otherwise the trace would end there.)

-- usher --
usher --wait tcp://db:1 --pre-start migrate --exec -- app
-- processes --
app: on a stop signal exits 0 after 2s
migrate: exits 0 after 4s
-- targets --
tcp://db:1: ready after 1s
-- events --
500ms USR1
-- trace --
      0s wait
   500ms SIGUSR1 kept until the app has started
      1s tcp://db:1 is ready
      1s pre-start
      1s   fork migrate
      5s hook migrate finished: ok
      5s start
      5s warning: SIGUSR1 was received before the app started and is lost: with --exec usher cannot forward it
      5s   exec app
      5s failed: start: cannot run app: permission denied
      5s exit
      5s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      5s exit code 126: start: cannot run app: permission denied
