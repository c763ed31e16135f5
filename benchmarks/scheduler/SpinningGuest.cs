namespace Hypervisor.Benchmarks.Scheduler;

/// <summary>A Multiboot 1 kernel that does nothing but jump to itself.</summary>
internal static class SpinningGuest
{
    private const uint Magic = 0x1BADB002, AddressesGiven = 1 << 16, LoadAddress = 0x100000;

    /// <summary>Writes it; Multiboot specification 0.6.96, 3.1.</summary>
    public static void Write(string path)
    {
        byte[] code = [0xEB, 0xFE];
        const uint HeaderBytes = 32;
        uint end = LoadAddress + HeaderBytes + (uint)code.Length;
        uint[] header = [Magic, AddressesGiven, unchecked((uint)-(int)(Magic + AddressesGiven)), LoadAddress, LoadAddress, end, end, LoadAddress + HeaderBytes];
        File.WriteAllBytes(path, [.. header.SelectMany(BitConverter.GetBytes), .. code]);
    }
}
