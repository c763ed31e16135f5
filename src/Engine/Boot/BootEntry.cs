using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Boot;

/// <summary>The mode in which a boot protocol enters a kernel.</summary>
public enum EntryMode
{
    /// <summary>32-bit protected mode with flat segments and paging off.</summary>
    Protected32,
    /// <summary>64-bit mode with an identity map of the first 4 GB.</summary>
    Long64,
}

/// <summary>How processor 0 starts a loaded kernel.</summary>
public sealed record BootEntry
{
    private const uint CodeSegment32 = 0xC09B, CodeSegment64 = 0xA09B, DataSegment = 0xC093, BusyTask = 0x008B;
    private const ulong Cr0ProtectionEnable = 1, Cr0ExtensionType = 1 << 4, Cr0NumericError = 1 << 5, Cr0Paging = 1ul << 31;
    private const ulong Cr4PhysicalAddressExtension = 1 << 5;
    private const ulong EferLongModeEnable = 1 << 8, EferLongModeActive = 1 << 10;
    private const ulong FlagsReserved = 2;

    /// <summary>Mode.</summary>
    public required EntryMode Mode { get; init; }

    /// <summary>Address of the first instruction.</summary>
    public required ulong Rip { get; init; }

    /// <summary>RAX at entry.</summary>
    public ulong Rax { get; init; }

    /// <summary>RBX at entry.</summary>
    public ulong Rbx { get; init; }

    /// <summary>RSI at entry.</summary>
    public ulong Rsi { get; init; }

    /// <summary>RSP at entry.</summary>
    public ulong Rsp { get; init; } = BootArea.StackTop;

    /// <summary>Selector of the code segment.</summary>
    public ushort CodeSelector { get; init; } = BootArea.CodeSelector;

    /// <summary>Selector of the data segments.</summary>
    public ushort DataSelector { get; init; } = BootArea.DataSelector;

    /// <summary>Sets a processor's registers; it was reset before.</summary>
    public void Apply(IVirtualProcessor processor)
    {
        ArgumentNullException.ThrowIfNull(processor);
        var system = processor.GetSystemRegisters();
        bool wide = Mode == EntryMode.Long64;
        system.Cs = new SegmentRegister { Limit = uint.MaxValue, Selector = CodeSelector, Attributes = wide ? CodeSegment64 : CodeSegment32 };
        var data = new SegmentRegister { Limit = uint.MaxValue, Selector = DataSelector, Attributes = DataSegment };
        system.Ds = system.Es = system.Fs = system.Gs = system.Ss = data;
        // A valid task register: VM entry on VT-x refuses an unusable one (Intel SDM vol. 3C, 26.3.1.2).
        system.Tr = new SegmentRegister { Limit = 0x67, Attributes = BusyTask };
        system.Ldt = new SegmentRegister { Attributes = SegmentRegister.Unusable };
        system.Gdt = new DescriptorTableRegister { Base = BootArea.DescriptorTable, Limit = BootArea.DescriptorTableLimit };
        system.Idt = default;
        system.Cr0 = Cr0ProtectionEnable | Cr0ExtensionType | Cr0NumericError;
        system.Cr2 = 0;
        system.Cr3 = 0;
        system.Cr4 = 0;
        system.Efer = 0;
        if (wide)
        {
            system.Cr0 |= Cr0Paging;
            system.Cr3 = BootArea.PageTables;
            system.Cr4 = Cr4PhysicalAddressExtension;
            system.Efer = EferLongModeEnable | EferLongModeActive;
        }

        processor.SetSystemRegisters(in system);
        processor.SetGeneralRegisters(new GeneralRegisters
        {
            Rax = Rax,
            Rbx = Rbx,
            Rsi = Rsi,
            Rsp = Rsp,
            Rip = Rip,
            Rflags = FlagsReserved,
        });
    }
}
