#!/bin/sh
# Nothing is stopped: the rollout replaces pods one by one, and tasks go on. One that is under way ends first.
set -eu
. "$(dirname "$0")/server.sh"
take_lock
