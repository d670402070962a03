#!/bin/sh
# Trace a real multi-process program with a small mask: what was seen, and how many stops it took.
set -eu
accel=${1:-accel}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir files
for name in one two three four; do seq 1 2000 > "files/$name"; done

set -- sh -c 'tar cf - files | gzip -9 | cat > files.tar.gz; tar tzf files.tar.gz | sort | wc -l'

echo "\$ accel trace -e trace=execve,pipe2,/^clone -- $*"
"$accel" trace -o seen.txt -e 'trace=execve,?pipe,pipe2,/^clone' -- "$@"
cut -c1-110 seen.txt
echo
echo "\$ accel trace -c -e trace=execve,pipe2,/^clone -- ..."
"$accel" trace -o few.txt -c -e 'trace=execve,?pipe,pipe2,/^clone' -- "$@" > /dev/null
cat few.txt
"$accel" trace -o all.txt -c -- "$@" > /dev/null
stops() { awk '$NF == "total" { print $(NF - 1) }' "$1"; }
echo
echo "stops with this mask:          $(stops few.txt)"
echo "stops with a trace of all:     $(stops all.txt)"
