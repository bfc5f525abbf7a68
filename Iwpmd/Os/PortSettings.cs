// SPDX-License-Identifier: MIT
namespace Iwpmd.Os;

/// <summary>
/// What the host says about its TCP ports, as it is now: the range that programs get theirs from, and those that
/// nothing may choose by itself.
/// </summary>
internal sealed class PortSettings
{
    private readonly WatchedFile _range, _reserved;

    public PortSettings(string root = "")
    {
        _range = new WatchedFile(root + HostSettings.PortRangePath);
        _reserved = new WatchedFile(root + HostSettings.ReservedPortsPath);
        _ = HasChanged();
    }

    public PortRange Range { get; private set; } = HostSettings.DefaultPortRange;

    public PortRange[] Reserved { get; private set; } = [];

    /// <summary>
    /// Looks again; true when one is another than at the last look. What cannot be read or understood stays as it was.
    /// </summary>
    public bool HasChanged()
    {
        bool changed = false;
        if (_range.HasChanged() && HostSettings.TryParseRange(_range.Text, out PortRange range))
        {
            changed = range != Range;
            Range = range;
        }
        if (_reserved.HasChanged() && HostSettings.TryParseRanges(_reserved.Text, out PortRange[] reserved))
        {
            changed = true;
            Reserved = reserved;
        }
        return changed;
    }
}
