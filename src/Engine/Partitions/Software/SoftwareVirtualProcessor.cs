using System.Diagnostics;
using System.Numerics;
using Hypervisor.Engine.Processor;

namespace Hypervisor.Engine.Partitions.Software;

/// <summary>A virtual processor on <see cref="X86Processor"/>: its local APIC, its connection to the machine, and how it waits.</summary>
internal sealed partial class SoftwareVirtualProcessor : IVirtualProcessor, IApicTarget
{
    // General registers in the order of instruction encodings: RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI.
    private const int Rax = 0, Rcx = 1, Rdx = 2, Rbx = 3, Rsp = 4, Rbp = 5, Rsi = 6, Rdi = 7;

    private readonly X86Processor _processor;
    private readonly ProcessorBus _bus;
    private readonly object _gate = new();
    private volatile bool _waiting;
    private volatile bool _disposed;

    public SoftwareVirtualProcessor(
        SoftwarePartition partition, ApicBus apicBus, int index, PartitionOptions options, TimestampCounter timestamp, int physicalAddressBits)
    {
        Index = index;
        _bus = new ProcessorBus(partition, options.Bus);
        _processor = new X86Processor(new ProcessorOptions
        {
            Index = index,
            ProcessorCount = options.ProcessorCount,
            Memory = _bus,
            Ports = _bus,
            Timestamp = timestamp,
            BusLock = partition.BusLock,
            CodeLock = partition.CodeLock,
            PhysicalAddressBits = physicalAddressBits,
            CoresPerSocket = BitOperations.IsPow2(options.CoresPerSocket) && options.CoresPerSocket <= options.ProcessorCount ? options.CoresPerSocket : 1,
            TranslationThreshold = options.TranslationThreshold,
            CodeCacheBytes = Math.Max(options.CodeCacheMB / options.ProcessorCount, 1) << 20,
            FeatureLevel = (int)ProcessorModels.Parse(options.ProcessorModel),
        });
        Apic = new LocalApic(index, apicBus, this, options.Clock, timestamp);
        _bus.Apic = Apic;
        _processor.LocalApic = Apic;
        _processor.WorkArrived = Wake;
        TierSampler.Add(_processor);
    }

    /// <inheritdoc/>
    public int Index { get; }

    /// <summary>What ended the last <see cref="Run"/> with <see cref="VpExitReason.InternalError"/>: a defect of the processor.</summary>
    public Exception? Failure { get; private set; }

    internal LocalApic Apic { get; }

    /// <inheritdoc/>
    public VpExit Run()
    {
        try
        {
            return _processor.Run() switch
            {
                StopReason.Requested => new VpExit(VpExitReason.Kicked),
                StopReason.Halted => new VpExit(VpExitReason.Halted),
                _ => new VpExit(VpExitReason.Shutdown),
            };
        }
        catch (Exception exception)
        {
            // A guest cannot cause this; but if the processor or a device has a defect, it ends this machine and not the process.
            Failure = exception;
            return new VpExit(VpExitReason.InternalError, (uint)exception.HResult);
        }
    }

    /// <inheritdoc/>
    public void Kick()
    {
        if (!_disposed)
        {
            _processor.RequestStop();
        }
    }

    /// <inheritdoc/>
    public void WaitWhileHalted(TimeSpan timeout)
    {
        if (_processor.HasWork)
        {
            return;
        }

        long start = Stopwatch.GetTimestamp();
        lock (_gate)
        {
            _waiting = true;
            // Whoever brings work records it, then looks at _waiting; this does the opposite. With a full fence on either side one
            // of the two sees the other, so no wake-up is lost.
            Interlocked.MemoryBarrier();
            while (!_processor.HasWork)
            {
                var left = timeout - Stopwatch.GetElapsedTime(start);
                if (timeout == Timeout.InfiniteTimeSpan)
                {
                    Monitor.Wait(_gate);
                }
                else if (left <= TimeSpan.Zero || !Monitor.Wait(_gate, Rounded(left)))
                {
                    break;
                }
            }

            _waiting = false;
        }
    }

    /// <inheritdoc/>
    public void InjectNmi()
    {
        if (!_disposed)
        {
            _processor.InjectNmi();
        }
    }

    /// <inheritdoc/>
    public GeneralRegisters GetGeneralRegisters() => new()
    {
        Rax = _processor.GetGeneralRegister(Rax),
        Rbx = _processor.GetGeneralRegister(Rbx),
        Rcx = _processor.GetGeneralRegister(Rcx),
        Rdx = _processor.GetGeneralRegister(Rdx),
        Rsi = _processor.GetGeneralRegister(Rsi),
        Rdi = _processor.GetGeneralRegister(Rdi),
        Rsp = _processor.GetGeneralRegister(Rsp),
        Rbp = _processor.GetGeneralRegister(Rbp),
        R8 = _processor.GetGeneralRegister(8),
        R9 = _processor.GetGeneralRegister(9),
        R10 = _processor.GetGeneralRegister(10),
        R11 = _processor.GetGeneralRegister(11),
        R12 = _processor.GetGeneralRegister(12),
        R13 = _processor.GetGeneralRegister(13),
        R14 = _processor.GetGeneralRegister(14),
        R15 = _processor.GetGeneralRegister(15),
        Rip = _processor.Rip,
        Rflags = _processor.RflagsRegister,
    };

