# SPDX-License-Identifier: MIT
# Completion of iwpmd for bash: the words of `iwpmd COMMAND --help`. Goes to bash-completion's folder as iwpmd.
_iwpmd() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        status | mappings | peers | metrics | ping | doctor | reload | help) command=${COMP_WORDS[i]} ;;
        esac
    done
    # In --log-level=debug the sign is a word of its own.
    if [[ $word == = ]]; then
        word=''
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $command:$before in
    ping:-c | ping:--count | *:-p | *:--port | *:-w | *:--watch | *:-a | *:--address) return ;;
    *:-c | *:--config | *:-o | *:--output)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    *:-l | *:--log-level)
        mapfile -t COMPREPLY < <(compgen -W 'error warning info debug' -- "$word")
        return
        ;;
    esac
    local words
    case $command in
    status) words='--json --watch --config --help' ;;
    mappings) words='--json --watch --address --port --config --help' ;;
    peers) words='--json --watch --address --config --help' ;;
    metrics) words='--output --openmetrics --config --help' ;;
    ping)
        words='--count --port --help'
        if [[ $word != -* ]]; then
            mapfile -t COMPREPLY < <(compgen -A hostname -- "$word")
            return
        fi
        ;;
    doctor) words='--json --config --help' ;;
    reload) words='--config --help' ;;
    help) words='status mappings peers metrics ping doctor reload' ;;
    *)
        words='help status mappings peers metrics ping doctor reload --systemd --foreground --takeover --config'
        words+=' --log-level --no-sandbox --log-sandbox --check-config --version --help'
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o filenames -F _iwpmd iwpmd
