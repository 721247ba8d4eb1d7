# What tests of sample programs share; to be sourced. Leaves the shell in an empty folder, which goes when it ends.
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder" || exit 1
export VKGAN_CACHE_DIR=$folder/cache
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# ok COMMAND... : must succeed
ok() {
    "$@" >out 2>err || { fail "$*"; cat out err; }
}

# refused WORDS COMMAND... : must end with a status of 1 or 2 and exactly one line of message, which says WORDS
refused() {
    local words=$1 status
    shift
    "$@" >out 2>err
    status=$?
    [ $status = 1 ] || [ $status = 2 ] || fail "$*: status $status"
    [ "$(wc -l <err)" = 1 ] || { fail "$*: not one line of message"; cat err; }
    grep -qF -- "$words" err || { fail "$*: does not say \"$words\""; cat err; }
}

newest() { echo "$1"/checkpoints/step-$(printf %06d "$2").safetensors; }

# resumes NAME PROGRAM OPTIONS... : four steps are the same bits as two and two
resumes() {
    local name=$1 program=$2
    shift 2
    ok "$program" train "$@" --lr-steps 4 --out "$name-whole" --steps 4
    ok "$program" train "$@" --lr-steps 4 --out "$name-parts" --steps 2
    ok "$program" train --out "$name-parts" --resume --steps 4
    cmp -s "$(newest "$name-whole" 4)" "$(newest "$name-parts" 4)" || fail "$name: resuming changed the run"
}

# the last line of a test
verdict() {
    [ $failures = 0 ] && echo "all passed"
    exit $((failures > 0))
}
