#!/bin/sh
echo started
sleep 3
echo finished
