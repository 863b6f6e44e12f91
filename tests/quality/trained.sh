#!/usr/bin/env bash
# Trains the quickstart's model from nothing and holds its samples to the project's aims.
#   trained.sh QUALITY_CHECK RUN_FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
check=$1
run=$2
rm -rf "$run"
bash launch/quickstart.sh "$run"
exec "$check" --checkpoint "$run" --gate --out "$run/quality.png"
