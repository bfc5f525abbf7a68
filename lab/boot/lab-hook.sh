# SPDX-License-Identifier: MIT
# For dracut, which sources it before it mounts the root file system.
lab-image || poweroff -f
