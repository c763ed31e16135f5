# Takes three lines, what to prepare, to time and to check, and runs them in this folder; the same in a guest and on the host.
echo "@ready"
while read -r prepare && read -r command && read -r check; do
    ./busybox sh -c "$prepare" >/dev/null
    ./bench timed ./busybox sh -c "$command"
    echo "@check $(./busybox sh -c "$check")"
done
