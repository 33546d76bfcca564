#!/bin/sh
printf 'Content-Type: text/plain\n\nstarted\n'
sleep 1.2
echo finished
