A hook exits before usher knows its pid. Its exit status is kept until then, and is the
hook's result.

-- usher --
usher --grace 10s --pre-start migrate -- app
-- processes --
migrate: exits 3 after 100ms; its start is reported 1s later
-- trace --
      0s pre-start
      0s   fork migrate
      1s hook migrate finished: exit status 3
      1s failed: pre-start: hook migrate failed: exit status 3
      1s exit
      1s shutdown took 0s: drain 0s, stop 0s, leftovers 0s, post-stop 0s
      1s exit code 125: pre-start: hook migrate failed: exit status 3
