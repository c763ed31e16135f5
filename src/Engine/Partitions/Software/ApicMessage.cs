namespace Hypervisor.Engine.Partitions.Software;

/// <summary>Delivery modes of interrupt messages and local vector entries (Intel SDM vol. 3A, 11.5.1 and 11.6.1).</summary>
internal enum DeliveryMode
{
    Fixed = 0,
    LowestPriority = 1,
    SystemManagement = 2,
    NonMaskable = 4,
    Init = 5,
    StartUp = 6,
    External = 7,
}

/// <summary>An interrupt on its way between an I/O APIC, a device or a local APIC and local APICs.</summary>
/// <param name="Destination">APIC id or logical destination, as the mode of the receivers reads it.</param>
/// <param name="Logical">The destination is logical.</param>
/// <param name="Mode">What is delivered.</param>
/// <param name="Vector">The vector, or the page of a start-up.</param>
/// <param name="LevelTriggered">Its end is to be told to the I/O APIC.</param>
internal readonly record struct ApicMessage(uint Destination, bool Logical, DeliveryMode Mode, byte Vector, bool LevelTriggered)
{
    /// <summary>Decodes a message-signalled interrupt (Intel SDM vol. 3A, 11.11).</summary>
    /// <returns>False when the address is not one of interrupt messages.</returns>
    public static bool TryDecode(ulong address, uint data, out ApicMessage message)
    {
        message = new ApicMessage(
            (uint)(address >> 12) & 0xFF,
            (address & 4) != 0,
            (DeliveryMode)((data >> 8) & 7),
            (byte)data,
            (data & 0x8000) != 0);
        return address >> 20 == 0xFEE;
    }
}

/// <summary>The processor behind a local APIC. Any thread.</summary>
internal interface IApicTarget
{
    /// <summary>The APIC may have an interrupt for it.</summary>
    void SignalInterrupt();

    /// <summary>NMI.</summary>
    void InjectNmi();

    /// <summary>INIT.</summary>
    void Init();

    /// <summary>Start-up at vector × 4096.</summary>
    void StartUp(byte vector);

    /// <summary>The address at which the APIC hides memory changed.</summary>
    void ApicPageMoved();
}
