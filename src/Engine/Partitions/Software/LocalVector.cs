namespace Hypervisor.Engine.Partitions.Software;

/// <summary>An entry of the local vector table (Intel SDM vol. 3A, figure 11-8).</summary>
internal readonly record struct LocalVector(uint Value)
{
    private const uint MaskBit = 1 << 16, PeriodicMode = 1, DeadlineMode = 2;

    /// <summary>Masked, as after reset.</summary>
    public static LocalVector Reset => new(MaskBit);

    /// <summary>The vector.</summary>
    public byte Vector => (byte)Value;

    /// <summary>No interrupt is delivered.</summary>
    public bool IsMasked => (Value & MaskBit) != 0;

    /// <summary>What is delivered.</summary>
    public DeliveryMode Mode => (DeliveryMode)((Value >> 8) & 7);

    /// <summary>Timer: periodic.</summary>
    public bool IsPeriodic => TimerMode == PeriodicMode;

    /// <summary>Timer: TSC deadline.</summary>
    public bool IsDeadline => TimerMode == DeadlineMode;

    private uint TimerMode => (Value >> 17) & 3;

    /// <summary>The same, masked.</summary>
    public LocalVector Masked => new(Value | MaskBit);
}
