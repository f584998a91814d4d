#!/bin/sh
# Instructions for each case of the codec's benches, counted by callgrind: the difference between two runs of the same
# case, so that start-up does not count. Needs valgrind.
set -eu
cd "$(dirname "$0")/.."
binary=$(cargo bench -p mqtt-proto --bench instructions --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*instructions[^"]*\)".*/\1/p')
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
number=0
"$binary" --list | while read -r name; do
    few=$(count "$number" 100)
    many=$(count "$number" 1100)
    echo "$(((many - few) / 1000)) $name"
    number=$((number + 1))
done
