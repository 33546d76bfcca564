#!/bin/bash
# The log goes to a file too.
exec > >(tee -a app.log) 2>&1
"$@"
