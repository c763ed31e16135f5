using System.Security.Cryptography;

namespace Hypervisor.Engine.Inventory;

/// <summary>Makes MAC addresses in the range that VMware gives to addresses set by hand: 00:50:56:00:00:00 to 00:50:56:3f:ff:ff.</summary>
internal static class MacAddress
{
    private const int Range = 0x40_0000;

    /// <summary>A random address that is not among those taken.</summary>
    public static string Create(IReadOnlySet<string> taken)
    {
        while (true)
        {
            int tail = RandomNumberGenerator.GetInt32(Range);
            string address = $"00:50:56:{tail >> 16:x2}:{(tail >> 8) & 0xFF:x2}:{tail & 0xFF:x2}";
            if (!taken.Contains(address))
            {
                return address;
            }
        }
    }
}
