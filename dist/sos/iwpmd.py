# SPDX-License-Identifier: MIT
"""The iWARP port mapper in a support report (sos): what its commands tell, its configuration, its log."""

from sos.report.plugins import Plugin, DebianPlugin, IndependentPlugin, RedHatPlugin, UbuntuPlugin


# Debian 12's sos (4.0) passes over what is for every system only.
class Iwpmd(Plugin, IndependentPlugin, DebianPlugin, UbuntuPlugin, RedHatPlugin):

    short_desc = 'iWARP port mapper'
    plugin_name = 'iwpmd'
    profiles = ('network', 'hardware')
    # Not by its name: rdma-core's daemon has that too, and does not know these commands.
    files = ('/usr/share/iwpmd',)

    def setup(self):
        # The state has what proves the answers of other hosts.
        self.add_forbidden_path('/run/iwpmd')
        self.add_copy_spec([
            '/etc/iwpmd.conf',
            '/etc/rdma/modules/iwpmd.conf',
            '/etc/apparmor.d/local/iwpmd',
            '/etc/systemd/system/iwpmd.service.d',
        ])
        self.add_cmd_output([
            'iwpmd --version',
            'iwpmd --check-config',
            'iwpmd status',
            'iwpmd status --json',
            'iwpmd mappings',
            'iwpmd peers',
            'iwpmd metrics',
            'iwpmd doctor',
            'rdma link',
            'rdma resource',
            'rdma resource show cm_id',
        ])
        self.add_cmd_output("sh -c \"dmesg | grep -E 'iwpm|iw_cm'\"", suggest_filename='kernel')
        self.add_journal(units='iwpmd')
