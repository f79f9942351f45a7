# shellcheck shell=sh disable=SC2034,SC2154
# What the tools of both kinds of boot environment share; a script that takes this part says what it is about.

nl='
'
# Ends each entry of a list of NAME=VALUE entries: the one character that no value may hold.
end=$(printf '\001')

fail() {
    status=$1
    shift
    printf '%s: %s\n' "$me" "$*" >&2
    exit "$status"
}

# value_of NAME ENTRIES: sets $value as it is stored, empty when there is none.
value_of() {
    value=
    case $end$2 in
        *"$end$1="*)
            value=$end$2
            value=${value#*"$end$1="}
            value=${value%%"$end"*} ;;
    esac
}

# with NAME VALUE ENTRIES: sets $entries to them with NAME changed, in its place; without it when VALUE is empty.
with() {
    list=$end$3
    entry=${2:+$1=$2$end}
    case $list in
        *"$end$1="*)
            before=${list%%"$end$1="*}$end
            after=${list#*"$end$1="}
            entries=$before$entry${after#*"$end"} ;;
        *) entries=$list$entry ;;
    esac
    entries=${entries#"$end"}
}

# in_range ENTRIES: whether the three values that GRUB goes by make sense.
in_range() {
    value_of bootcount "$1"
    case $value in 0 | 1) ;; *) return 1 ;; esac
    value_of upgrade_available "$1"
    case $value in 0 | 1) ;; *) return 1 ;; esac
    value_of mender_boot_part "$1"
    is_part "$value"
}

# is_part NUMBER: whether it is the partition of a root filesystem.
is_part() {
    case $1 in '' | *[!0-9]*) return 1 ;; esac
    case " ${parts:-$1} " in *" $1 "*) ;; *) return 1 ;; esac
}

# wanted NAME VALUE: adds to the list $wanted.
wanted() {
    case $1 in '' | '#'* | *[[:cntrl:][:blank:]=]*) fail 1 "not a name of a variable: $1" ;; esac
    case $2 in *[[:cntrl:]]*) fail 1 "$1: a value is one line without control characters" ;; esac
    stored "$2"
    wanted=$wanted$1=$value$end
}

# wanted_line LINE: NAME=VALUE, NAME VALUE or NAME; the first = or blank ends the name.
wanted_line() {
    line=${1#"${1%%[![:blank:]]*}"}
    case $line in '' | '#'*) return ;; esac
    name=${line%%[[:blank:]=]*}
    line=${line#"$name"}
    case $line in
        =*) line=${line#=} ;;
        *) line=${line#"${line%%[![:blank:]]*}"} ;;
    esac
    wanted "$name" "$line"
}

wanted_lines() {
    while IFS= read -r line || [ -n "$line" ]; do wanted_line "$line"; done
}

# hold: keeps others out.
hold() {
    true 2>/dev/null >>"$interlock" || fail 1 "$interlock cannot be opened"
    exec 9>>"$interlock"
    flock -w 10 9 || fail 1 "another process holds the boot environment"
}

print() {
    settle
    if [ $# -eq 0 ]; then
        rest=$truth
        set --
        while [ -n "$rest" ]; do
            entry=${rest%%"$end"*}
            rest=${rest#*"$end"}
            set -- "$@" "${entry%%=*}"
        done
    fi
    for name; do
        value_of "$name" "$truth"
        shown "$value"
        printf '%s=%s\n' "$name" "$value"
    done
}

change() {
    settle
    all=$truth
    while [ -n "$wanted" ]; do
        entry=${wanted%%"$end"*}
        wanted=${wanted#*"$end"}
        with "${entry%%=*}" "${entry#*=}" "$all"
        all=$entries
    done
    store "$all"
}

# finish_boot: the loader tells the slot that it started in mender.slot. Where the environment names another, it could not write.
finish_boot() {
    slot=
    read -r line <"$cmdline"
    for word in $line; do
        case $word in mender.slot=*) slot=${word#mender.slot=} ;; esac
    done
    if ! is_part "$slot"; then
        settle
        return
    fi
    here "$slot" ""
    settle "$entries"
    value_of mender_boot_part "$truth"
    [ "$value" != "$slot" ] || return 0
    here "$slot" "$truth"
    store "$entries"
}

# main ARGUMENTS: what was asked for.
main() {
    wanted=
    case $me in
        *print*)
            case ${1-} in -*) usage ;; esac
            begin
            print "$@"
            return ;;
    esac
    case ${1-} in
        '') usage ;;
        --finish-boot)
            begin
            finish_boot
            return ;;
        -s)
            [ $# -eq 2 ] || usage
            if [ "$2" = - ]; then wanted_lines; else wanted_lines <"$2" || exit 1; fi ;;
        -*) usage ;;
        *)
            name=$1
            shift
            if [ $# -eq 0 ]; then wanted_line "$name"; else wanted "$name" "$*"; fi ;;
    esac
    begin
    change
}
