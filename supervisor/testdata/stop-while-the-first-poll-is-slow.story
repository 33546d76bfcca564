Before it starts the app, usher checks whether it can list the connections. That takes long if
there are many. A stop signal is handled meanwhile.

-- usher --
usher --health :8086 --grace 25s --drain-idle 500ms --post-stop bye -- app
-- machine --
a poll of the connections takes 600ms
-- processes --
app: on a stop signal exits 0 after 2s
bye: exits 0 after 1s
-- events --
100ms TERM
-- trace --
   100ms received SIGTERM
   100ms post-stop
   100ms   fork bye REASON=signal SIGNAL=SIGTERM EXIT_CODE=143 TIME_LEFT=10
    1.1s hook bye finished: ok
    1.1s exit
    1.1s shutdown took 1s: drain 0s, stop 0s, leftovers 0s, post-stop 1s
    1.1s exit code 143: stopped by SIGTERM
