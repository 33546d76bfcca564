<?php
echo "started\n";
ob_flush();
flush();
// This is a loop, because a signal would interrupt a single sleep.
for ($end = microtime(true) + 1.2; microtime(true) < $end;) {
    usleep(10000);
}
echo "finished\n";
