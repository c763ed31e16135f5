# Integer arithmetic, tests and a case a round, in the shell's own interpreter.
i=0 s=1 odd=0
while [ $i -lt $1 ]; do
    s=$(( (s * 31 + i) & 65535 ))
    if [ $(( s % 3 )) -eq 0 ]; then
        odd=$(( odd + 1 ))
    fi
    case $(( s & 7 )) in
        0) s=$(( s ^ 5 ));;
        [1-4]) s=$(( s + 2 ));;
        *) ;;
    esac
    i=$(( i + 1 ))
done
echo $s-$odd