    /// <inheritdoc/>
    public void SetGeneralRegisters(in GeneralRegisters registers)
    {
        _processor.SetGeneralRegister(Rax, registers.Rax);
        _processor.SetGeneralRegister(Rbx, registers.Rbx);
        _processor.SetGeneralRegister(Rcx, registers.Rcx);
        _processor.SetGeneralRegister(Rdx, registers.Rdx);
        _processor.SetGeneralRegister(Rsi, registers.Rsi);
        _processor.SetGeneralRegister(Rdi, registers.Rdi);
        _processor.SetGeneralRegister(Rsp, registers.Rsp);
        _processor.SetGeneralRegister(Rbp, registers.Rbp);
        _processor.SetGeneralRegister(8, registers.R8);
        _processor.SetGeneralRegister(9, registers.R9);
        _processor.SetGeneralRegister(10, registers.R10);
        _processor.SetGeneralRegister(11, registers.R11);
        _processor.SetGeneralRegister(12, registers.R12);
        _processor.SetGeneralRegister(13, registers.R13);
        _processor.SetGeneralRegister(14, registers.R14);
        _processor.SetGeneralRegister(15, registers.R15);
        _processor.Rip = registers.Rip;
        _processor.RflagsRegister = registers.Rflags;
    }

    /// <inheritdoc/>
    public SystemRegisters GetSystemRegisters()
    {
        var gdt = _processor.Gdtr;
        var idt = _processor.Idtr;
        return new SystemRegisters
        {
            Cs = GetSegment(SegmentName.Cs),
            Ds = GetSegment(SegmentName.Ds),
            Es = GetSegment(SegmentName.Es),
            Fs = GetSegment(SegmentName.Fs),
            Gs = GetSegment(SegmentName.Gs),
            Ss = GetSegment(SegmentName.Ss),
            Tr = GetSegment(SegmentName.Tr),
            Ldt = GetSegment(SegmentName.Ldtr),
            Gdt = new DescriptorTableRegister { Base = gdt.Base, Limit = gdt.Limit },
            Idt = new DescriptorTableRegister { Base = idt.Base, Limit = idt.Limit },
            Cr0 = _processor.Cr0,
            Cr2 = _processor.Cr2,
            Cr3 = _processor.Cr3,
            Cr4 = _processor.Cr4,
            Cr8 = _processor.Cr8,
            Efer = _processor.Efer,
            ApicBase = Apic.ApicBase,
        };
    }

    /// <inheritdoc/>
    public void SetSystemRegisters(in SystemRegisters registers)
    {
        _processor.Cr0 = registers.Cr0;
        _processor.Cr2 = registers.Cr2;
        _processor.Cr3 = registers.Cr3;
        _processor.Cr4 = registers.Cr4;
        _processor.Efer = registers.Efer;
        _processor.Gdtr = (registers.Gdt.Base, registers.Gdt.Limit);
        _processor.Idtr = (registers.Idt.Base, registers.Idt.Limit);
        SetSegment(SegmentName.Cs, registers.Cs);
        SetSegment(SegmentName.Ds, registers.Ds);
        SetSegment(SegmentName.Es, registers.Es);
        SetSegment(SegmentName.Fs, registers.Fs);
        SetSegment(SegmentName.Gs, registers.Gs);
        SetSegment(SegmentName.Ss, registers.Ss);
        SetSegment(SegmentName.Tr, registers.Tr);
        SetSegment(SegmentName.Ldtr, registers.Ldt);
        if (registers.ApicBase != Apic.ApicBase)
        {
            Apic.ForceBase(registers.ApicBase);
        }

        _processor.Cr8 = registers.Cr8;
    }

    /// <inheritdoc/>
    public bool TryGetMsr(uint index, out ulong value) => _processor.TryReadMsr(index, out value);

    /// <inheritdoc/>
    public bool TrySetMsr(uint index, ulong value) => _processor.TryWriteMsr(index, value);

    /// <inheritdoc/>
    public int GetExtendedState(Span<byte> xsave) => _processor.GetExtendedState(xsave);

    /// <inheritdoc/>
    public void SetExtendedState(ReadOnlySpan<byte> xsave) => _processor.SetExtendedState(xsave);

    /// <inheritdoc/>
    public void Reset()
    {
        _processor.Reset();
        Apic.Reset();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            TierSampler.Remove(_processor);
            Apic.Dispose();
            _processor.Dispose();
        }
    }

    void IApicTarget.SignalInterrupt()
    {
        // A device may still send while the machine is taken apart.
        if (!_disposed)
        {
            _processor.SignalInterrupt();
        }
    }

    void IApicTarget.Init() => _processor.Init();

    void IApicTarget.StartUp(byte vector) => _processor.StartupIpi(vector);

    void IApicTarget.ApicPageMoved() => _processor.FlushPhysicalMappings();

    internal X86Processor Processor => _processor;

    internal void DropCode(ulong page) => _processor.InvalidateCodePage(page);

    internal void ForgetMappings()
    {
        _bus.Forget();
        _processor.FlushPhysicalMappings();
    }

    // Whole milliseconds are what the runtime waits; rounded up, or the last fraction would be spent spinning.
    private static TimeSpan Rounded(TimeSpan left) => TimeSpan.FromMilliseconds(Math.Min(Math.Ceiling(left.TotalMilliseconds), int.MaxValue));

    private void Wake()
    {
        if (_waiting)
        {
            lock (_gate)
            {
                Monitor.PulseAll(_gate);
            }
        }
    }

    private SegmentRegister GetSegment(SegmentName name)
    {
        var state = _processor.GetSegment(name);
        return new SegmentRegister { Base = state.Base, Limit = state.Limit, Selector = state.Selector, Attributes = state.Attributes };
    }

    private void SetSegment(SegmentName name, in SegmentRegister value) => _processor.SetSegment(name, new SegmentState
    {
        Base = value.Base,
        Limit = value.Limit,
        Selector = value.Selector,
        Attributes = value.Attributes,
    });
}
