#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The listening host has more addresses than one, in the same subnet and in others: a daemon may answer from another
# than it was asked at.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    b "for each in 10.0.0.12/24 10.2.0.2/24 fd00::12/64 fd02::2/64; do /usr/bin/ip address add \$each dev eth0; done"
    undo b "for each in 10.0.0.12/24 10.2.0.2/24 fd00::12/64 fd02::2/64; \
        do /usr/bin/ip address del \$each dev eth0; done"
    a "/usr/bin/ip route add 10.2.0.0/24 dev eth0; /usr/bin/ip route add fd02::/64 dev eth0"
    undo a "/usr/bin/ip route del 10.2.0.0/24; /usr/bin/ip route del fd02::/64"
    reaches a 10.0.0.12 10.2.0.2 fd00::12 fd02::2
    listen b 0.0.0.0 7001
    listen b :: 7002
    listen b 10.2.0.2 7003
    listen b fd02::2 7004
    connects_to_each << 'END'
10.0.0.2 7001
10.0.0.12 7001
10.2.0.2 7001
fd00::2 7002
fd00::12 7002
fd02::2 7002
10.2.0.2 7003
fd02::2 7004
END
    saw "16 of 16 to 6 addresses, slowest $worst ms"
}
play "$@"
