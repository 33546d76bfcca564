#!/bin/bash
# The output also goes to a log file.
exec > >(tee -a app.log) 2>&1
"$@"
