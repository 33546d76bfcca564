#!/bin/sh
{ echo started; seq 30000; echo finished; } >work
exec nginx -p . -c nginx.conf -g 'daemon off;'
