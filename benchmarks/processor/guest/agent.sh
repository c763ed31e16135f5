# Takes three lines, what to prepare, to time and to check, and runs them in this folder; the same in a guest and on the host.
run() {
    if [ -x bench ]; then
        ./bench timed ./busybox sh -c "$1"
        return
    fi
    # Without our programs: the same markers, and no times.
    echo "@begin"
    result=$(./busybox sh -c "$1")
    echo "@end $? 0 0 $(echo "$result" | ./busybox tail -n 1)"
}
echo "@ready"
while read -r prepare && read -r command && read -r check; do
    ./busybox sh -c "$prepare" >/dev/null
    run "$command"
    echo "@check $(./busybox sh -c "$check")"
done
