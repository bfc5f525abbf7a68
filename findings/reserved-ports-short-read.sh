#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: a read of net.ipv4.ip_local_reserved_ports that is shorter than the list cuts it, in the middle of a number
# if it comes so, and the next read says end of file. The rest cannot be had from any offset.
#
# The kernel prints the bitmap again for each read, into at most the reader's buffer, and prints nothing at an offset
# other than 0 (proc_do_large_bitmap). So a loop that reads until the end, as for any file, gets a part without an
# error: what a reader with 4096 bytes takes for the whole list may lack most of it. The longest list has 191 KB.
#
# Seen:      Linux 6.18 (x86-64): of "3935,5000-5010,6000,7000-7010" reads of 8 bytes give "3935,500" and then nothing,
#            pread at 8 nothing; 32768 single ports are 191041 bytes to a buffer of 256 KiB, 65536 to one of 64 KiB.
# Expected:  from read(2): as many reads as it takes give the whole content.
# Needs:     python3, util-linux (unshare), root. Exits 1 when a short read is followed by the rest.
set -euo pipefail
echo "Linux $(uname -r)"
unshare --net python3 - << 'END'
import os, sys
path = "/proc/sys/net/ipv4/ip_local_reserved_ports"
def write(text):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, text.encode())
    os.close(fd)
write("3935,5000-5010,6000,7000-7010\n")
fd = os.open(path, os.O_RDONLY)
first, second, behind, whole = os.read(fd, 8), os.read(fd, 4096), os.pread(fd, 4096, 8), os.pread(fd, 4096, 0)
print("whole", whole, "8 bytes", first, "then", second, "at 8", behind)
expected = b"3935,5000-5010,6000,7000-7010\n"
sys.exit(0 if whole == expected and first == whole[:8] and second == b"" and behind == b"" else 1)
END
