namespace Iwpmd.Os;

/// <summary>A network interface by its name, which may come and go, and another one may come under it.</summary>
internal sealed class NamedInterface(string name)
{
    private const uint Loopback = 1; // in every network namespace

    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(1);

    private uint _index;
    private TimeSpan _lookedAt = TimeSpan.MinValue;

    /// <summary>True when a datagram that came by the interface with this index is to be taken: by this one, or by the host's own.</summary>
    public bool Takes(uint index, TimeSpan now)
    {
        if (name.Length == 0 || index == Loopback)
        {
            return true;
        }
        if (now > _lookedAt + LookAgain)
        {
            _lookedAt = now;
            _index = Libc.if_nametoindex(name);
        }
        return index == _index;
    }
}
