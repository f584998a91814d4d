#!/bin/sh
# Instructions for each case of the benches, counted by callgrind: the difference between two runs of the same case, so
# that start-up does not count. `scripts/instructions.sh` counts the codec's, for a packet; `scripts/instructions.sh
# engine` the engine's, for a message. Needs valgrind.
set -eu
cd "$(dirname "$0")/.."
case ${1:-codec} in
codec) package=mqtt-proto bench=instructions few=100 many=1100 ;;
engine) package=mqtt-session bench=engine ;;
*) echo "usage: $0 [codec|engine]" >&2 && exit 2 ;;
esac
binary=$(cargo bench -p "$package" --bench "$bench" --no-run --message-format=json 2>/dev/null |
    sed -n "s/.*\"executable\":\"\([^\"]*$bench[^\"]*\)\".*/\1/p")
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
number=0
"$binary" --list | while read -r name; do
    # The engine's cases say how many messages one run carries.
    case $package in
    mqtt-session)
        # Tables have grown and identifiers gone round before counting begins.
        messages=${name%% *} name=${name#* } few=$((2000 / messages + 2))
        many=$((few + 10000 / messages + 1))
        ;;
    *) messages=1 ;;
    esac
    difference=$(($(count "$number" "$many") - $(count "$number" "$few")))
    echo "$((difference / (many - few) / messages)) $name"
    number=$((number + 1))
done
