#!/bin/sh
# The stopping policies on real sweeps, paired: repetition r trains every trial of the study with
# seed r, in the order that r draws, under each policy; which policy goes first rotates.
#
#   examples/policies.sh [FOLDER [REPETITIONS]]    default: runs/policies 5
#
# Run it alone on the machine: wall clocks are compared. A run that is there already is left alone.
set -eu
rayat=${RAYAT:-rayat}
study=${STUDY:-policies}
out=${1:-runs/policies}
repetitions=${2:-5}
set -- none asha accel
r=1
while [ "$r" -le "$repetitions" ]; do
  for policy in "$@"; do
    run=$out/$policy-$r
    [ -e "$run/run.json" ] ||
      $rayat run "$study" --policy "$policy" --seeds "$r" --order-seed "$r" --out "$run"
  done
  first=$1; shift; set -- "$@" "$first"
  r=$((r + 1))
done
# The test set, once, for what each sweep chose by validation; outside of all wall clocks.
for run in "$out"/*-*; do
  $rayat evaluate "$run" --chosen --checkpoint best --attack pgd-50
done
$rayat compare-policies "$out"/*-* --markdown
